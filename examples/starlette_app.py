"""A Starlette application: an open page, a guarded one, and a WebSocket that only people with a session may open.

Run it with `uvicorn starlette_app:app` beside this file. SOJOURN_SECRET has to be set: `sojourn keys new` prints one.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sojourn import Auth, Claims, Session
from sojourn.adapters.starlette import load_session, mount, require_session, signed_in
from sojourn.providers import Credentials

auth = Auth(base_url="http://127.0.0.1:8000", providers=[Credentials()], database="sqlite:///app.db")


async def home(request: Request) -> Response:
    session = await load_session(request, auth)
    return PlainTextResponse("Hello, whoever you are." if session is None else f"Hello, {session.claims.name}.")


@signed_in(auth)
async def me(request: Request, session: Session[Claims]) -> Response:
    return JSONResponse({"id": session.user_id, "email": session.claims.email})


async def echo(websocket: WebSocket) -> None:
    session = await require_session(websocket, auth)  # closes with 1008 for somebody without a session
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{session.claims.name}: {text}")


app = Starlette(routes=[Route("/", home), Route("/me", me), WebSocketRoute("/echo", echo)])
mount(app, auth)
