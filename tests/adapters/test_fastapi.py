"""FastAPI: the dependency's identity, its documentation, its refusals, and both ways of writing annotations."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketDisconnect

from sojourn import Auth, Loaded, Session, StoreUnavailable
from sojourn.adapters.fastapi import MaybeSignedIn, NotSignedIn, SignedIn, mount
from sojourn.testing import DrivenClock
from tests.adapters import plain_annotations
from tests.adapters.stories import SESSION_COOKIE, StoryClaims, make_auth

CLOCK = DrivenClock()
AUTH = make_auth(CLOCK)
app = FastAPI()
mount(app, AUTH)


@app.get("/me")
async def me(session: Annotated[Session[StoryClaims], Depends(SignedIn(AUTH))]) -> dict[str, str]:
    return {"sub": session.user_id}


@app.get("/both")
async def both(
    needed: Annotated[Session[StoryClaims], Depends(SignedIn(AUTH))],
    possible: Annotated[Session[StoryClaims] | None, Depends(MaybeSignedIn(AUTH))],
) -> dict[str, bool]:
    return {"same": needed is possible}


@app.get("/open")
async def open_() -> str:
    return "open"


@app.websocket("/ws")
async def socket(websocket: WebSocket, session: Annotated[Session[StoryClaims], Depends(SignedIn(AUTH))]) -> None:
    await websocket.accept()
    await websocket.send_text(session.user_id)
    await websocket.close()


class DownAuth(Auth[StoryClaims]):
    """An Auth that can never tell."""

    async def load(self, request: object) -> Loaded[StoryClaims]:
        return Loaded(code="unavailable", unavailable=StoreUnavailable("users", retry_after=7))


def cookie() -> dict[str, str]:
    return {"cookie": f"{SESSION_COOKIE}={AUTH.issue(StoryClaims(sub='1', username='ada'))}"}


def test_equal_dependencies_are_one() -> None:
    other = make_auth(CLOCK)
    assert SignedIn(AUTH) == SignedIn(AUTH)
    assert hash(SignedIn(AUTH)) == hash(SignedIn(AUTH))
    assert SignedIn(AUTH) != SignedIn(other)
    assert SignedIn(AUTH) != MaybeSignedIn(AUTH)
    assert SignedIn(AUTH) != object()


def test_an_override_is_found_by_an_equal_dependency() -> None:
    session = AUTH.verify(AUTH.issue(StoryClaims(sub="overridden")))
    app.dependency_overrides[SignedIn(AUTH)] = lambda: session
    try:
        assert TestClient(app).get("/me").json() == {"sub": "overridden"}
    finally:
        app.dependency_overrides.clear()


@pytest.mark.parametrize("application", [app, plain_annotations.make_app(AUTH)], ids=["strings", "values"])
def test_annotations_may_be_strings_or_values(application: FastAPI) -> None:
    client = TestClient(application)
    assert client.get("/me").status_code == 401
    assert client.get("/me", headers=cookie()).json() == {"sub": "1"}


def test_both_kinds_share_one_session() -> None:
    assert TestClient(app).get("/both", headers=cookie()).json() == {"same": True}


def test_the_401_is_a_problem_document_with_fastapis_detail() -> None:
    response = TestClient(app).get("/me")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"]
    assert isinstance(response.json()["detail"], str)


def test_the_docs_show_the_lock_on_guarded_routes_only() -> None:
    document = app.openapi()
    scheme = document["components"]["securitySchemes"]["Sojourn session"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "cookie", SESSION_COOKIE)
    assert document["paths"]["/me"]["get"]["security"] == [{"Sojourn session": []}]
    assert "security" not in document["paths"]["/open"]["get"]


def test_a_websocket_of_nobody_is_closed_with_1008() -> None:
    with pytest.raises(WebSocketDisconnect) as closed, TestClient(app).websocket_connect("/ws"):
        pass
    assert (closed.value.code, closed.value.reason) == (1008, "session_missing")


def test_a_websocket_has_its_session() -> None:
    with TestClient(app).websocket_connect("/ws", headers=cookie()) as websocket:
        assert websocket.receive_text() == "1"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:8001", "http://sub.127.0.0.1:8000"]
)
def test_a_websocket_that_another_site_opened_has_no_session(origin: str) -> None:
    headers = {**cookie(), "origin": origin}
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        TestClient(app).websocket_connect("/ws", headers=headers),
    ):
        pass
    assert closed.value.code == 1008


def test_a_websocket_of_our_own_origin_has_its_session() -> None:
    headers = {**cookie(), "origin": AUTH.origin}
    with TestClient(app).websocket_connect("/ws", headers=headers) as websocket:
        assert websocket.receive_text() == "1"


def test_a_store_that_is_down_is_503_for_needed_and_for_possible_sessions() -> None:
    auth = DownAuth(
        secret="a secret of a store that is down all day long", base_url="http://localhost:3000", claims=StoryClaims
    )
    application = FastAPI()
    mount(application, auth)

    @application.get("/me")
    async def needed(session: object = Depends(SignedIn(auth))) -> None: ...

    @application.get("/maybe")
    async def possible(session: object = Depends(MaybeSignedIn(auth))) -> None: ...

    @application.websocket("/ws")
    async def needed_socket(websocket: WebSocket, session: object = Depends(SignedIn(auth))) -> None: ...

    @application.websocket("/maybe-ws")
    async def possible_socket(websocket: WebSocket, session: object = Depends(MaybeSignedIn(auth))) -> None: ...

    client = TestClient(application)
    for path in ("/me", "/maybe"):
        response = client.get(path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "7")
        assert response.json()["code"] == "unavailable"
    for path in ("/ws", "/maybe-ws"):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(path):
            pass
        assert closed.value.code == 1013


def test_the_applications_own_handler_for_nobody_stays() -> None:
    application = FastAPI()

    @application.exception_handler(NotSignedIn)
    async def mine(_: Request, error: Exception) -> Response:
        return JSONResponse({"mine": True}, 418)

    mount(application, AUTH)
    application.add_api_route("/me", me)
    assert TestClient(application).get("/me").status_code == 418


def test_a_sub_application_answers_401_in_fastapis_own_shape() -> None:
    outer, inner = FastAPI(), FastAPI()
    mount(outer, AUTH)
    inner.add_api_route("/me", me)
    outer.mount("/inner", inner)
    client = TestClient(outer)
    refused = client.get("/inner/me")
    assert (refused.status_code, refused.json()) == (401, {"detail": "Not signed in"})
    assert refused.headers["www-authenticate"]
    assert client.get("/inner/me", headers=cookie()).json() == {"sub": "1"}
    assert client.get("/api/auth/csrf").status_code == 200
