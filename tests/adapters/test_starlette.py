"""Starlette: mounting beside a lifespan of one's own, WebSockets, applications in applications."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sojourn.adapters.starlette import load_session, mount, require_session, signed_in
from sojourn.testing import DrivenClock
from tests.adapters.stories import SESSION_COOKIE, StoryClaims, make_auth


def cookie_of(token: str) -> dict[str, str]:
    return {"cookie": f"{SESSION_COOKIE}={token}"}


def test_the_applications_own_lifespan_and_state_stay() -> None:
    auth = make_auth(DrivenClock())
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        steps.append("up")
        yield {"own": "state"}
        steps.append("down")

    async def page(request: Request) -> Response:
        return PlainTextResponse(request.state.own)

    app = Starlette(routes=[Route("/", page)], lifespan=lifespan, middleware=[Middleware(GZipMiddleware)])
    mount(app, auth)
    with TestClient(app) as client:
        assert client.get("/").text == "state"
        assert client.get("/api/auth/csrf").status_code == 200
    assert steps == ["up", "down"]


def test_a_guard_keeps_its_endpoints_name_and_lets_in_who_is_signed_in() -> None:
    auth = make_auth(DrivenClock())

    @signed_in(auth)
    async def page(_: Request, session: object) -> Response:
        return PlainTextResponse(type(session).__name__)

    app = Starlette(routes=[Route("/", page)])
    mount(app, auth)
    client = TestClient(app)
    assert page.__name__ == "page"
    assert client.get("/").status_code == 401
    assert client.get("/", headers=cookie_of(auth.issue(StoryClaims(sub="1")))).text == "Session"


def test_a_websocket_is_extended_with_its_handshake_and_closed_for_nobody() -> None:
    clock = DrivenClock()
    auth = make_auth(clock)

    async def socket(websocket: WebSocket) -> None:
        session = await require_session(websocket, auth)
        await websocket.accept()
        await websocket.send_text(session.user_id)
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/ws", socket)])
    mount(app, auth)
    client = TestClient(app)
    token = auth.issue(StoryClaims(sub="1"))
    clock.advance("2h")
    with client.websocket_connect("/ws", headers=cookie_of(token)) as websocket:
        assert websocket.receive_text() == "1"
        assert SESSION_COOKIE in str(list(websocket.extra_headers or ()))
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws"):
        pass
    assert closed.value.code == 1008


def test_an_application_under_a_prefix_has_its_base_path_there() -> None:
    auth = make_auth(DrivenClock())

    async def page(request: Request) -> Response:
        session = await load_session(request, auth)
        return PlainTextResponse("nobody" if session is None else session.user_id)

    inner = Starlette(routes=[Route("/page", page)])
    mount(inner, auth)
    client = TestClient(Starlette(routes=[Mount("/inner", inner)]))
    assert client.get("/inner/api/auth/csrf").status_code == 200
    assert client.get("/api/auth/csrf").status_code == 404
    assert client.get("/inner/page", headers=cookie_of(auth.issue(StoryClaims(sub="7")))).text == "7"
