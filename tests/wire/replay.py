"""Sojourn set up as the recorder's server was, and a browser that sends it the recorded requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from sojourn import Auth, Claims, Profile, SessionPolicy
from sojourn.config import Pages
from sojourn.http import Request, Response
from sojourn.ports import TransportRequest, TransportResponse
from sojourn.providers import OIDC, Credentials, OAuth
from tests.wire.recorded import SECRET, Exchange, csrf_cookie

NOW = 1795458557  # 2026-11-23 18:29:17, the second in which the recording was made
CLIENT = "127.0.0.1"
ORIGIN = "http://localhost:4001"
IDP = "http://127.0.0.1:4555"
CSRF = "next-auth.csrf-token"
SESSION = "next-auth.session-token"


def authorize(form: Mapping[str, str]) -> Profile | None:
    """The recorder's credentials: one good password, and one that makes it throw."""
    match form.get("password"):
        case "good":
            return Profile(id="1", name="Jürgen ✓", email="j@example.com", image="https://img/x.png")
        case "throw":
            raise RuntimeError("Custom failure & more")
        case _:
            return None


def fake_profile(raw: Mapping[str, Any]) -> Profile:
    return Profile(id=str(raw["id"]), name=raw["name"], email=raw["email"])


class FakeIdP:
    """The recorder's provider: any code is good for the one user."""

    async def send(self, request: TransportRequest) -> TransportResponse:
        answer: dict[str, Any] = {"access_token": "at", "token_type": "bearer"}
        if request.url == f"{IDP}/userinfo":
            answer = {"id": 77, "name": "Wire User", "email": "wire-pages-router@example.com"}
        body = json.dumps(answer).encode()
        return TransportResponse(status=200, headers={"content-type": "application/json"}, body=body)

    async def aclose(self) -> None:
        pass


def make_auth(config: str) -> Auth[Claims]:
    """One of the recorder's configurations: `jwt`, `db`, `pages`, `secure`."""
    endpoints: dict[str, Any] = {
        "authorize_url": f"{IDP}/authorize",
        "token_url": f"{IDP}/token",
        "userinfo_url": f"{IDP}/userinfo",
    }
    client: dict[str, Any] = {"client_id": "cid", "client_secret": "s e:c+r", "name": "Fake", "profile": fake_profile}
    pages = Pages(sign_in="/login", sign_out="/bye", verify_request="/check", error="/err?x=1")
    return Auth(
        secret=SECRET,
        base_url=ORIGIN if config != "secure" else ORIGIN.replace("http:", "https:"),
        providers=[
            OAuth(id="fake", scope="read:user", **endpoints, **client),
            OAuth(id="noscope", **endpoints, **client),
            OIDC(id="oidc", name="OIDC", issuer=IDP, client_id="cid", client_secret="s"),
            Credentials(authorize=authorize),
        ],
        database="memory:" if config == "db" else None,
        session=SessionPolicy(max_age="30d", update_age="0s", grace_period="0s", absolute_age="365d"),
        pages=pages if config == "pages" else None,
        clock=lambda: NOW,
        transport=FakeIdP(),
    )


class Browser:
    """Sends recorded requests with the cookies that belong to them, and keeps what comes back."""

    def __init__(self, config: str) -> None:
        self.auth = make_auth(config)
        self.cookies: dict[str, str] = {}
        self.state = ""

    def knows(self, csrf_token: str) -> None:
        """Start with the CSRF and callback-url cookies that the recorder's browser had."""
        self.cookies = {CSRF: csrf_cookie(csrf_token), "next-auth.callback-url": ORIGIN}

    async def send(self, exchange: Exchange) -> Response:
        return await self.request(exchange.method, exchange.path, exchange.body, form=exchange.form)

    async def request(self, method: str, target: str, body: str | None = None, *, form: bool = True) -> Response:
        path, _, query = target.partition("?")
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"host": "localhost:4001", "cookie": cookies}
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded" if form else "application/json"
        data = (body or "").encode()
        request = Request(
            method=method, path=f"/api/auth{path}", query=query, headers=headers, body=data, client=CLIENT
        )
        response = await self.auth.handle(request)
        self._keep(response)
        return response

    def _keep(self, response: Response) -> None:
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                pair, _, attributes = value.partition(";")
                cookie, _, text = pair.partition("=")
                if "Max-Age=0" in attributes:
                    self.cookies.pop(cookie, None)
                else:
                    self.cookies[cookie] = text
        if response.body.startswith(b'{"url"'):
            state = parse_qs(urlsplit(json.loads(response.body)["url"]).query).get("state", [])
            self.state = state[0] if state else self.state


def csrf_token_of(exchange: Exchange) -> str | None:
    """The CSRF token that the recorded request carried."""
    if exchange.body is None:
        return None
    fields = dict(parse_qsl(exchange.body)) if exchange.form else json.loads(exchange.body)
    token = fields.get("csrfToken", "")
    return token if len(token) == 64 else None
