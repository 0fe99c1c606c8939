"""The stories' application, written once for each adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sojourn import Auth, Session
from sojourn.adapters import fastapi, starlette
from sojourn.adapters.asgi import ASGIApp, SojournMiddleware, load_session
from tests.adapters.stories import StoryClaims

_CACHED = "public, max-age=60"


def raw_asgi(auth: Auth[StoryClaims]) -> ASGIApp:
    """Nothing but the specification."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def answer(status: int, body: object, *headers: tuple[bytes, bytes]) -> None:
            await send({"type": "http.response.start", "status": status, "headers": list(headers)})
            await send({"type": "http.response.body", "body": json.dumps(body).encode()})

        match scope["path"]:
            case "/open":
                await answer(200, "open")
            case "/me":
                loaded = await load_session(scope, auth)
                if loaded.session is None:
                    refusal = auth.unauthorized(loaded)
                    raw = [(name.lower().encode(), value.encode()) for name, value in refusal.headers]
                    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
                    await send({"type": "http.response.body", "body": refusal.body})
                else:
                    await answer(200, _document(loaded.session))
            case "/maybe":
                session = (await load_session(scope, auth)).session
                await answer(200, {"sub": session.user_id if session else None})
            case "/cached":
                await load_session(scope, auth)
                await answer(200, "cached", (b"cache-control", _CACHED.encode()))
            case "/boom":
                await load_session(scope, auth)
                raise LookupError("the application's own")
            case _:
                await answer(404, "not found")

    return SojournMiddleware(app, auth)


def on_starlette(auth: Auth[StoryClaims]) -> ASGIApp:
    async def open_(_: Request) -> Response:
        return PlainTextResponse("open")

    @starlette.signed_in(auth)
    async def me(_: Request, session: Session[StoryClaims]) -> Response:
        return JSONResponse(_document(session))

    async def maybe(request: Request) -> Response:
        session = await starlette.load_session(request, auth)
        return JSONResponse({"sub": session.user_id if session else None})

    async def cached(request: Request) -> Response:
        await starlette.load_session(request, auth)
        return PlainTextResponse("cached", headers={"cache-control": _CACHED})

    async def boom(request: Request) -> Response:
        await starlette.load_session(request, auth)
        raise LookupError("the application's own")

    paths = {"/open": open_, "/me": me, "/maybe": maybe, "/cached": cached, "/boom": boom}
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    starlette.mount(app, auth)
    return app


def on_fastapi(auth: Auth[StoryClaims]) -> ASGIApp:
    app = FastAPI()
    fastapi.mount(app, auth)
    needed = fastapi.SignedIn(auth)
    possible = fastapi.MaybeSignedIn(auth)

    # The annotations hold local names: FastAPI must be given values, not strings to look up.
    async def open_() -> str:
        return "open"

    async def me(session: Any = Depends(needed)) -> dict[str, Any]:
        return _document(session)

    async def maybe(session: Any = Depends(possible)) -> dict[str, Any]:
        return {"sub": session.user_id if session else None}

    async def cached(response: Response, session: Any = Depends(possible)) -> str:
        response.headers["cache-control"] = _CACHED
        return "cached"

    async def boom(session: Any = Depends(possible)) -> None:
        raise LookupError("the application's own")

    paths: dict[str, Callable[..., Any]] = {
        "/open": open_,
        "/me": me,
        "/maybe": maybe,
        "/cached": cached,
        "/boom": boom,
    }
    for path, endpoint in paths.items():
        app.add_api_route(path, endpoint)
    return app


def _document(session: Session[StoryClaims]) -> dict[str, Any]:
    return {"sub": session.user_id, "username": session.claims.username}


APPLICATIONS = {"asgi": raw_asgi, "starlette": on_starlette, "fastapi": on_fastapi}
