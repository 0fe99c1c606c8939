"""Bugs of frameworks, proxies, servers and Keycloak, one case each, named after its row of the security yardstick."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from sojourn import Profile, RateLimit, SessionPolicy
from sojourn.errors import StoreUnavailable, TokenError
from sojourn.http import Request
from sojourn.keys import Keyring
from sojourn.providers import Credentials
from sojourn.server import build_app
from sojourn.testing import DrivenClock
from sojourn.tokens import NextAuthV4
from tests.refusals.asgi_requests import ask, guarded_app
from tests.refusals.sites import begin, finish, running_site
from tests.support import ORIGIN, SECRET, SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of


def where_to(answer: Any) -> str:
    return str(body_of(answer)["url"])


# -- Python frameworks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["looked at", "extended", "refused"])
async def test_w01_an_answer_that_touched_the_session_varies_by_cookie(how: str) -> None:
    clock = DrivenClock()
    auth = make_auth(clock)
    browser = Browser(auth)
    await browser.sign_in()
    if how == "extended":
        clock.advance("2h")
    if how == "refused":
        browser.jar[SESSION] = "x.y.z"
    _, headers, _ = await ask(guarded_app(auth), "/private", {"cookie": browser.cookie_header})
    assert "cookie" in headers["vary"].lower()
    assert "private" in headers["cache-control"]
    assert ("no-store" in headers["cache-control"]) is (how != "looked at")
    assert ("set-cookie" in headers) is (how != "looked at")


async def test_w02_the_first_secret_seals_and_all_open() -> None:
    old, new = "o" * 31 + "1", "n" * 31 + "2"
    both = make_auth(secret=None, secrets=[new, old])
    token = both.issue(MyClaims(sub="ada"))
    assert make_auth(secret=new).verify(token).user_id == "ada"
    with pytest.raises(TokenError):
        make_auth(secret=old).verify(token)
    assert both.verify(make_auth(secret=old).issue(MyClaims(sub="ada"))).user_id == "ada"


@pytest.mark.parametrize("member", ["exp", "iat", "nbf", "auth_time"])
@pytest.mark.parametrize("value", [2**63, 2**64, 10**40, -(2**63), -1, 1e308, True, "1", None, [1], {}])
async def test_w03_w04_odd_times_are_a_refusal(member: str, value: object) -> None:
    auth = make_auth()
    now = auth._clock()
    claims = {"sub": "ada", "jti": "x", "iat": now, "exp": now + 60} | {member: value}
    token = NextAuthV4(Keyring([SECRET])).seal(json.dumps(claims).encode())
    browser = Browser(auth)
    browser.jar[SESSION] = token
    answer = await browser.send("GET", "/session")
    if (member, value) in (("nbf", -1), ("nbf", -(2**63))):  # long ago
        assert body_of(answer) != {}
    else:
        assert (answer.status, answer.body) == (200, b"{}")


async def test_w05_a_form_has_a_limit_of_fields() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"&".join(b"f%d=1" % number for number in range(501))
    answer = await make_auth().handle(Request(method="POST", path="/api/auth/signout", headers=headers, body=body))
    assert answer.status == 400


@pytest.mark.parametrize(
    "host", ["evil/private?", "127.0.0.1:8000/api/auth", "a\\b", "", "x#", "[::1", "127.0.0.1:8000@evil"]
)
async def test_w07_x02_x03_the_guard_and_the_routes_see_the_routed_path_alone(host: str) -> None:
    app = guarded_app(make_auth())
    headers = {
        "host": host,
        "x-forwarded-uri": "/api/auth/session",
        "x-original-url": "/api/auth/session",
        "x-rewrite-url": "/open",
        "x-forwarded-prefix": "/api/auth",
    }
    status, answered, body = await ask(app, "/private", headers)
    assert status == 401
    assert b"secret" not in body
    assert "location" not in answered


async def test_w08_k01_k06_signing_in_always_makes_a_new_session() -> None:
    auth = make_auth()
    browser = Browser(auth)
    seen = set()
    for name in ("ada", "grace", "ada", "ada"):
        await browser.sign_in(name)
        session = (await browser.load()).session
        seen |= {session.sid, browser.jar[SESSION]}
    await browser.post("/signout")
    await browser.sign_in("grace")
    seen |= {(await browser.load()).session.sid, browser.jar[SESSION]}
    assert len(seen) == 10


async def test_w09_every_token_has_its_own_nonce() -> None:
    auth = make_auth()
    tokens = [auth.issue(MyClaims(sub="ada")) for _ in range(200)]
    assert len({token.split(".")[2] for token in tokens}) == 200


@pytest.mark.parametrize("value", ["f" * 32, "0", "../../etc/passwd", "a' OR 1=1 --", "eyJ.e30.", "null"])
async def test_w10_ses04_a_value_that_we_did_not_make_is_never_adopted(value: str) -> None:
    browser = Browser(make_auth())
    browser.jar[SESSION] = value
    assert await browser.session() == {}
    await browser.sign_in()
    session = (await browser.load()).session
    assert value not in (browser.jar[SESSION], session.sid)


async def test_w11_anonymous_visits_leave_no_rows() -> None:
    auth = make_auth(database="memory:")
    for number in range(300):
        browser = Browser(auth, client=f"198.51.100.{number % 250}")
        await browser.send("GET", "/session")
        await browser.send("GET", "/signin")
        await browser.post("/signout")
    stores: Any = auth._stores
    assert (stores.users._users, stores.once._spent, stores.revocations._entries) == ({}, {}, [])


async def test_w12_w13_a_look_alike_name_or_a_preferred_name_is_no_key() -> None:
    async with running_site(database="memory:") as site:
        first = site.browser()
        await finish(first, await begin(first, site.op))
        site.op.profile |= {"sub": "666", "preferred_username": "248289", "email": "ADA@example.com", "name": "248289"}
        second = site.browser()
        answer = await finish(second, await begin(second, site.op))
        assert "error=OAuthAccountNotLinked" in str(header_of(answer, "location"))
        assert SESSION not in second.jar


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "client-ip"])
async def test_w14_w17_a_forwarded_header_of_a_stranger_names_nobody(header: str) -> None:
    auth = make_auth(rate_limit=RateLimit(sign_in="1/1m"))
    statuses = []
    for number in range(12):
        browser = Browser(auth, client="203.0.113.7")
        form = {"csrfToken": await browser.csrf(), "username": f"u{number}", "password": "x", "json": "true"}
        answer = await browser.send(
            "POST", "/callback/credentials", form=form, headers={header: f"for=10.0.0.{number}"}
        )
        statuses.append(answer.status)
    assert statuses == [401] * 10 + [429] * 2


async def test_w15_cre05_ones_own_account_does_not_reset_the_networks_count() -> None:
    auth = make_auth(rate_limit=RateLimit(sign_in="1/1m"))
    statuses = []
    for number in range(12):
        browser = Browser(auth, client="203.0.113.7")
        await browser.sign_in("grace", "right")
        statuses.append((await browser.sign_in(f"guess{number}", "wrong")).status)
    assert statuses == [401] * 10 + [429] * 2


# -- proxies, servers, other ecosystems --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-middleware-subrequest": "middleware:middleware:middleware:middleware:middleware"},
        {"x-middleware-rewrite": "/"},
        {"next-router-prefetch": "1", "rsc": "1"},
        {"purpose": "prefetch", "sec-purpose": "prefetch"},
        {"user-agent": "GoogleHC/1.0"},
        {"user-agent": "kube-probe/1.30"},
        {"x-forwarded-user": "ada", "x-auth-user-id": "ada", "remote-user": "ada"},
        {"x_forwarded_user": "ada", "x_auth_user_id": "ada"},
        {"x-http-method-override": "OPTIONS"},
        {"authorization": "Bearer ada", "x-api-key": "x"},
        {"upgrade": "websocket", "connection": "upgrade"},
    ],
)
async def test_x01_x04_x06_no_header_makes_a_user_or_skips_the_guard(headers: dict[str, str]) -> None:
    auth = make_auth()
    status, _, body = await ask(guarded_app(auth), "/private", headers)
    assert (status, json.loads(body)["code"]) == (401, "session_missing")
    assert (await Browser(auth).send("GET", "/verify", headers=headers)).status == 401


@pytest.mark.parametrize(
    "path",
    ["/private/", "//private", "/./private", "/x/../private", "/private;x", "/PRIVATE", "/private%00", "/private\x00"],
)
async def test_x02_x05_odd_spellings_of_a_guarded_path_open_nothing(path: str) -> None:
    status, _, body = await ask(guarded_app(make_auth()), path)
    assert status in (307, 401, 404)
    assert b"secret" not in body


@pytest.mark.parametrize(
    "path", ["/me", "/me/", "//me", "/api/auth/../../me", "/api/auth/../me", "/api/auth/%2e%2e/me", "/healthz/../me"]
)
async def test_x02_the_server_shows_nobody_to_nobody(path: str) -> None:
    status, _, body = await ask(build_app(make_auth(database="memory:")), path, query="#/healthz")
    assert status in (307, 400, 401, 404)
    assert b'"user"' not in body


async def test_x08_the_old_session_stays_until_somebody_else_proved_who_they_are() -> None:
    """K-05 too: a sign-in that is begun and cancelled leaves the session as it was."""
    async with running_site() as site:
        browser = site.browser()
        await browser.sign_in("ada")
        kept = browser.jar[SESSION]
        pairs = await begin(browser, site.op, "?prompt=login")
        await finish(browser, [("error", "access_denied"), ("state", dict(pairs)["state"])])
        assert browser.jar[SESSION] == kept
        assert (await browser.load()).session.user_id == "ada"
        await finish(browser, await begin(browser, site.op))
        assert (await browser.load()).session.user_id == "op|248289"
        with pytest.raises(TokenError, match="ended"):
            site.auth.verify(kept)


@pytest.mark.parametrize(
    "target",
    [
        "/\\evil.example",
        "/ /evil.example",
        "/\t/evil.example",
        "/%5cevil.example/..",
        "///evil.example",
        "/../evil",
        "\\/evil",
    ],
)
async def test_x09_four_rounds_of_redirect_rules(target: str) -> None:
    answer = await Browser(make_auth()).post("/signout", callbackUrl=target)
    assert where_to(answer) == ORIGIN or where_to(answer).startswith(f"{ORIGIN}/")
    assert "//" not in where_to(answer).removeprefix("http://")
    assert "\\" not in where_to(answer)


@pytest.mark.parametrize("token", ["." * 60_000, "a." * 30_000, "eyJ" * 20_000, "....", "a..b..c", "{}" * 9999])
async def test_x11_thousands_of_dots_cost_nothing(token: str) -> None:
    browser = Browser(make_auth())
    browser.jar[SESSION] = token
    with anyio.fail_after(1):
        assert await browser.session() == {}


async def test_x15_two_tokens_are_never_taken_for_each_other() -> None:
    auth = make_auth()
    tokens = {name: auth.issue(MyClaims(sub=name, name="Same", sid=f"sid of {name}")) for name in ("ada", "grace")}
    for _ in range(3):
        assert {name: auth.verify(token).user_id for name, token in tokens.items()} == {"ada": "ada", "grace": "grace"}


async def test_x20_a_sign_out_that_cannot_be_kept_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = make_auth()
    browser = Browser(auth)
    await browser.sign_in()

    async def down(_: object) -> None:
        raise StoreUnavailable("revocations", "down")

    monkeypatch.setattr(auth._stores.revocations, "append", down)
    answer = await browser.post("/signout")
    assert (answer.status, set_cookies_of(answer)) == (503, [])
    assert (await browser.load()).session is not None


# -- Keycloak ----------------------------------------------------------------------------------------------------------


async def test_k02_an_answer_without_the_cookie_of_its_sign_in_opens_nothing() -> None:
    async with running_site() as site:
        attacker, victim = site.browser(), site.browser()
        pairs = await begin(attacker, site.op)
        await victim.post("/signin/op")  # the victim is on the way too, with another state
        answer = await finish(victim, pairs)
        assert "error=OAuthCallback" in str(header_of(answer, "location"))
        assert SESSION not in victim.jar
        assert site.op.hits["/token"] == 0


async def test_k03_what_ended_stays_ended_over_a_restart(tmp_path: Any) -> None:
    settings: dict[str, Any] = {
        "database": f"sqlite:///{tmp_path}/sojourn.db",
        "session": SessionPolicy(max_age="1h", update_age="30m"),
    }
    first = make_auth(**settings)
    await first.start()
    browser = Browser(first)
    await browser.sign_in()
    copied = browser.jar[SESSION]
    await browser.post("/signout")
    await first.aclose()
    second = make_auth(**settings)
    await second.start()
    again = Browser(second)
    again.jar[SESSION] = copied
    assert (await again.load()).code == "session_ended"
    await second.aclose()


async def test_k07_parallel_guesses_share_one_count() -> None:
    async def slow(form: Mapping[str, str]) -> Profile | None:
        await asyncio.sleep(0)
        return None

    auth = make_auth(rate_limit=RateLimit(sign_in="3/1m"), providers=[Credentials(authorize=slow)])
    statuses: list[int] = []

    async def guess(number: int) -> None:
        browser = Browser(auth, client=f"198.51.100.{number}")
        statuses.append((await browser.sign_in("ada", f"guess {number}")).status)

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(guess, number)
    assert sorted(statuses) == [401] * 3 + [429] * 37


async def test_k09_a_disabled_user_is_stopped_at_every_step() -> None:
    async with running_site(database="memory:") as site:
        browser = site.browser()
        await finish(browser, await begin(browser, site.op))
        users = site.auth._stores.users
        user = await users.get((await browser.load()).session.user_id)
        assert user is not None
        newcomer = site.browser()
        pairs = await begin(newcomer, site.op)
        await users.update(user.replace(disabled_at=site.clock()))
        answer = await finish(newcomer, pairs)
        assert "error=AccessDenied" in str(header_of(answer, "location"))
        answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": 1})
        assert answer.body == b"{}"
        assert SESSION not in browser.jar


async def test_k10_no_step_is_reached_without_the_one_before() -> None:
    async with running_site() as site:
        browser = site.browser()
        pairs = await begin(browser, site.op)
        jar = dict(browser.jar)
        assert header_of(await finish(browser, pairs), "location") == ORIGIN
        first = browser.jar[SESSION]
        browser.jar = jar  # back to before, by the history
        answer = await finish(browser, pairs)
        assert "error=OAuthCallback" in str(header_of(answer, "location"))
        assert SESSION not in browser.jar
        assert site.auth.verify(first).user_id == "op|248289"  # F-43: the first session stands
        assert site.op.hits["/token"] == 1
