"""The standalone server: its two own routes, its limits on the wire, its logs, its start and end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from sojourn import Auth, Claims, ConfigError, SessionPolicy, StoreUnavailable, User
from sojourn import server as server_module
from sojourn.cli.users import add_user
from sojourn.providers import Credentials
from sojourn.server import HEADER_BLOCK_LIMIT, OneLine, WithoutQuery, bind, build_app, make_server
from tests.servers.postgres import Postgres, a_server
from tests.servers.valkey import own_server

ORIGIN = "http://localhost:3000"
COOKIE = "next-auth.session-token"


def make_auth(**settings: Any) -> Auth[Claims]:
    settings.setdefault("database", "memory:")
    settings.setdefault("session", SessionPolicy(max_age="1h", update_age="30m"))
    return Auth(
        secret="a secret of the tests of the standalone server",
        base_url=ORIGIN,
        providers=[Credentials()],
        **settings,
    )


@asynccontextmanager
async def client_of(auth: Auth[Claims]) -> AsyncIterator[httpx2.AsyncClient]:
    await auth.start()
    transport = httpx2.ASGITransport(app=build_app(auth))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client
    await auth.aclose()


@asynccontextmanager
async def running(auth: Auth[Claims]) -> AsyncIterator[tuple[str, int]]:
    """The real server on a free port of this event loop."""
    listening = bind("127.0.0.1", 0)
    address = listening.getsockname()
    ready = anyio.Event()
    server = make_server(build_app(auth), ready=lambda _: ready.set(), access_log=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        with anyio.fail_after(10):
            await ready.wait()
        yield address
        server.should_exit = True


async def exchange(address: tuple[str, int], data: bytes) -> bytes:
    """What the server answers to these bytes until it closes the connection."""
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(*address) as stream:
            await stream.send(data)
            received = b""
            try:
                async for part in stream:
                    received += part
            except anyio.BrokenResourceError:
                pass
            return received


async def test_healthz_asks_nobody() -> None:
    async with client_of(make_auth()) as client:
        response = await client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "vary" not in response.headers


async def test_me_is_401_for_nobody_and_user_and_session_for_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = make_auth()
    async with client_of(auth) as client:
        refused = await client.get("/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "session_missing")
        assert refused.headers["www-authenticate"]
        await auth._stores.users.create(User(id="u1", username="ada", email="ada@example.org", created_at=1))
        token = auth.issue(Claims(sub="u1", name="Ada"))
        response = await client.get("/me", headers={"cookie": f"{COOKIE}={token}"})
    assert response.status_code == 200
    body = response.json()
    assert (body["user"]["id"], body["user"]["username"], body["user"]["email"]) == ("u1", "ada", "ada@example.org")
    assert (body["session"]["sub"], body["session"]["name"]) == ("u1", "Ada")
    assert body["session"]["sid"]
    assert body["session"]["expires"].endswith(".000Z")
    assert "password" not in response.text


async def test_me_is_401_when_the_user_is_disabled() -> None:
    auth = make_auth()
    async with client_of(auth) as client:
        await auth._stores.users.create(User(id="u1", disabled_at=1))
        token = auth.issue(Claims(sub="u1"))
        response = await client.get("/me", headers={"cookie": f"{COOKIE}={token}"})
        assert (response.status_code, response.json()["code"]) == (401, "session_ended")


async def test_me_of_a_user_who_is_kept_elsewhere_is_what_the_session_says() -> None:
    auth = make_auth()
    async with client_of(auth) as client:
        token = auth.issue(Claims(sub="next-1", name="Ada", email="ada@example.com"))
        response = await client.get("/me", headers={"cookie": f"{COOKIE}={token}"})
        assert response.status_code == 200
        assert response.json()["user"]["id"] == "next-1"
        assert response.json()["user"]["email"] == "ada@example.com"


async def test_me_is_503_when_the_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = make_auth()

    async def down(_: str) -> User | None:
        raise StoreUnavailable("users", "no such disk", retry_after=3)

    async with client_of(auth) as client:
        monkeypatch.setattr(auth._stores.users, "get", down)
        token = auth.issue(Claims(sub="u1"))
        response = await client.get("/me", headers={"cookie": f"{COOKIE}={token}"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert "disk" not in response.text
    assert "set-cookie" not in response.headers


def test_a_taken_port_is_named() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(ConfigError, match="port") as refused:
        bind("127.0.0.1", first.getsockname()[1])
    assert "--port" in refused.value.fix


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/auth/signout HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/auth/signout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"POST /api/auth/signout HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n" + b"\x00",
        b"GARBAGE\r\n\r\n",
    ],
    ids=["length and chunked", "two lengths", "odd chunk", "negative length", "bare LF and NUL", "garbage"],
)
async def test_a_request_that_two_readers_could_read_differently_is_refused_and_closed(head: bytes) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    async with running(make_auth()) as address:
        answer = await exchange(address, head + smuggled)
    assert b"HTTP/1.1 400" in answer
    assert b'{"status":"ok"}' not in answer.partition(b"HTTP/1.1 400")[2]


@pytest.mark.parametrize("pieces", ["one name", "many fields", "never ending"])
async def test_a_header_block_over_64_kb_is_refused(pieces: str) -> None:
    field = {
        "one name": b"x: " + b"a" * HEADER_BLOCK_LIMIT + b"\r\n\r\n",
        "many fields": b"x: 0123456789\r\n" * 6000 + b"\r\n",
        "never ending": b"x: " + b"a" * (HEADER_BLOCK_LIMIT * 4),
    }[pieces]
    async with running(make_auth()) as address:
        answer = await exchange(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + field)
        fine = await exchange(
            address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx: " + b"a" * 60000 + b"\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 400")
    assert fine.startswith(b"HTTP/1.1 200")


async def test_a_long_body_is_not_taken_for_a_long_header_block() -> None:
    body = b"x" * (HEADER_BLOCK_LIMIT * 3)
    head = b"POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    after = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with running(make_auth()) as address:
        answer = await exchange(address, head + body + after)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_an_oversize_body_is_413_and_closes() -> None:
    head = b"POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    async with running(make_auth()) as address:
        answer = await exchange(address, head + b"x" * 100)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


async def test_a_request_that_does_not_arrive_whole_in_time_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.05)
    slow = [b"", b"GET /healthz HT", b"POST /api/auth/_log HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
    async with running(make_auth()) as address:
        for beginning in slow:
            assert await exchange(address, beginning or b"\r\n") == b""


async def test_the_server_names_no_product_and_survives_many_requests_on_one_connection() -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with running(make_auth()) as address:
        answer = await exchange(address, one * 3 + last)
    assert answer.count(b'{"status":"ok"}') == 4
    assert b"server:" not in answer.lower()


def test_access_lines_have_no_query() -> None:
    record = logging.LogRecord(
        "uvicorn.access", 20, "", 0, '%s "%s %s HTTP/%s" %d', ("c", "GET", "/cb?code=1", "1.1", 200), None
    )
    assert WithoutQuery().filter(record)
    assert record.getMessage() == 'c "GET /cb HTTP/1.1" 200'


def test_a_log_message_stays_on_its_line() -> None:
    record = logging.LogRecord("sojourn", 20, "", 0, "a\r\nb \x1b[31m %s", ("\u2028",), None)
    assert OneLine("%(message)s").format(record) == "a\\x0d\\x0ab \\x1b[31m \\x2028"


class Served:
    """`sojourn serve` as a process of its own, on a port that its configuration can name."""

    def __init__(self, folder: Path, settings: str, database: str) -> None:
        with bind("127.0.0.1", 0) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._config = folder / "sojourn.toml"
        self._config.write_text(
            f'base_url = "{self.url}"\nsecrets = ["a secret of a process that ends in order"]\n'
            f'database = "{database}"\n{settings}\n[[providers]]\ntype = "credentials"\n'
        )
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Run it until it takes requests."""
        port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "sojourn.cli", "serve", "--config", str(self._config), "--port", port]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SOJOURN", "NEXTAUTH", "AUTH"))
        }
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"sojourn ready on {self.url}\n", line + process.communicate(timeout=15)[1]
        return process

    def end(self, number: signal.Signals) -> tuple[str, str]:
        """What it still said after this signal."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=15)


@contextmanager
def served(folder: Path, settings: str, database: str) -> Iterator[Served]:
    server = Served(folder, settings, database)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def test_the_process_says_when_it_is_ready_and_ends_in_order(tmp_path: Path) -> None:
    with served(tmp_path, "", f"sqlite:///{tmp_path}/sojourn.db") as server:
        assert httpx2.get(f"{server.url}/healthz").json() == {"status": "ok"}
        assert httpx2.get(f"{server.url}/api/auth/session?token=hidden").json() == {}
        out, err = server.end(signal.SIGTERM)
    assert server.process.returncode == 0, err
    assert out == ""
    assert "GET /api/auth/session HTTP/1.1" in err
    assert "hidden" not in err


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with a_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "asyncpg", "psycopg", "redis"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A database, and the settings of sessions that are stored in it or in Redis: real servers for all."""
    file = f"sqlite:///{tmp_path}/sojourn.db"
    in_database = '[session]\nstrategy = "database"\nwith_user = true'
    match request.param:
        case "sqlite":
            yield file, in_database
        case "redis":
            with own_server() as valkey:
                yield file, f'redis = "{valkey.url}"\n[session]\nstrategy = "database"\nstore = "redis"'
        case driver:
            server: Postgres = request.getfixturevalue("postgres")
            name = server.make_database()
            yield server.url(name).replace("postgresql:", f"postgresql+{driver}:"), in_database
            server.drop_database(name)


