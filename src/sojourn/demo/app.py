"""The demo's application: one page, what it needs to look inside the cookie, and Sojourn mounted beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sojourn.adapters.starlette import mount, to_starlette
from sojourn.auth import Auth
from sojourn.cookies import cookie_names, parse_cookie_header, read_session_cookie
from sojourn.demo.claims import DEMO_PASSWORD, DEMO_USERNAME
from sojourn.errors import TokenError
from sojourn.flows.session import Loaded
from sojourn.http import NO_STORE
from sojourn.pages import stylesheet
from sojourn.ports import Clock, system_clock

__all__ = ["DemoSettings", "demo_app"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_STATIC: Final = files(__package__).joinpath("static")
_JAVASCRIPT: Final = "text/javascript; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the demo shows: the person that its page names, and what else is served beside it."""

    username: str = DEMO_USERNAME
    password: str = DEMO_PASSWORD
    more_routes: Sequence[BaseRoute] = ()
    clock: Clock = system_clock


def demo_app(auth: Auth[Any], settings: DemoSettings) -> Starlette:
    """The demo's page at `/`, its data under `/demo`, and `auth` under its base path."""
    names = cookie_names(
        auth.config.compat,
        secure=auth.config.base.secure,
        share_with=auth.config.cookie_domain,
        max_chunks=auth.config.session.max_chunks,
    )
    ages = auth.config.lifetimes
    policy = {
        "maxAge": ages.max_age,
        "updateAge": ages.update_age,
        "gracePeriod": ages.grace_period,
        "absoluteAge": ages.absolute_age,
    }
    shown = {
        "basePath": auth.base_path,
        "demoUser": {"username": settings.username, "password": settings.password},
        "providers": [{"id": one.id, "name": one.name, "type": one.type} for one in auth.config.providers],
        "policy": policy,
    }

    async def read_settings(_: Request) -> Response:
        return JSONResponse(shown, headers=dict(NO_STORE))

    async def read_claims(request: Request) -> Response:
        """Looks without using: `auth.load` would extend the session, and the page could never show it expire."""
        token = read_session_cookie(parse_cookie_header(request.headers.get("cookie", "")), names).value
        try:
            if token is None:
                raise TokenError("missing")
            session = auth.verify(token)
        except TokenError as error:
            return to_starlette(auth.unauthorized(Loaded(code=error.code, step=error.step)))
        claims = msgspec.to_builtins(session.claims)
        answer = {"claims": claims, "policy": policy, "now": settings.clock()}
        return JSONResponse(answer, headers=dict(NO_STORE))

    app = Starlette(
        routes=[
            _static("/", "index.html", "text/html; charset=utf-8"),
            _static("/demo/demo.css", "demo.css", "text/css; charset=utf-8"),
            _static("/demo/demo.js", "demo.js", _JAVASCRIPT),
            _static("/demo/api.js", "api.js", _JAVASCRIPT),
            _static("/demo/timeline.js", "timeline.js", _JAVASCRIPT),
            _fixed("/demo/pages.css", stylesheet(), "text/css; charset=utf-8"),
            Route("/demo/settings", read_settings),
            Route("/demo/claims", read_claims),
            *settings.more_routes,
        ]
    )
    mount(app, auth)
    return app


def _static(path: str, name: str, media_type: str) -> Route:
    return _fixed(path, _STATIC.joinpath(name).read_bytes(), media_type)


def _fixed(path: str, content: bytes, media_type: str) -> Route:
    async def read(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return Route(path, read)
