"""The site that is attacked, and what Hypothesis makes of requests for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from sojourn import Auth, Profile
from sojourn.events import Event
from sojourn.http import Request
from sojourn.passwords import PasswordHasher, insecure_testing
from sojourn.ports import TransportError, TransportRequest, TransportResponse
from sojourn.providers import Credentials, OAuth
from sojourn.testing import DrivenClock
from tests.support import ORIGIN, Browser, MyClaims, check_password, make_auth

CLIENT_SECRET = "canary-client-secret"
PASSWORD_OF_THE_DATABASE = "canary-database-password"
PROVIDER = "http://127.0.0.1:1/authorize"
MOST_SECONDS = 1.0


class NoNetwork:
    """A provider that is never there."""

    async def send(self, request: TransportRequest) -> TransportResponse:
        raise TransportError("nobody there")

    async def aclose(self) -> None:
        pass


def authorize(form: Any) -> Profile | None:
    """The application's own check, which chokes on some names with a secret in its words."""
    if "!" in form.get("username", ""):
        raise RuntimeError(f"postgres://app:{PASSWORD_OF_THE_DATABASE}@db")
    return check_password(form)


@dataclass
class Site:
    """One configured `Auth`, its loop, what it told, and a real session of Ada's with a real CSRF pair."""

    auth: Auth[MyClaims]
    runner: asyncio.Runner
    events: list[Event]
    jar: dict[str, str] = field(default_factory=dict)
    csrf_token: str = ""

    @property
    def session_cookie(self) -> str:
        return self.auth._names.session

    @property
    def token(self) -> str:
        return self.jar[self.session_cookie]

    def sign_in(self) -> None:
        """Ada comes in, and has begun a sign-in through the provider too."""
        self.runner.run(self._sign_in(Browser(self.auth)))

    async def _sign_in(self, browser: Browser) -> None:
        headers = {"x-auth-return-redirect": "1"}
        self.csrf_token = await browser.csrf()
        form = {"csrfToken": self.csrf_token, "username": "ada", "password": "right"}
        await browser.send("POST", "/callback/credentials", form=form, headers=headers)
        await browser.send("POST", "/signin/gh", form={"csrfToken": self.csrf_token}, headers=headers)
        self.jar = browser.jar


@cache
def site_of(compat: str) -> Site:
    events: list[Event] = []
    github = OAuth(
        id="gh",
        authorize_url=PROVIDER,
        token_url="http://127.0.0.1:1/token",
        userinfo_url="http://127.0.0.1:1/user",
        profile=lambda raw: Profile(id=raw["id"]),
        client_id="c",
        client_secret=CLIENT_SECRET,
    )
    auth = make_auth(
        DrivenClock(),
        events,
        compat=compat,
        database="memory:",
        transport=NoNetwork(),
        rate_limit=None,
        providers=[Credentials(authorize=authorize), Credentials(id="table", name="Table"), github],
    )
    auth._endpoints._arrivals._hasher = PasswordHasher(insecure_testing)
    site = Site(auth, asyncio.Runner(), events)
    site.sign_in()
    return site


