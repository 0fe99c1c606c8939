"""Bugs that others had, one case each, named after the row of the security yardstick that tells its story."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sojourn import Auth, Callbacks, ClaimsChange, Profile, RateLimit, Session, SessionPolicy
from sojourn.adapters.starlette import mount, signed_in
from sojourn.errors import StoreUnavailable, TokenError
from sojourn.http import Request
from sojourn.identifiers import normalise_email
from sojourn.keys import Keyring
from sojourn.oauth import transaction
from sojourn.providers import OIDC, Credentials
from sojourn.server import build_app
from sojourn.testing import DrivenClock
from sojourn.tokens import NextAuthV4
from tests.hostile_provider import drip, endless
from tests.refusals.sites import begin, finish, running_site
from tests.support import ORIGIN, SECRET, SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of

EVIL = "https://evil.example"


async def ask(
    app: Any,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    query: str = "",
    raw: str = "",
) -> tuple[int, dict[str, str], bytes]:
    """One request to an ASGI application, with exactly these headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": (raw or path).encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
    }
    await app(scope, receive, send)
    start, body = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
    return start["status"], {name.decode(): value.decode("latin-1") for name, value in start["headers"]}, body


def guarded_app(auth: Auth[MyClaims]) -> Starlette:
    @signed_in(auth)
    async def private(request: StarletteRequest, session: Session[MyClaims]) -> Response:
        return PlainTextResponse(f"secret of {session.user_id}")

    app = Starlette(routes=[Route("/private", private, methods=["GET", "POST"])])
    mount(app, auth)
    return app


def where_to(answer: Any) -> str:
    return str(body_of(answer)["url"])


# -- next-auth, @auth/core ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [EVIL, f"{EVIL}/x", "//evil.example", "http:evil.example", "https:/evil.example"])
async def test_n01_other_origins_are_no_way_back(target: str) -> None:
    answer = await Browser(make_auth()).post(
        "/callback/credentials", username="ada", password="right", callbackUrl=target
    )
    assert where_to(answer) == ORIGIN


@pytest.mark.parametrize("tail", [".evil.example", "@evil.example", ".evil.example:80/", "0", ":80", "%40evil.example"])
async def test_n02_our_origin_as_a_prefix_is_not_our_origin(tail: str) -> None:
    answer = await Browser(make_auth()).post(
        "/callback/credentials", username="ada", password="right", callbackUrl=f"{ORIGIN}{tail}"
    )
    assert where_to(answer) == ORIGIN


@pytest.mark.parametrize(
    "value", ["http://[", "http://a:b:c", "http://127.0.0.1:99999999", "\\\\", "[", "http://%", "\x00"]
)
async def test_n03_a_way_back_that_does_not_parse_is_answered(value: str) -> None:
    browser = Browser(make_auth())
    for answer in (
        await browser.send("GET", f"/signin?callbackUrl={quote(value)}"),
        await browser.send("GET", f"/session?callbackUrl={quote(value)}"),
        await browser.post("/signout", callbackUrl=value),
    ):
        assert answer.status == 200


async def test_n04_markup_in_an_address_stays_text() -> None:
    answer = await Browser(make_auth()).send("GET", "/signin?email=%3Cimg%20src%3Dx%3E%22%27%40x.example")
    assert b"<img" not in answer.body


async def test_n08_every_provider_flow_has_state_nonce_and_pkce() -> None:
    async with running_site() as site:
        browser = site.browser()
        url = where_to(await browser.post("/signin/op"))
        query = dict(parse_qsl(urlsplit(url).query))
        assert len(query["state"]) >= 43
        assert len(query["nonce"]) >= 43
        assert len(query["code_challenge"]) == 43
        assert query["code_challenge_method"] == "S256"
        pairs = site.op.authorize(url)
        stranger = site.browser()  # has the address, but did not begin
        assert "error=OAuthCallback" in str(header_of(await finish(stranger, pairs), "location"))
        assert SESSION not in stranger.jar


@pytest.mark.parametrize(
    "address",
    [
        "a@x.example,b@evil.example",
        '"a@x.example"@evil.example',
        "a＠x.example@evil.example",
        "a﹫evil.example@x.example",
        "a@x.example\r\nbcc: b@evil.example",
        "a@x.example b@evil.example",
        "a@b@x.example",
        "<a@x.example>",
    ],
)
def test_n09_n10_n11_x07_an_address_is_one_plain_recipient(address: str) -> None:
    assert normalise_email(address) is None


