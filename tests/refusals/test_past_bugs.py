"""Bugs of next-auth and @auth/core, one case each, named after its row of the security yardstick."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import anyio
import pytest

from sojourn import Callbacks, ClaimsChange
from sojourn.errors import TokenError
from sojourn.http import Request
from sojourn.identifiers import normalise_email
from sojourn.keys import Keyring
from sojourn.oauth import transaction
from sojourn.providers import OIDC
from sojourn.testing import DrivenClock
from sojourn.tokens import NextAuthV4
from tests.hostile_provider import drip, endless
from tests.refusals.asgi_requests import ask, guarded_app
from tests.refusals.sites import begin, finish, running_site
from tests.support import ORIGIN, SECRET, SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of

EVIL = "https://evil.example"


def where_to(answer: Any) -> str:
    return str(body_of(answer)["url"])


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
