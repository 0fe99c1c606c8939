"""Every endpoint that changes state, with every way of sending a request that its own page did not send."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from sojourn.http import Request, Response
from tests.refusals.sites import Site, running_site
from tests.support import ORIGIN, SECRET, SESSION, Browser, body_of, header_of, make_auth, set_cookies_of

CSRF = "next-auth.csrf-token"
FORM = "application/x-www-form-urlencoded"

# What would happen if the request were believed: (path, fields, the cookie that then changes).
CHANGES = {
    "sign in with a password": ("/callback/credentials", {"username": "grace", "password": "right"}, SESSION),
    "sign in with a provider": ("/signin/op", {"callbackUrl": "/inside"}, "sojourn.transaction."),
    "sign out": ("/signout", {}, SESSION),
    "update the session": ("/session", {"data": "x"}, SESSION),
}


def planted(token: str, secret: str = SECRET) -> str:
    return f"{token}|{hashlib.sha256(f'{token}{secret}'.encode()).hexdigest()}"


async def attack(
    browser: Browser,
    change: str,
    *,
    token: str | None,
    cookie: str | None = None,
    headers: Mapping[str, str] | None = None,
    content_type: str | None = FORM,
    method: str = "POST",
    query: str = "",
) -> Response:
    """The request with this CSRF token in the body and this CSRF cookie (the browser's own unless given)."""
    path, fields, _ = CHANGES[change]
    jar = dict(browser.jar)
    if cookie == "":
        jar.pop(CSRF, None)
    elif cookie is not None:
        jar[CSRF] = cookie
    sent = {"host": "127.0.0.1:8000", "cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    sent |= dict(headers or {})
    if content_type is not None:
        sent["content-type"] = content_type
    body = urlencode({**fields, "json": "true", **({} if token is None else {"csrfToken": token})}).encode()
    request = Request(
        method=method, path=f"/api/auth{path}", query=query, headers=sent, body=body, client=browser.client
    )
    return await browser.auth.handle(request)


def assert_nothing_changed(response: Response, change: str) -> None:
    stem = CHANGES[change][2]
    assert [text for text in set_cookies_of(response) if text.startswith(stem)] == []
    assert response.status in (302, 400, 403, 413)
    location = header_of(response, "location") or (
        body_of(response).get("url") if response.body.startswith(b'{"url"') else None
    )
    assert location is None or location.startswith(f"{ORIGIN}/api/auth/")


async def signed_in(site: Site) -> tuple[Browser, str]:
    browser = site.browser()
    await browser.sign_in()
    return browser, await browser.csrf()


@pytest.mark.parametrize("change", CHANGES)
async def test_the_real_form_of_the_page_is_believed(change: str) -> None:
    # Without this, the refusals below could all be the refusal of something else.
    async with running_site() as site:
        browser, token = await signed_in(site)
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
        response = await attack(browser, change, token=token, headers=headers)
        assert response.status == 200
        stem = CHANGES[change][2]
        assert [text for text in set_cookies_of(response) if text.startswith(stem)]


FORGED = {
    "no token": None,
    "empty": "",
    "z": "z",
    "of another browser": "a" * 64,
    "upper case": "OURS.upper",
    "a part of it": "OURS[:63]",
    "with a blank": "OURS ",
    "NUL after it": "OURS\0",
    "the whole cookie": "COOKIE",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_token_changes_nothing(change: str, forged: str) -> None:
    async with running_site() as site:
        browser, token = await signed_in(site)
        value = FORGED[forged]
        if value is not None and value.startswith("OURS"):
            value = {
                "OURS.upper": token.upper(),
                "OURS[:63]": token[:63],
                "OURS ": f"{token} ",
                "OURS\0": f"{token}\0",
            }[value]
        if value == "COOKIE":
            value = browser.jar[CSRF].replace("%7C", "|")
        if value == token:  # 64 digits and no letter: upper case is the same text
            pytest.skip("no letters in this token")
        assert_nothing_changed(await attack(browser, change, token=value), change)
        assert (await browser.load()).session is not None


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "a" * 64,
        f"{'a' * 64}|{'b' * 64}",
        planted("a" * 64, "another secret"),
        planted("", SECRET),
        planted("a" * 63),
        f"|{hashlib.sha256(SECRET.encode()).hexdigest()}",
        f"{planted('A' * 64)}",
    ],
)
async def test_a_planted_cookie_that_we_did_not_make_changes_nothing(change: str, cookie: str) -> None:
    async with running_site() as site:
        browser, _ = await signed_in(site)
        for token in (cookie.partition("|")[0], "a" * 64):
            assert_nothing_changed(await attack(browser, change, token=token, cookie=cookie), change)


CROSS_SITE = {
    "another origin": {"origin": "https://evil.example"},
    "our name as a prefix": {"origin": f"{ORIGIN}.evil.example"},
    "our host, another port": {"origin": "http://127.0.0.1:8001"},
    "our host, another scheme": {"origin": "https://127.0.0.1:8000"},
    "an opaque origin": {"origin": "null"},
    "an empty origin": {"origin": ""},
    "two origins": {"origin": f"{ORIGIN}, https://evil.example"},
    "with a path": {"origin": f"{ORIGIN}/"},
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site without an origin": {"sec-fetch-site": "same-site"},
    "same-site, a sibling": {"sec-fetch-site": "same-site", "origin": "https://sibling.example"},
    "an unknown word": {"sec-fetch-site": "anything"},
    "two words": {"sec-fetch-site": "same-origin, cross-site"},
    "cross-site with our origin": {"sec-fetch-site": "cross-site", "origin": ORIGIN},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", CROSS_SITE)
async def test_another_site_changes_nothing_even_with_a_good_pair(change: str, case: str) -> None:
    # The pair is bound to no session: whoever can plant a cookie has a good one (CSR-02).
    async with running_site() as site:
        browser, token = await signed_in(site)
        assert_nothing_changed(await attack(browser, change, token=token, headers=CROSS_SITE[case]), change)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded2", "", "a, b"],
)
async def test_a_body_of_a_type_that_any_site_may_send_has_no_fields(change: str, content_type: str | None) -> None:
    async with running_site() as site:
        browser, token = await signed_in(site)
        assert_nothing_changed(await attack(browser, change, token=token, content_type=content_type), change)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "post"])