def test_n11_a_look_alike_sign_becomes_the_sign_before_it_is_judged() -> None:
    assert normalise_email("ada＠example.com") == "ada@example.com"


async def test_n12_a_transaction_cookie_is_no_session() -> None:
    async with running_site() as site:
        browser = site.browser()
        await browser.post("/signin/op")
        sealed = next(value for name, value in browser.jar.items() if name.startswith("sojourn.transaction."))
        browser.jar[SESSION] = sealed
        assert await browser.session() == {}
        # Even one whose content would make a session: each purpose has its own key.
        claims = json.dumps({"sub": "ada", "jti": "x", "iat": site.clock(), "exp": site.clock() + 60}).encode()
        for salt in ("sojourn.transaction", "next-auth.state", "next-auth.pkce.code_verifier"):
            browser.jar[SESSION] = NextAuthV4(Keyring([SECRET]), salt=salt).seal(claims)
            assert await browser.session() == {}
        browser.jar[SESSION] = NextAuthV4(Keyring([SECRET])).seal(claims)
        assert await browser.session() != {}


async def test_n12_a_session_is_no_transaction() -> None:
    async with running_site() as site:
        browser = site.browser()
        state = "s" * 43
        await browser.sign_in()
        browser.jar[f"sojourn.transaction.{transaction.id_of(state)}"] = browser.jar[SESSION]
        answer = await finish(browser, [("code", "x"), ("state", state)])
        assert "error=OAuthCallback" in str(header_of(answer, "location"))
        assert not [text for text in set_cookies_of(answer) if text.startswith(SESSION)]


@pytest.mark.parametrize(
    "value", ["Bearer %", "Bearer %ff%fe", "Bearer", "bearer \xff", "Basic \x00", "Bearer " + "a" * 9000]
)
async def test_n13_a_broken_authorization_header_is_nobody(value: str) -> None:
    status, _, body = await ask(guarded_app(make_auth()), "/private", {"authorization": value})
    assert (status, json.loads(body)["code"]) == (401, "session_missing")


@pytest.mark.parametrize("value", ["%", "%E0%A4%A", "%ff", '"', "a=b=c", ";;;", "\xff" * 99, "%00"])
async def test_n13_a_broken_cookie_is_nobody(value: str) -> None:
    app = guarded_app(make_auth())
    for header in (f"{SESSION}={value}", f"{SESSION}.0={value}; {SESSION}.1=x", f"{value}; {SESSION}={value}"):
        status, _, _ = await ask(app, "/private", {"cookie": header})
        assert status == 401


async def test_n14_an_answer_to_another_providers_callback_is_refused_and_spends_the_sign_in() -> None:
    async with running_site() as first:
        twins = [OIDC(id=name, issuer=first.op.base, client_id="c", client_secret="s") for name in ("op", "evil")]
        browser = Browser(make_auth(providers=twins, transport=first.auth._oauth._transport, clock=first.clock))
        url = where_to(await browser.post("/signin/op"))
        state = dict(parse_qsl(urlsplit(url).query))["state"]
        answer = await finish(browser, [("code", "x"), ("state", state), ("iss", first.op.base)], provider="evil")
        assert "error=OAuthCallback" in str(header_of(answer, "location"))
        assert first.op.hits["/token"] == 0
        assert not [name for name in browser.jar if name.startswith("sojourn.transaction.")]


async def test_n15_a_copy_of_the_cookie_dies_with_the_session() -> None:
    auth = make_auth()
    browser, thief = Browser(auth), Browser(auth)
    await browser.sign_in()
    thief.jar = dict(browser.jar)
    copied = browser.jar[SESSION]
    await browser.post("/signout")
    assert await thief.session() == {}
    with pytest.raises(TokenError, match="ended"):
        auth.verify(copied)


async def test_n15_older_and_newer_tokens_of_the_session_die_too() -> None:
    clock = DrivenClock()
    auth = make_auth(clock)
    browser = Browser(auth)
    await browser.sign_in()
    older = browser.jar[SESSION]
    clock.advance("2h")
    await browser.load()
    newer = browser.jar[SESSION]
    assert newer != older
    tab = Browser(auth)
    tab.jar = dict(browser.jar) | {SESSION: older}
    await tab.post("/signout")
    for token in (older, newer):
        with pytest.raises(TokenError, match="ended"):
            auth.verify(token)


