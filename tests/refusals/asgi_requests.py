"""A guarded application, asked over ASGI with exactly the headers that a case needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sojourn import Auth, Session
from sojourn.adapters.starlette import mount, signed_in
from tests.support import MyClaims


async def ask(
    app: Any,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    query: str = "",
    raw: str = "",
) -> tuple[int, dict[str, str], bytes]:
    """One request to an ASGI application, with exactly these headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": (raw or path).encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
    }
    await app(scope, receive, send)
    start, body = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
    return start["status"], {name.decode(): value.decode("latin-1") for name, value in start["headers"]}, body


def guarded_app(auth: Auth[MyClaims]) -> Starlette:
    @signed_in(auth)
    async def private(request: StarletteRequest, session: Session[MyClaims]) -> Response:
        return PlainTextResponse(f"secret of {session.user_id}")

    app = Starlette(routes=[Route("/private", private, methods=["GET", "POST"])])
    mount(app, auth)
    return app
