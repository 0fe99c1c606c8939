"""The main job over HTTP, told once and run on every adapter.

An application under test answers `/open` (never asks for its session), `/me` (needs somebody signed in), `/maybe`
(anybody), `/cached` (reads the session and allows caching) and `/boom` (reads the session and raises).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from sojourn import Auth, Claims, Profile, SessionPolicy
from sojourn.adapters.asgi import ASGIApp
from sojourn.http import MAX_BODY
from sojourn.providers import Credentials
from sojourn.testing import DrivenClock

ORIGIN = "http://localhost:3000"
SESSION_COOKIE = "next-auth.session-token"


class StoryClaims(Claims):
    username: str | None = None


def make_auth(clock: DrivenClock) -> Auth[StoryClaims]:
    """Twelve hours, a quarter of grace, one user called ada."""
    return Auth(
        secret="a secret of a story that is told in tests only",
        base_url=ORIGIN,
        providers=[Credentials(authorize=_check)],
        claims=StoryClaims,
        session=SessionPolicy(max_age="12h", update_age="1h", grace_period="15m", absolute_age="2d"),
        clock=clock,
    )


def _check(form: Mapping[str, str]) -> Profile | None:
    if form.get("username") == "ada" and form.get("password") == "correct horse":
        return Profile(id="1", name="Ada", email="ada@example.org", username="ada")
    return None


@dataclass
class Browser:
    """One browser at one origin: sends its cookies, takes what it is given."""

    app: ASGIApp
    auth: Auth[StoryClaims]
    clock: DrivenClock
    cookies: dict[str, str] = field(default_factory=dict)

    async def request(
        self, method: str, path: str, *, headers: list[tuple[str, str]] | None = None, **more: Any
    ) -> httpx2.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = [*([("cookie", cookie)] if cookie else []), *(headers or [])]
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            response = await client.request(method, path, headers=sent, **more)
        for line in response.headers.get_list("set-cookie"):
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.request("GET", path, **more)

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        token = (await self.get("/api/auth/csrf")).json()["csrfToken"]
        return await self.request("POST", path, data={"csrfToken": token, "json": "true", **fields})

    async def sign_in(self) -> httpx2.Response:
        return await self.post("/api/auth/callback/credentials", username="ada", password="correct horse")


Story = Callable[[Browser], Awaitable[None]]


async def nobody_gets_401_as_a_problem_document(browser: Browser) -> None:
    response = await browser.get("/me")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert "session_missing" in response.headers["www-authenticate"]
    body = response.json()
    assert (body["status"], body["code"]) == (401, "session_missing")
    assert isinstance(body["detail"], str)
    assert response.headers["cache-control"] == "private, no-store"
    assert (await browser.get("/maybe")).json() == {"sub": None}


async def a_password_opens_a_session_that_the_handler_sees(browser: Browser) -> None:
    signed_in = await browser.sign_in()
    assert signed_in.status_code == 200
    assert signed_in.headers["cache-control"] == "private, no-store"
    me = await browser.get("/me")
    assert (me.status_code, me.json()) == (200, {"sub": "1", "username": "ada"})
    assert (await browser.get("/maybe")).json() == {"sub": "1"}
    assert (await browser.get("/api/auth/session")).json()["user"]["name"] == "Ada"


async def a_wrong_password_opens_nothing(browser: Browser) -> None:
    refused = await browser.post("/api/auth/callback/credentials", username="ada", password="wrong")
    assert refused.status_code == 401
    assert SESSION_COOKIE not in browser.cookies
    assert (await browser.get("/me")).status_code == 401


async def reading_a_fresh_session_writes_nothing(browser: Browser) -> None:
    await browser.sign_in()
    browser.clock.advance("59m")
    me = await browser.get("/me")
    assert "set-cookie" not in me.headers
    assert me.headers["cache-control"] == "private"
    assert me.headers["vary"] == "Cookie"


async def an_application_keeps_its_own_caching_until_a_cookie_is_set(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.get("/cached")).headers["cache-control"] == "public, max-age=60"
    browser.clock.advance("2h")
    extended = await browser.get("/cached")
    assert "set-cookie" in extended.headers
    assert extended.headers["cache-control"] == "private, no-store"


async def in_grace_the_same_response_carries_the_new_cookie(browser: Browser) -> None:
    await browser.sign_in()
    old = browser.cookies[SESSION_COOKIE]
    browser.clock.advance("12h")
    browser.clock.advance("10m")
    me = await browser.get("/me")
    assert (me.status_code, me.json()["sub"]) == (200, "1")
    assert browser.cookies[SESSION_COOKIE] != old
    assert me.headers["cache-control"] == "private, no-store"
    assert "Cookie" in me.headers["vary"]
    again = await browser.get("/me")
    assert (again.status_code, "set-cookie" in again.headers) == (200, False)


async def past_grace_the_session_is_over_and_its_cookie_is_cleared(browser: Browser) -> None:
    await browser.sign_in()
    browser.clock.advance("12h")
    browser.clock.advance("16m")
    me = await browser.get("/me")
    assert (me.status_code, me.json()["code"]) == (401, "session_expired")
    assert SESSION_COOKIE not in browser.cookies


async def a_copied_cookie_is_refused_after_signing_out(browser: Browser) -> None:
    await browser.sign_in()
    copied = browser.cookies[SESSION_COOKIE]
    assert (await browser.post("/api/auth/signout")).status_code == 200
    assert SESSION_COOKIE not in browser.cookies
    assert (await browser.get("/me")).json()["code"] == "session_missing"
    browser.cookies[SESSION_COOKIE] = copied
    refused = await browser.get("/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
    browser.clock.advance("12h")
    browser.cookies[SESSION_COOKIE] = copied
    assert (await browser.get("/me")).status_code == 401


async def a_request_that_never_asks_is_never_touched(browser: Browser) -> None:
    await browser.sign_in()
    browser.clock.advance("12h")
    response = await browser.get("/open")
    assert response.status_code == 200
    assert not {"set-cookie", "cache-control", "vary"} & set(response.headers)


async def what_the_application_raises_is_its_own_matter(browser: Browser) -> None:
    await browser.sign_in()
    response = await browser.get("/boom")
    assert response.status_code == 500
    assert "sojourn" not in response.text.lower()


async def a_damaged_cookie_is_refused_like_any_other(browser: Browser) -> None:
    for damaged in ("x", "a.b.c.d.e", "%00", "\u00fc", "x" * 4000, "eyJhbGciOiJub25lIn0..", '"'):
        cookie = [(b"cookie", f"{SESSION_COOKIE}={damaged}".encode())]
        response = await browser.get("/me", headers=cookie)
        assert (response.status_code, response.json()["code"]) == (401, "session_invalid")
        assert (await browser.get("/maybe", headers=cookie)).json() == {"sub": None}


async def of_two_cookie_headers_the_first_wins(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.get("/me", headers=[("cookie", f"{SESSION_COOKIE}=x")])).status_code == 200
    token = browser.cookies.pop(SESSION_COOKIE)
    twice = [("cookie", f"{SESSION_COOKIE}=x"), ("cookie", f"{SESSION_COOKIE}={token}")]
    assert (await browser.get("/me", headers=twice)).status_code == 401
    split = [("cookie", "a=1"), ("cookie", f"{SESSION_COOKIE}={token}")]
    assert (await browser.get("/me", headers=split)).status_code == 200


async def headers_make_nobody_signed_in(browser: Browser) -> None:
    for name in ("x-auth-user-id", "x-forwarded-user", "remote-user", "x-middleware-subrequest", "authorization"):
        assert (await browser.get("/me", headers=[(name, "1")])).status_code == 401


async def an_oversize_body_is_refused(browser: Browser) -> None:
    for path in ("/api/auth/callback/credentials", "/api/auth/session", "/api/auth/_log", "/api/auth/nothing"):
        response = await browser.request("POST", path, content=b"x" * (MAX_BODY + 1))
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert (await browser.get("/api/auth/csrf")).status_code == 200


async def odd_methods_are_refused_without_harm(browser: Browser) -> None:
    await browser.sign_in()
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW"):
        for path in ("/api/auth/session", "/api/auth/signout", "/api/auth/csrf", "/api/auth"):
            response = await browser.request(method, path)
            assert 400 <= response.status_code < 500, (method, path)
            assert "set-cookie" not in response.headers
    assert (await browser.get("/me")).status_code == 200


async def odd_paths_reach_nothing_they_should_not(browser: Browser) -> None:
    for path in ("//api/auth/session", "/api/authors", "/api/auth2/session", "/API/AUTH/session", "/x/../api/auth2"):
        assert (await browser.get(path)).status_code == 404, path
    for path in (
        "/api/auth",
        "/api/auth/",
        "/api/auth/unknown",
        "/api/auth/..%2f..%2fme",
        "/api/auth/%00",
        "/api/auth/%ff",
    ):
        assert 400 <= (await browser.get(path)).status_code < 500, path
    for path in ("/api/auth/signin%2Fcredentials", "/api/auth/session/", "/api/auth//session", "/api/auth/session%3fa"):
        assert (await browser.get(path)).status_code < 500, path
    assert (await browser.get("/me%2f")).status_code in (307, 404)
    assert (await browser.get("/api/auth/../../me")).status_code in (401, 404)


STORIES: tuple[Story, ...] = (
    nobody_gets_401_as_a_problem_document,
    a_password_opens_a_session_that_the_handler_sees,
    a_wrong_password_opens_nothing,
    reading_a_fresh_session_writes_nothing,
    an_application_keeps_its_own_caching_until_a_cookie_is_set,
    in_grace_the_same_response_carries_the_new_cookie,
    past_grace_the_session_is_over_and_its_cookie_is_cleared,
    a_copied_cookie_is_refused_after_signing_out,
    a_request_that_never_asks_is_never_touched,
    what_the_application_raises_is_its_own_matter,
    a_damaged_cookie_is_refused_like_any_other,
    of_two_cookie_headers_the_first_wins,
    headers_make_nobody_signed_in,
    an_oversize_body_is_refused,
    odd_methods_are_refused_without_harm,
    odd_paths_reach_nothing_they_should_not,
)