async def test_n16_an_error_while_reading_the_session_lets_nobody_in() -> None:
    clock = DrivenClock()

    def broken(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        if change.trigger == "refresh":
            raise RuntimeError("down")
        return claims

    auth = make_auth(clock, callbacks=Callbacks(claims=broken))
    browser = Browser(auth)
    await browser.sign_in()
    clock.advance("12h")  # in grace: without the callback nobody can tell
    status, headers, body = await ask(guarded_app(auth), "/private", {"cookie": browser.cookie_header})
    assert (status, json.loads(body)["code"]) == (503, "unavailable")
    assert "set-cookie" not in headers
    assert b"secret" not in body


@pytest.mark.parametrize("name", ["-x", "2", ".old", ".٣", ".01", ".+1", "%2E1", ".0x"])
async def test_n17_a_sibling_cookie_neither_ends_nor_carries_the_session(name: str) -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    token = browser.jar.pop(SESSION)
    for position in (0, 1):
        pairs = [(SESSION, token), (f"{SESSION}{name}", "planted")]
        header = "; ".join(f"{key}={value}" for key, value in (pairs if position else reversed(pairs)))
        loaded = await browser.auth.load(Request(method="GET", path="/", headers={"cookie": header}))
        assert loaded.session is not None
        assert loaded.cookies == ()
    loaded = await browser.auth.load(Request(method="GET", path="/", headers={"cookie": f"{SESSION}{name}={token}"}))
    assert loaded.session is None
    assert loaded.cookies == ()


async def test_n18_only_the_one_content_encryption_is_accepted() -> None:
    auth = make_auth()
    claims = {"sub": "ada", "jti": "x", "iat": auth._clock(), "exp": auth._clock() + 60}
    token = NextAuthV4(Keyring([SECRET])).seal(json.dumps(claims).encode())
    assert auth.verify(token).user_id == "ada"
    for encryption in ("A128CBC-HS256", "A256CBC-HS512", "A128GCM", "a256gcm", "A256GCM "):
        header = base64.urlsafe_b64encode(json.dumps({"alg": "dir", "enc": encryption}, separators=(",", ":")).encode())
        with pytest.raises(TokenError) as caught:
            auth.verify(header.rstrip(b"=").decode() + token[token.index(".") :])
        assert caught.value.step == "header"


async def test_n19_the_query_changes_nothing_of_the_authorization_request() -> None:
    async with running_site() as site:
        planted = "client_id=evil&redirect_uri=https://evil.example&response_type=token&scope=admin&state=s&nonce=n"
        planted += "&code_challenge=c&code_challenge_method=plain&response_mode=fragment&request_uri=x&request=y"
        planted += "&login_hint=ada"
        plain = dict(parse_qsl(urlsplit(where_to(await site.browser().post("/signin/op"))).query))
        bent = dict(parse_qsl(urlsplit(where_to(await site.browser().post(f"/signin/op?{planted}"))).query))
        assert bent.pop("login_hint") == "ada"
        assert plain.keys() == bent.keys()
        for name in ("client_id", "redirect_uri", "response_type", "scope", "code_challenge_method"):
            assert plain[name] == bent[name]
        assert (bent["state"], bent["nonce"], bent["code_challenge"]) != ("s", "n", "c")


@pytest.mark.parametrize("value", [{"a": 1}, [1], 5, None, True, "\ud7ff", "http://["])
async def test_n20_any_type_of_way_back_in_a_body_is_answered(value: object) -> None:
    browser = Browser(make_auth())
    data = {"csrfToken": await browser.csrf(), "json": "true", "callbackUrl": value}
    for path in ("/signout", "/signin", "/session", "/callback/credentials"):
        assert (await browser.send("POST", path, data=data)).status < 500


@pytest.mark.parametrize("answer", [drip, endless])
async def test_n21_a_provider_that_drips_or_never_ends_is_cut_off(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_site() as site:
        monkeypatch.setattr(site.auth._oauth._transport, "_total", 0.3)
        browser = site.browser()
        pairs = await begin(browser, site.op)
        site.op.answers["/token"] = answer
        with anyio.fail_after(3):
            refused = await finish(browser, pairs)
        assert "error=OAuthCallback" in str(header_of(refused, "location"))


async def test_n22_a_profile_or_a_callback_cannot_choose_whose_session_it_is() -> None:
    async with running_site(database="memory:") as site:
        site.op.claims |= {"id": "1", "user_id": "1", "username": "root", "sid": "f" * 32, "isSponsor": True}
        browser = site.browser()
        await finish(browser, await begin(browser, site.op))
        session = (await browser.load()).session
        user = await session.user()
        assert session.user_id == user.id
        assert user.id not in ("1", "root", "248289")
        assert session.sid != "f" * 32
        assert session.claims.is_sponsor is False


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
