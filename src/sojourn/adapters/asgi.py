"""Pure ASGI: one middleware, one lazy session per request, one translation each way.

Imports no framework. A request that never asks for its session costs one small object and nothing else: no cookie is
read, no `Request` is built, no header is touched.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Generic

import anyio
import msgspec

from sojourn.errors import BadRequest, ConfigError
from sojourn.http import MAX_BODY, Request, Response, problem
from sojourn.models import ClaimsT

if TYPE_CHECKING:
    from sojourn.auth import Auth
    from sojourn.flows.session import Loaded

__all__ = ["ASGIApp", "LazySession", "RawHeaders", "SojournMiddleware", "load_session", "routed_path"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_Headers = Iterable[tuple[bytes, bytes]]

_SCOPE_KEY: Final = "sojourn"
_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
# What a cache between us and the browser may act on instead of Cache-Control (RFC 9213 and its forerunners).
_CACHING: Final = frozenset({b"cache-control", b"cdn-cache-control", b"surrogate-control", b"expires"})

_PRIVATE: Final = (b"cache-control", b"private")
_VARY: Final = (b"vary", b"Cookie")

logger: logging.Logger = logging.getLogger("sojourn")


class RawHeaders(Mapping[str, str]):
    """ASGI's header list read in place: lower-case names, repeated fields joined (`Cookie` with `; `)."""

    __slots__ = ("_raw",)

    def __init__(self, raw: _Headers) -> None:
        self._raw = raw

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, without building a dictionary of all others."""
        wanted = name.encode("latin-1")
        found: bytes | None = None
        for key, value in self._raw:
            if key == wanted:
                found = value if found is None else found + (b"; " if wanted == b"cookie" else b", ") + value
        return default if found is None else found.decode("latin-1")

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.decode("latin-1") for key, _ in self._raw))

    def __len__(self) -> int:
        return len({key for key, _ in self._raw})


class LazySession(msgspec.Struct, Generic[ClaimsT], eq=False):
    """What one request knows of its session: nothing until somebody asks, the same answer afterwards.

    It lies in the scope and so must not hold the scope or `send`: only the collector frees such a cycle.
    """

    auth: Auth[ClaimsT]
    loaded: Loaded[ClaimsT] | None = None
    _waiting: list[anyio.Event] | None = None

    async def load(self, scope: Scope) -> Loaded[ClaimsT]:
        """What the cookie opens; tasks of one request that ask together share one load."""
        while self.loaded is None:
            if self._waiting is not None:
                loading = anyio.Event()
                self._waiting.append(loading)
                await loading.wait()
                continue
            waiting: list[anyio.Event] = []
            self._waiting = waiting
            try:
                self.loaded = await self.auth.load(_request(scope, routed_path(scope)))
            finally:
                self._waiting = None
                for other in waiting:
                    other.set()
        return self.loaded


async def load_session(scope: Scope, auth: Auth[ClaimsT]) -> Loaded[ClaimsT]:
    """The session of this scope, loaded once; `ConfigError` when this `auth` is not mounted on the application."""
    return known_session(scope, auth) or await unknown_session(scope)


def known_session(scope: Scope, auth: Auth[ClaimsT]) -> Loaded[ClaimsT] | None:
    """What can be said without waiting: a session that is good as it is, or what was loaded before.

    Raises `ConfigError` when this `auth` is not mounted on the application.
    """
    lazy: LazySession[ClaimsT] | None = scope.get(_SCOPE_KEY)
    if lazy is None or lazy.auth is not auth:
        seen = "a session was asked for, but this Auth is not mounted on the application"
        raise ConfigError("mount", seen, "Call mount(app, auth).")
    loaded = lazy.loaded
    if loaded is None:
        cookie: bytes = b""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookie = cookie + b"; " + value if cookie else value
        lazy.loaded = loaded = auth.current(cookie.decode("latin-1"))
    return loaded


def unknown_session(scope: Scope) -> Awaitable[Loaded[Any]]:
    """What only waiting can tell, once `known_session` has said nothing."""
    lazy: LazySession[Any] = scope[_SCOPE_KEY]
    return lazy.load(scope)


class SojournMiddleware:
    """Answers everything under the base path and gives every other request its lazy session.

    Start-up and shut-down of `auth` follow the lifespan, also for applications that have none. What the application
    raises passes through untouched.
    """

    def __init__(self, app: ASGIApp, auth: Auth[Any]) -> None:
        self.app = app
        self.auth = auth
        self._base = auth.base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.dispatch(scope, receive, send)

    def dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The same as a plain function, for a caller that awaits what it returns: one coroutine less per request."""
        kind = scope["type"]
        if kind == "http":
            path = scope["path"] if not scope.get("root_path") else routed_path(scope)
            if path.startswith(self._base) and (path == self._base or path[len(self._base)] == "/"):
                return self._answer(scope, path, receive, send)
        elif kind == "lifespan":
            return self._lifespan(scope, receive, send)
        elif kind != "websocket":
            return self.app(scope, receive, send)
        lazy = scope[_SCOPE_KEY] = LazySession(self.auth)

        def send_marked(message: Message) -> Awaitable[None]:
            if lazy.loaded is not None and message["type"] in _STARTS:
                _mark(message, lazy.loaded)
            return send(message)

        return self.app(scope, receive, send_marked)

    async def _answer(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        try:
            body = b"" if scope["method"] in ("GET", "HEAD") else await _read_body(scope, receive)
            if body is None:
                return
            response = await self.auth.handle(_request(scope, path, body))
            messages = _messages(scope, response)
        except BadRequest as refused:
            # Bytes of the body may still be on their way: the connection cannot carry another request.
            closing = (("Connection", "close"),) if scope.get("http_version", "").startswith("1") else ()
            messages = _messages(scope, problem(refused.status, refused.code, "Bad request", str(refused), closing))
        except Exception:
            incident = secrets.token_hex(8)
            logger.exception("incident %s: %s %s failed", incident, scope["method"], ascii(path))
            failure = problem(
                500, "internal_error", "Internal server error", f"Something failed on our side (incident {incident})."
            )
            messages = _messages(scope, failure)
        for message in messages:
            await send(message)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        first: Message | None = await receive()
        try:
            await self.auth.start()
        except BaseException as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        asked = False

        async def receive_again() -> Message:
            nonlocal asked, first
            asked = True
            message, first = first, None
            return message or await receive()

        async def send_closing(message: Message) -> None:
            if message["type"] != "lifespan.startup.complete":
                await self.auth.aclose()
            await send(message)

        try:
            await self.app(scope, receive_again, send_closing)
        except Exception:
            if asked:
                await self.auth.aclose()
                raise
            await send({"type": "lifespan.startup.complete"})  # the application has no lifespan, ours goes on
            await receive()
            await send_closing({"type": "lifespan.shutdown.complete"})


def routed_path(scope: Scope) -> str:
    """The path that the application routes by: decoded, without the prefix it is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :]
    return path


def _request(scope: Scope, path: str, body: bytes = b"") -> Request:
    client = scope.get("client")
    return Request(
        method=scope.get("method", "GET"),  # a WebSocket's handshake is a GET
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=RawHeaders(scope["headers"]),
        body=body,
        client=client[0] if client else None,
        scheme=scope.get("scheme", "http"),
    )


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or `None` when the client went away; refused as soon as it is known to be too large."""
    declared: str = RawHeaders(scope["headers"]).get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> BadRequest:
    return BadRequest("body_too_large", f"The body is larger than {MAX_BODY // 1024} kB.", 413)


def _messages(scope: Scope, response: Response) -> tuple[Message, Message]:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    body = b"" if scope["method"] == "HEAD" else response.body
    return (
        {"type": "http.response.start", "status": response.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _mark(message: Message, loaded: Loaded[Any]) -> None:
    """Say to caches that the response depends on a session, and add its cookies."""
    headers: list[tuple[bytes, bytes]] = list(message.get("headers") or ())
    message["headers"] = headers
    if message["type"] != "websocket.accept":
        if loaded.cookies:
            headers[:] = [header for header in headers if header[0].lower() not in _CACHING]
            headers.append((b"cache-control", b"private, no-store"))
        _depend_on_cookie(headers)
    if loaded.cookies:
        headers.extend((b"set-cookie", cookie.header().encode("latin-1")) for cookie in loaded.cookies)


def _depend_on_cookie(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    if b"cache-control" not in names:
        headers.append(_PRIVATE)
    if b"vary" not in names:
        headers.append(_VARY)
        return
    index = names.index(b"vary")
    value = headers[index][1]
    if not {field.strip() for field in value.lower().split(b",")} & {b"cookie", b"*"}:
        headers[index] = (b"vary", value + b", Cookie")