@pytest.mark.parametrize("override", [{}, {"x-http-method-override": "POST"}, {"x-method-override": "POST"}])
async def test_only_post_changes_anything_and_nothing_overrides_the_method(
    change: str, method: str, override: dict[str, str]
) -> None:
    async with running_site() as site:
        browser, token = await signed_in(site)
        path, fields, stem = CHANGES[change]
        query = urlencode({**fields, "csrfToken": token, "json": "true", "_method": "POST"})
        response = await attack(browser, change, token=token, headers=override, method=method, query=query)
        assert [text for text in set_cookies_of(response) if text.startswith(stem)] == []
        assert (await browser.load()).session.user_id == "ada", path


@pytest.mark.parametrize("change", CHANGES)
async def test_the_token_counts_in_the_body_alone(change: str) -> None:
    async with running_site() as site:
        browser, token = await signed_in(site)
        response = await attack(browser, change, token=None, query=urlencode({"csrfToken": token}))
        assert_nothing_changed(response, change)


@pytest.mark.parametrize("name", ["csrfToken", "callbackUrl", "username"])
async def test_a_field_that_came_twice_is_refused(name: str) -> None:
    browser = Browser(make_auth())
    token = await browser.csrf()
    body = urlencode(
        [("csrfToken", token), ("username", "ada"), ("password", "right"), ("callbackUrl", "/"), (name, "x")]
    )
    request = Request(
        method="POST",
        path="/api/auth/callback/credentials",
        headers={"cookie": browser.cookie_header, "content-type": FORM},
        body=body.encode(),
    )
    response = await browser.auth.handle(request)
    assert (response.status, body_of(response)["code"]) == (400, "invalid_body")


async def test_signing_in_makes_no_session_for_whoever_planted_the_form() -> None:
    """Login CSRF: the attacker's own password, sent from the victim's browser by the attacker's page."""
    auth = make_auth()
    attacker, victim = Browser(auth), Browser(auth)
    token = await attacker.csrf()
    victim.jar[CSRF] = attacker.jar[CSRF]  # by cookie tossing from a sibling host
    response = await attack(
        victim, "sign in with a password", token=token, headers={"origin": "https://sibling.example"}
    )
    assert_nothing_changed(response, "sign in with a password")


async def test_no_answer_lets_another_origin_read_it() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    for method in ("GET", "POST", "OPTIONS"):
        for path in ("/session", "/csrf", "/providers", "/signin", "/verify"):
            headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
            response = await browser.send(method, path, headers=headers)
            assert not [name for name, _ in response.headers if name.lower().startswith("access-control-")]