def test_stored_sessions_of_a_process_end_with_their_records_and_outlive_it(
    tmp_path: Path, stored: tuple[str, str]
) -> None:
    def post(client: httpx2.Client, path: str, **fields: str) -> int:
        token = client.get("/api/auth/csrf").json()["csrfToken"]
        form = {"csrfToken": token, "json": "true", **fields}
        return client.post(f"/api/auth/{path}", data=form).status_code

    def session_of(client: httpx2.Client) -> tuple[int, Any]:
        seen = client.get("/me")
        return seen.status_code, seen.json().get("code") or seen.json()["user"]["username"]

    database, settings = stored
    with served(tmp_path, settings, database) as server:
        asyncio.run(add_user(database, "ada", "ada@example.org", "correct horse"))
        with httpx2.Client(base_url=server.url, headers={"origin": server.url}) as client:
            sign_in = {"username": "ada", "password": "correct horse"}
            assert post(client, "callback/credentials", **sign_in) == 200
            copied = client.cookies[COOKIE]
            sid, _, secret = copied.partition(".")
            assert (len(sid), len(secret)) == (36, 43)
            assert client.get("/api/auth/session").json()["user"]["email"] == "ada@example.org"
            assert session_of(client) == (200, "ada")
            assert post(client, "signout") == 200
            assert COOKIE not in client.cookies
            client.cookies.set(COOKIE, copied, domain="127.0.0.1")
            assert session_of(client) == (401, "session_invalid")

            assert post(client, "callback/credentials", **sign_in) == 200
            signed_in = client.cookies[COOKIE]
            assert signed_in != copied
            _, log = server.end(signal.SIGKILL)
            server.process = server.start()
            assert session_of(client) == (200, "ada")
            client.cookies.set(COOKIE, copied, domain="127.0.0.1")
            assert session_of(client) == (401, "session_invalid")
        log += server.end(signal.SIGTERM)[1]
    written = b"".join(path.read_bytes() for path in tmp_path.glob("sojourn.db*"))
    for token in (copied, signed_in):
        assert token.partition(".")[2] not in log
        assert token.partition(".")[2].encode() not in written
