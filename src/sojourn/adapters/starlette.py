"""Starlette: `mount`, the session of a request or WebSocket, and a guard for endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette import status
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from sojourn import http
from sojourn.adapters import asgi
from sojourn.auth import Auth
from sojourn.errors import StoreUnavailable
from sojourn.models import ClaimsT, Session

__all__ = ["NotSignedIn", "load_session", "mount", "require_session", "signed_in"]


class NotSignedIn(HTTPException):
    """401 for somebody without a session; `response` is the problem document that `mount` has it rendered as.

    Without `mount`'s handler (a sub-application with handlers of its own) it renders as any `HTTPException`.
    """

    def __init__(self, response: http.Response) -> None:
        self.response = response
        headers = {name: value for name, value in response.headers if name != "Content-Type"}
        super().__init__(response.status, "Not signed in", headers)


def mount(app: Starlette, auth: Auth[Any]) -> None:
    """Put `auth` on `app`: its routes, the lazy session of every request, start-up and shut-down, and error answers.

    Composes with a lifespan and middleware of the application's own. Handlers that the application registered for
    `NotSignedIn` or `StoreUnavailable` stay.
    """

    async def not_signed_in(_: HTTPConnection, error: Exception) -> Response:
        assert isinstance(error, NotSignedIn)
        return to_starlette(error.response)

    async def unavailable(connection: HTTPConnection, error: Exception) -> Response | None:
        assert isinstance(error, StoreUnavailable)
        answer = await auth.unavailable(error)
        if isinstance(connection, WebSocket):
            await connection.close(status.WS_1013_TRY_AGAIN_LATER)
            return None
        return to_starlette(answer)

    app.add_middleware(lambda inner: asgi.SojournMiddleware(inner, auth).dispatch)
    app.exception_handlers.setdefault(NotSignedIn, not_signed_in)
    app.exception_handlers.setdefault(StoreUnavailable, unavailable)


async def load_session(connection: HTTPConnection, auth: Auth[ClaimsT]) -> Session[ClaimsT] | None:
    """The session of this request or WebSocket, `None` for nobody; `StoreUnavailable` when that cannot be told."""
    if connection.scope["type"] == "websocket" and _opened_elsewhere(connection, auth):
        return None
    loaded = await asgi.load_session(connection.scope, auth)
    if loaded.unavailable is not None:
        raise loaded.unavailable
    return loaded.session


async def require_session(connection: HTTPConnection, auth: Auth[ClaimsT]) -> Session[ClaimsT]:
    """The session of this request or WebSocket.

    For nobody it raises `NotSignedIn`, on a WebSocket `WebSocketException` with code 1008 (1013 when a store is down).
    """
    scope = connection.scope
    if scope["type"] == "websocket" and _opened_elsewhere(connection, auth):
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION, "origin")
    loaded = asgi.known_session(scope, auth) or await asgi.unknown_session(scope)
    if loaded.session is not None:
        return loaded.session
    if connection.scope["type"] == "websocket":
        code = status.WS_1008_POLICY_VIOLATION if loaded.unavailable is None else status.WS_1013_TRY_AGAIN_LATER
        raise WebSocketException(code, loaded.code)
    raise NotSignedIn(auth.unauthorized(loaded))


def _opened_elsewhere(connection: HTTPConnection, auth: Auth[Any]) -> bool:
    """Whether a page of another origin opened this WebSocket: no CORS holds it back, and the cookie comes along."""
    return connection.headers.get("origin", auth.origin) != auth.origin


def signed_in(
    auth: Auth[ClaimsT],
) -> Callable[[Callable[[Request, Session[ClaimsT]], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
    """Guard an endpoint: it runs only for somebody signed in, with the session as its second argument."""

    def decorate(
        endpoint: Callable[[Request, Session[ClaimsT]], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            return await endpoint(request, await require_session(request, auth))

        return guarded

    return decorate


def to_starlette(response: http.Response) -> Response:
    """The same answer as Starlette's own kind."""
    answer = Response(response.body, response.status)
    for name, value in response.headers:
        answer.headers.append(name, value)
    return answer
