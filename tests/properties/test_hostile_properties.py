"""Any request to any endpoint, signed in or not: a refusal or an answer, never an error, a stranger's session, an open
redirect, a cookie twice, a secret, or much time."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from sojourn.adapters.asgi import SojournMiddleware
from sojourn.errors import TokenError
from sojourn.http import Request, Response
from tests.properties.hostile import (
    CLIENT_SECRET,
    MOST_SECONDS,
    PASSWORD_OF_THE_DATABASE,
    PROVIDER,
    Site,
    requests,
    site_of,
)
from tests.support import ORIGIN, SECRET


@pytest.fixture(scope="module", autouse=True)
def _loops() -> Iterator[None]:
    yield
    for compat in ("nextauth-v4", "authjs-v5"):
        site_of(compat).runner.close()
    site_of.cache_clear()


class Kept(logging.Handler):
    """The log as an operator reads it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def ask(site: Site, request: Request) -> tuple[Response, str]:
    """The answer, and everything that was logged or told on the way; at most a second of this process's time."""
    note(f"{request.method!r} {request.path!r} ?{request.query!r}\n{dict(request.headers)!r}\n{request.body!r}")
    kept, logger = Kept(), logging.getLogger("sojourn")
    site.events.clear()
    logger.addHandler(kept)
    begun = time.process_time()
    try:
        response = site.runner.run(site.auth.handle(request))
    finally:
        logger.removeHandler(kept)
    assert time.process_time() - begun < MOST_SECONDS
    return response, "\n".join([*kept.lines, *map(repr, site.events)])


def cookies_of(response: Response) -> dict[str, str]:
    """Name to value of every Set-Cookie that is no deletion; a name twice fails."""
    texts = [value for name, value in response.headers if name.lower() == "set-cookie"]
    names = [text.partition("=")[0] for text in texts]
    assert len(set(names)) == len(names)
    assert all(len(text.partition(";")[0]) <= 4096 for text in texts)
    return {
        name: text.partition("=")[2].partition(";")[0]
        for name, text in zip(names, texts, strict=True)
        if "Max-Age=0" not in text
    }


def shows_a_failing_page(request: Request) -> bool:
    """`GET /error?error=Configuration` shows the page with the page's status, as next-auth's does."""
    asked = dict(reversed(parse_qsl(request.query, keep_blank_values=True))).get("error") or ""
    known = ("configuration", "unavailable")
    return request.path.startswith("/api/auth/error") and (
        asked.lower() in known or request.path.rsplit("/", 1)[-1].lower() in known
    )


def judge(site: Site, request: Request, response: Response, told: str) -> dict[str, str]:
    """What holds for every answer; gives the cookies that it sets."""
    assert 200 <= response.status < 500 or shows_a_failing_page(request)
    for name, value in response.headers:
        assert not set(value) & set("\r\n\0"), name
        value.encode("latin-1")
    cookies = cookies_of(response)
    caching = next(value for name, value in response.headers if name == "Cache-Control")
    assert "no-store" in caching or (not cookies and request.path.startswith(("/api/auth/jwks", "/api/auth/pages.css")))
    targets = [value for name, value in response.headers if name == "Location"]
    if response.body.startswith(b'{"url"'):
        targets.append(json.loads(response.body)["url"])
    for target in targets:
        ours = target == ORIGIN or target.startswith((f"{ORIGIN}/", f"{ORIGIN}?", f"{ORIGIN}#"))
        starts = request.method == "POST" and request.path.startswith("/api/auth/signin/gh")
        assert ours or (starts and target.startswith(f"{PROVIDER}?")), target
    answered = response.body.decode() + "".join(
        value for name, value in response.headers if name.lower() != "set-cookie"
    )
    for secret in (SECRET, CLIENT_SECRET, PASSWORD_OF_THE_DATABASE, site.token, site.csrf_token + "|"):
        assert secret not in told
        assert secret not in answered
    assert site.csrf_token not in told
    assert "Traceback" not in told + answered
    assert "<script" not in answered.lower()
    return cookies


def session_in(site: Site, cookies: dict[str, str]) -> str:
    """Who the session cookie of an answer belongs to."""
    value = "".join(value for name, value in sorted(cookies.items()) if name.startswith(site.session_cookie))
    return site.auth.verify(value).user_id


COMPAT = st.sampled_from(["nextauth-v4", "authjs-v5"])


@given(st.data(), COMPAT)
def test_a_stranger_gets_answers_and_never_a_session(data: st.DataObject, compat: str) -> None:
    site = site_of(compat)
    request = data.draw(requests(site, signed_in=False))
    response, told = ask(site, request)
    cookies = judge(site, request, response, told)
    assert not [name for name in cookies if name.startswith(site.session_cookie)]
    if request.path == "/api/auth/session" and request.method == "GET":
        assert response.body == site.auth._endpoints._dialect.no_session
    assert not (request.path == "/api/auth/verify" and response.status == 204)


@given(st.data(), COMPAT)
def test_somebody_signed_in_stays_that_person_whatever_they_send(data: st.DataObject, compat: str) -> None:
    site = site_of(compat)
    ada = site.auth.verify(site.token)
    request = data.draw(requests(site, signed_in=True))
    response, told = ask(site, request)
    cookies = judge(site, request, response, told)
    if any(name.startswith(site.session_cookie) for name in cookies):
        assert session_in(site, cookies) == ada.user_id
    try:
        site.auth.verify(site.token)
    except TokenError:
        # Nothing but signing out ends a session here, and it takes the form of our own page.
        assert (request.method, request.path.split("/")[3]) == ("POST", "signout")
        site.sign_in()


@given(st.data())
def test_the_adapter_writes_every_answer_to_the_wire(data: st.DataObject) -> None:
    """As bytes in and bytes out: whatever a server hands over, what goes back is one well-formed answer."""
    site = site_of("nextauth-v4")
    request = data.draw(requests(site, signed_in=False))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body}

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(*_: Any) -> None:
        raise AssertionError("a path under the base path reached the application")

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": request.path,
        "query_string": request.query.encode("latin-1", "replace"),
        "headers": [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in request.headers.items() if value
        ],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    site.runner.run(SojournMiddleware(never, site.auth)(scope, receive, send))
    start, *rest = sent
    assert start["status"] < 500 or shows_a_failing_page(request)
    assert len(rest) == 1
    for name, value in start["headers"]:
        assert name == name.lower()
        assert not set(value) & set(b"\r\n\0")


@given(st.text(st.characters(), max_size=60), st.sampled_from(["", "%s", "http://%s", "/%s", "//%s", "https://%s/x"]))
def test_no_page_of_ours_links_or_leads_away(value: str, form: str) -> None:
    site = site_of("nextauth-v4")
    wanted = form.replace("%s", value)
    for action in ("signin", "signout", "error"):
        query = f"callbackUrl={quote(wanted, safe='', errors='replace')}"
        request = Request(method="GET", path=f"/api/auth/{action}", query=query)
        response, told = ask(site, request)
        judge(site, request, response, told)
        for part in response.body.decode().split('name="callbackUrl" value="')[1:]:
            assert part.startswith(ORIGIN)