NASTY = st.sampled_from(
    [
        "",
        "true",
        "ada",
        "!",
        "wrong",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/x",
        f"{ORIGIN}@evil.example",
        f"{ORIGIN}.evil.example/",
        f"{ORIGIN}/in?x=1",
        "/in",
        "javascript:alert(1)",
        "data:text/html,x",
        "\r\nSet-Cookie: evil=1",
        "\x00",
        "%00",
        "%0d%0aX: y",
        "\ud800",
        "\udfff%",
        "é\u2028",
        "<script>alert(1)</script>",
        '"><img src=x>',
        "{{7*7}}",
        "%",
        "%zz",
        "..%2f..",
        "' OR 1=1 --",
        "9" * 400,
        "-1",
        "NaN",
        "[]",
        "null",
        "a@b@c",
        "ada@example.com",
        "x" * 5000,
        "=" * 50,
        ";" * 50,
        "." * 300,
        "eyJhbGciOiJub25lIn0..",
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA",
        "127.0.0.1",
        "[fe80::1%25eth0]",
        "::ffff:127.0.0.1",
    ]
)
TEXT = NASTY | st.text(st.characters(), max_size=40)
NAMES = st.sampled_from(
    [
        "callbackUrl",
        "csrfToken",
        "json",
        "redirect",
        "username",
        "password",
        "email",
        "error",
        "methods",
        "state",
        "code",
        "iss",
        "data",
        "login_hint",
        "client_id",
        "redirect_uri",
        "page",
        "provider",
    ]
)
ACTIONS = st.sampled_from(
    [
        "session",
        "csrf",
        "providers",
        "signin",
        "signin/credentials",
        "signin/table",
        "signin/gh",
        "callback/credentials",
        "callback/table",
        "callback/gh",
        "signout",
        "error",
        "verify-request",
        "_log",
        "verify",
        "jwks",
        "pages.css",
        "sessions",
        "",
    ]
)
METHODS = st.sampled_from(["GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "get"]) | TEXT
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["application/x-www-form-urlencoded", "application/json", "application/json; charset=utf-16", "text/plain"]
        )
        | TEXT,
        "origin": st.sampled_from([ORIGIN, "null", "https://evil.example"]) | TEXT,
        "sec-fetch-site": st.sampled_from(["same-origin", "none", "cross-site"]) | TEXT,
        "host": TEXT,
        "x-forwarded-host": TEXT,
        "x-forwarded-for": TEXT,
        "forwarded": TEXT,
        "x-forwarded-proto": TEXT,
        "authorization": TEXT,
        "accept": st.sampled_from(["text/html", "application/json"]) | TEXT,
        "x-auth-return-redirect": TEXT,
        "x-middleware-subrequest": TEXT,
        "x-http-method-override": METHODS,
    },
)


@st.composite
def cookies(draw: st.DrawFn, site: Site, *, signed_in: bool) -> str:
    """A Cookie header: the real pair often, Ada's session only if she is signed in, and whatever else."""
    pairs: list[tuple[str, str]] = []
    for name, value in site.jar.items():
        if (name != site.session_cookie and draw(st.booleans())) or (name == site.session_cookie and signed_in):
            pairs.append((name, value))
    stems = st.sampled_from([*site.jar, site.session_cookie, "sojourn.transaction", "__Host-x"])
    names = st.builds(lambda stem, more: stem + more, stems, st.sampled_from(["", ".0", ".1", ".7", ".x", "-x"]) | TEXT)
    values = TEXT | st.sampled_from([value for name, value in site.jar.items() if name != site.session_cookie])
    pairs += draw(st.lists(st.tuples(names | TEXT, values), max_size=6))
    if not signed_in:
        edited = draw(st.none() | st.integers(0, len(site.token) - 1))
        if edited is not None:
            letter = "A" if site.token[edited] != "A" else "B"
            pairs.append((site.session_cookie, site.token[:edited] + letter + site.token[edited + 1 :]))
    # Of one name the first counts (RFC 6265bis 5.8.3); who is signed in must not depend on what a neighbour put before.
    order = pairs if signed_in else draw(st.permutations(pairs))
    return "; ".join(f"{name}={value}" for name, value in order)


@st.composite
def bodies(draw: st.DrawFn, site: Site) -> bytes:
    """A form or JSON with known names and mostly the right token; or any bytes."""
    kind = draw(st.sampled_from(["form", "json", "bytes"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    token = {"csrfToken": site.csrf_token} if draw(st.integers(0, 3)) else {}
    if kind == "form":
        fields = draw(st.dictionaries(NAMES | TEXT, TEXT, max_size=5)) | token
        return urlencode(fields, errors="replace").encode()
    return json.dumps(draw(st.dictionaries(NAMES | TEXT, JSON_VALUES, max_size=5)) | token).encode("utf-8", "replace")


@st.composite
def requests(draw: st.DrawFn, site: Site, *, signed_in: bool) -> Request:
    path = "/api/auth/" + draw(ACTIONS) + draw(st.just("") | TEXT.map(lambda text: "/" + text) | TEXT)
    fields = draw(st.lists(st.tuples(NAMES | TEXT, TEXT), max_size=5))
    query = draw(st.just(urlencode(fields, errors="replace")) | TEXT)
    headers = draw(HEADERS) | {"cookie": draw(cookies(site, signed_in=signed_in))}
    body = draw(bodies(site))
    if "content-type" not in headers and draw(st.booleans()):
        headers["content-type"] = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
    return Request(
        method=draw(METHODS), path=path, query=query, headers=headers, body=body, client=draw(st.none() | TEXT)
    )
