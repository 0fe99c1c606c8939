"""Each example does its main job, as a browser would ask for it."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sojourn import Auth, Claims, configfile
from sojourn.cli.app import run
from sojourn.cli.users import add_user
from sojourn.server import build_app
from tests.docs.blocks import ROOT

EXAMPLES = ROOT / "examples"
ORIGIN = "http://127.0.0.1:8000"
SESSION = "next-auth.session-token"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOJOURN_SECRET", "hN7s-Qa2Lk9VwXz4Rb6Tc1Yd8Ue5Pf3Go0Mi-Jx")


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, as a fresh module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def browser(app: Any, auth: Auth[Any]) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with cookies, on an application that has been started."""
    await auth.start()
    try:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
            yield client
    finally:
        await auth.aclose()


async def post(client: httpx2.AsyncClient, path: str, **fields: Any) -> httpx2.Response:
    token = (await client.get("/api/auth/csrf")).json()["csrfToken"]
    return await client.post(f"/api/auth/{path}", json={"csrfToken": token, "json": "true", **fields})


async def sign_in(client: httpx2.AsyncClient, username: str, password: str) -> int:
    return (await post(client, "callback/credentials", username=username, password=password)).status_code


async def test_fastapi_app(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("fastapi_app", monkeypatch)
    await add_user("sqlite:///app.db", "ada", "ada@example.com", "correct horse", name="Ada")
    async with browser(module.app, module.auth) as client:
        assert (await client.get("/")).json() == "Hello, whoever you are."
        refused = await client.get("/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "session_missing")
        assert await sign_in(client, "ada", "wrong horse") == 401
        assert await sign_in(client, "ada", "correct horse") == 200
        assert (await client.get("/")).json() == "Hello, Ada."
        me = (await client.get("/me")).json()
        assert (me["username"], me["email"]) == ("ada", "ada@example.com")
        assert me["last_login_at"] > 0
        copied = client.cookies[SESSION]
        assert (await post(client, "signout")).status_code == 200
        assert SESSION not in client.cookies
        client.cookies.set(SESSION, copied, domain="127.0.0.1")
        assert (await client.get("/me")).json()["code"] == "session_ended"


def test_starlette_app(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("starlette_app", monkeypatch)
    asyncio.run(add_user("sqlite:///app.db", "ada", "ada@example.com", "correct horse", name="Ada"))
    with TestClient(module.app, base_url=ORIGIN) as client:
        assert client.get("/me").status_code == 401
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("ws://127.0.0.1:8000/echo"):
            pass
        assert closed.value.code == 1008
        token = client.get("/api/auth/csrf").json()["csrfToken"]
        form = {"csrfToken": token, "username": "ada@example.com", "password": "correct horse"}
        entered = client.post("/api/auth/callback/credentials", data=form)
        assert entered.text == "Hello, Ada."  # the browser was sent home
        assert client.get("/me").json()["email"] == "ada@example.com"
        with client.websocket_connect("ws://127.0.0.1:8000/echo") as websocket:
            websocket.send_text("good morning")
            assert websocket.receive_text() == "Ada: good morning"


async def test_own_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("own_passwords", monkeypatch)
    await module.register("ada", "Ada", "ada@example.com", "correct horse")
    async with browser(module.app, module.auth) as client:
        assert await sign_in(client, "ada", "wrong horse") == 401
        assert await sign_in(client, "nobody", "correct horse") == 401
        assert (await client.get("/number")).status_code == 401
        assert await sign_in(client, "ada", "correct horse") == 200
        assert (await client.get("/number")).json() == "1"


async def test_typed_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("typed_claims", monkeypatch)
    async with browser(module.app, module.auth) as client:
        assert await sign_in(client, "ada", "open sesame") == 200
        shown = (await client.get("/api/auth/session")).json()
        assert (shown["user"]["name"], shown["role"], shown["isSponsor"]) == ("Ada", "reader", True)
        assert (await client.post("/articles")).status_code == 403
        updated = (await post(client, "session", data={"name": "Countess", "role": "editor"})).json()
        assert (updated["user"]["name"], updated["role"]) == ("Countess", "reader")
        assert await sign_in(client, "grace", "open sesame") == 200
        assert (await client.post("/articles")).json() == "Written by Grace."


async def test_sojourn_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    file = EXAMPLES / "sojourn.toml"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
    command = ["users", "add", "ada", "--email", "ada@example.com", "--password-stdin", "--config", str(file)]
    assert await asyncio.to_thread(run, command) == 0
    auth = Auth.from_config(configfile.load(file, claims=Claims))
    async with browser(build_app(auth), auth) as client:
        assert (await client.get("/me")).status_code == 401
        assert await sign_in(client, "ada", "correct horse") == 200
        assert (await client.get("/me")).json()["user"]["username"] == "ada"
        allowed = await client.get("/api/auth/verify")
        assert allowed.status_code == 204
        assert allowed.headers["x-auth-email"] == "ada@example.com"


def test_every_example_is_tested() -> None:
    tests = Path(__file__).read_text()
    names = [path.name.replace(".", "_").removesuffix("_py") for path in EXAMPLES.iterdir() if path.is_file()]
    assert names
    assert [name for name in names if f"def test_{name}(" not in tests] == []
