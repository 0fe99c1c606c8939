"""A browser in a few lines: it keeps cookies, posts forms with their CSRF token, and talks to one `Auth` directly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from sojourn import Auth, Claims, Profile
from sojourn.events import Event
from sojourn.http import Request, Response
from sojourn.providers import Credentials
from sojourn.testing import DrivenClock

SECRET = "cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g"
ORIGIN = "http://127.0.0.1:8000"
SESSION = "next-auth.session-token"


class MyClaims(Claims):
    """The seed's claims."""

    username: str | None = None
    is_sponsor: bool = False


def check_password(form: Mapping[str, str]) -> Profile | None:
    """Ada and Grace may come in with the password "right"."""
    name = form.get("username", "")
    if form.get("password") != "right" or name not in ("ada", "grace"):
        return None
    return Profile(id=name, name=name.title(), email=f"{name}@example.com", username=name)


def make_auth(clock: DrivenClock | None = None, events: list[Event] | None = None, **settings: Any) -> Auth[MyClaims]:
    """An `Auth` with the seed's claims, a password provider and a driven clock."""
    defaults: dict[str, Any] = {
        "secret": SECRET,
        "base_url": ORIGIN,
        "providers": [Credentials(authorize=check_password)],
        "claims": MyClaims,
        "on_event": events.append if events is not None else None,
    }
    return Auth(**(defaults | settings), clock=clock or DrivenClock())


class Browser:
    """One browser: a cookie jar in front of `auth.handle`."""

    def __init__(self, auth: Auth[Any], client: str = "127.0.0.1") -> None:
        self.auth = auth
        self.client = client
        self.jar: dict[str, str] = {}

    @property
    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.jar.items())

    async def send(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request under the base path; a URL of our own origin is taken as its path."""
        parts = urlsplit(path)
        target = parts.path if parts.path.startswith("/api/auth") else f"/api/auth{parts.path}"
        sent = {"host": "127.0.0.1:8000", "cookie": self.cookie_header, **(headers or {})}
        body = b""
        if form is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
            body = urlencode(form).encode()
        elif data is not None:
            sent["content-type"] = "application/json"
            body = json.dumps(data).encode()
        request = Request(method=method, path=target, query=parts.query, headers=sent, body=body, client=self.client)
        response = await self.auth.handle(request)
        self.keep(response)
        return response

    def keep(self, response: Response) -> None:
        """Take over what the response sets and deletes."""
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                self.keep_cookie(value)

    def keep_cookie(self, header: str) -> None:
        """Take over one Set-Cookie text."""
        cookie, _, attributes = header.partition(";")
        name, _, value = cookie.partition("=")
        if "max-age=0" in attributes.lower():
            self.jar.pop(name, None)
        else:
            self.jar[name] = value

    async def csrf(self) -> str:
        token: str = body_of(await self.send("GET", "/csrf"))["csrfToken"]
        return token

    async def post(self, path: str, **fields: str) -> Response:
        """A form with its CSRF token, answered as JSON."""
        return await self.send("POST", path, form={"csrfToken": await self.csrf(), "json": "true", **fields})

    async def sign_in(self, username: str = "ada", password: str = "right") -> Response:
        return await self.post("/callback/credentials", username=username, password=password)

    async def session(self) -> Any:
        return body_of(await self.send("GET", "/session"))

    async def load(self) -> Any:
        """What a page of the application sees; cookies of the answer are kept."""
        request = Request(method="GET", path="/", headers={"cookie": self.cookie_header, "host": "127.0.0.1:8000"})
        loaded = await self.auth.load(request)
        for cookie in loaded.cookies:
            self.keep_cookie(cookie.header())
        return loaded


def body_of(response: Response) -> Any:
    """The JSON of a response."""
    return json.loads(response.body)


def header_of(response: Response, name: str) -> str | None:
    """The first header of that name."""
    return next((value for key, value in response.headers if key.lower() == name.lower()), None)


def set_cookies_of(response: Response) -> list[str]:
    """Every Set-Cookie text."""
    return [value for name, value in response.headers if name.lower() == "set-cookie"]
