"""The standalone server: `/me` and `/healthz` beside the endpoints, under uvicorn with limits and quiet logs."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import httptools
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn.adapters.asgi import ASGIApp, load_session
from sojourn.adapters.starlette import mount, to_starlette
from sojourn.auth import Auth
from sojourn.errors import ConfigError
from sojourn.flows.session import Loaded
from sojourn.models import Session, User

__all__ = [
    "LimitedHTTP",
    "OneLine",
    "WithoutQuery",
    "bind",
    "build_app",
    "make_server",
    "serve",
    "session_document",
]

HEADER_BLOCK_LIMIT: Final = 64 * 1024  # bytes
REQUEST_SECONDS: Final = 30
SHUTDOWN_SECONDS: Final = 10
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def build_app(auth: Auth[Any]) -> Starlette:
    """The standalone application: the endpoints, `GET /me` and `GET /healthz`."""

    async def me(request: Request) -> Response:
        loaded = await load_session(request.scope, auth)
        if loaded.session is None:
            return to_starlette(auth.unauthorized(loaded))
        session = loaded.session
        user = await session.user() if session.load_user is not None else None
        if user is not None and user.disabled_at is not None:
            return to_starlette(auth.unauthorized(Loaded(code="session_ended")))
        return JSONResponse({"user": asdict(user or _as_claimed(session)), "session": session_document(session)})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = Starlette(routes=[Route("/me", me), Route("/healthz", healthz)])
    mount(app, auth)
    return app


def _as_claimed(session: Session[Any]) -> User:
    """What the session itself says: its user may be kept elsewhere, where the token was made."""
    claims = session.claims
    return User(id=session.user_id, name=claims.name, email=claims.email, image=claims.picture)


def session_document(session: Session[Any]) -> dict[str, Any]:
    """The claims under their names on the wire, and `expires` as `GET /session` writes it."""
    expires = datetime.fromtimestamp(session.expires_at, UTC).isoformat(timespec="milliseconds")
    document: dict[str, Any] = msgspec.to_builtins(session.claims)
    return {**document, "expires": expires.replace("+00:00", "Z")}


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. `ConfigError` names the port when it is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            "port", f"{host}:{port} cannot be used ({error.strerror or error})", "Choose another with --port."
        ) from error


def make_server(app: ASGIApp, *, ready: Callable[[str], None], access_log: bool = True) -> uvicorn.Server:
    """uvicorn with our limits and logs; `ready` gets the URL once requests are accepted."""
    config = uvicorn.Config(
        app,
        http=LimitedHTTP,
        ws="none",
        lifespan="on",
        log_config=_logging(access_log=access_log),
        access_log=access_log,
        proxy_headers=False,  # who may forward is `trusted_proxies`, judged by Auth
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return _Server(config, ready)


def serve(
    app: ASGIApp,
    listening: socket.socket,
    *,
    prepare: Callable[[], Awaitable[None]],
    ready: Callable[[str], None],
    access_log: bool = True,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight (at most 10 s) and return.

    `prepare` is awaited first, so that what cannot start raises here and not inside the server.
    """
    server = make_server(app, ready=ready, access_log=access_log)

    async def run() -> None:
        await prepare()
        await server.serve([listening])

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(run())


class _Server(uvicorn.Server):
    """Says when it is ready, and ends in order on a signal: uvicorn would raise the signal again at the end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


class LimitedHTTP(HttpToolsProtocol):
    """HTTP/1.1 with a limit on the header block, and on how long a request may take to arrive whole."""

    _deadline: asyncio.TimerHandle | None = None
    _whole = False
    _in_headers = True
    _chunk = 0
    _arrived = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._arrived += self._chunk
        super().data_received(data)
        if self._whole:
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.close)
        if self._in_headers and self._arrived > HEADER_BLOCK_LIMIT and not self.transport.is_closing():
            self.send_400_response("Header block too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._whole = False
        self._in_headers = True
        self._arrived = self._chunk

    def on_headers_complete(self) -> None:
        # Only a long read can have brought a long block in one piece; a short one needs no counting.
        if (
            self._arrived > HEADER_BLOCK_LIMIT
            and len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > HEADER_BLOCK_LIMIT
        ):
            raise httptools.HttpParserError("header block too large")
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class WithoutQuery(logging.Filter):
    """Takes the query off uvicorn's access lines: callbacks carry codes there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, version, status = record.args
            record.args = (client, method, str(path).partition("?")[0], version, status)
        return True


class OneLine(logging.Formatter):
    """A message can neither end its line nor steer a terminal; a traceback keeps its lines, indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        return "\n".join("    " + _CONTROL.sub("?", line) for line in super().formatException(ei).split("\n"))


def _logging(*, access_log: bool) -> dict[str, Any]:
    stream = {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": OneLine, "format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "filters": {"without_query": {"()": WithoutQuery}},
        "handlers": {"stderr": stream},
        "loggers": {
            "sojourn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            "uvicorn.access": {
                "handlers": ["stderr"] if access_log else [],
                "filters": ["without_query"],
                "level": "INFO",
                "propagate": False,
            },
        },
    }
