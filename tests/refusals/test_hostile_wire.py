"""Bytes on a real socket that no honest client sends; `tests/test_server.py` has the limits themselves."""

from __future__ import annotations

import gc
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from sojourn import Auth, Claims
from sojourn.adapters.starlette import mount, require_session
from sojourn.providers import Credentials
from sojourn.server import bind, build_app, make_server
from tests.support import SESSION, make_auth

BASE = b"/api/auth"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Auth[Claims], tuple[str, int]]]:
    """The standalone server on a free port of this event loop."""
    auth: Auth[Claims] = Auth(
        secret="a secret of the tests on the wire, long enough",
        base_url="http://localhost:3000",
        providers=[Credentials()],
        database="memory:",
    )
    listening = bind("127.0.0.1", 0)
    ready = anyio.Event()
    server = make_server(build_app(auth), ready=lambda _: ready.set(), access_log=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        with anyio.fail_after(10):
            await ready.wait()
        yield auth, listening.getsockname()
        server.should_exit = True


async def exchange(address: tuple[str, int], *pieces: bytes, patience: float = 5.0) -> bytes:
    """What comes back for these pieces, sent one after the other, until the server closes or patience (in s) ends."""
    received = b""
    async with await anyio.connect_tcp(*address) as stream:
        with anyio.move_on_after(patience):
            try:
                for piece in pieces:
                    await stream.send(piece)
                async for part in stream:
                    received += part
            except (anyio.BrokenResourceError, ConnectionError):
                pass
    return received


def answers(received: bytes) -> list[int]:
    """The statuses in these bytes."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


REFUSED = {
    "blank before the colon": b"Content-Length : 5\r\n",
    "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
    "plus sign in the length": b"Content-Length: +5\r\n",
    "hexadecimal length": b"Content-Length: 0x5\r\n",
    "length of 30 digits": b"Content-Length: " + b"9" * 30 + b"\r\n",
    "two lengths in one field": b"Content-Length: 5, 6\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "coding after chunked": b"Transfer-Encoding: chunked, identity\r\n",
    "NUL in a value": b"X: a\0b\r\n",
    "bare CR in a value": b"X: a\rContent-Length: 5\r\n",
    "no colon": b"garbage\r\n",
    "empty name": b": x\r\n",
    "a name with blanks": b"a b: x\r\n",
}


async def test_fields_that_two_readers_read_differently_smuggle_nothing() -> None:
    smuggled = b"GET /healthz?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running() as (_, address):
        for name, fields in REFUSED.items():
            head = b"POST " + BASE + b"/_log HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n"
            received = await exchange(address, head + smuggled)
            statuses = answers(received)
            assert statuses == [] or 400 in statuses, (name, received)
            assert b'{"status":"ok"}' not in received, name
        assert answers(await exchange(address, LAST)) == [200]


LINES = {
    "no version": b"GET /me\r\n\r\n",
    "HTTP/0.9": b"GET /me HTTP/0.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /me HTTP/9.9\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  /me  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control in the path": b"GET /m\x01e HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the path": b"GET /me\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "a proxy line": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /me HTTP/1.1\r\n\r\n",
    "a made-up method": b"HACK /me HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


async def test_a_first_line_that_is_none_is_answered_or_closed_and_shows_nothing() -> None:
    async with running() as (_, address):
        for name, line in LINES.items():
            received = await exchange(address, line.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n"))
            assert all(400 <= status < 500 for status in answers(received)), (name, received)
            assert b'"session":' not in received, name
        assert answers(await exchange(address, LAST)) == [200]


PATHS = [
    b"//api/auth/session",
    b"/api/auth/../auth/session",
    b"/api/auth%2fsession",
    b"/api%2fauth/session",
    b"/API/AUTH/session",
    b"/api/auth/session;x=1",
    b"/api/auth/session%00",
    b"/api/auth/session%0d%0aX:%20y",
    b"/api/auth/%ff%fe",
    b"/api/auth/signin/%ed%a0%80",
    b"/api/auth/error/%E0%A4%A",
    b"/api/auth/" + b"a/" * 4000,
    b"http://evil.example/api/auth/signin?callbackUrl=http://evil.example",
    b"http://evil.example/me",
    b"/me?" + b"&" * 20_000,
    b"/me%3f",
    b"/%6de",
    b"*",
]


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"TRACE", b"HEAD"])
async def test_odd_paths_are_answered_without_a_server_error_or_a_way_out(method: bytes) -> None:
    async with running() as (_, address):
        for path in PATHS:
            line = method + b" " + path + b" HTTP/1.1\r\n"
            received = await exchange(address, line + b"Host: evil.example\r\nConnection: close\r\n\r\n")
            (status,) = answers(received)
            assert status < 500, path
            head, _, body = received.partition(b"\r\n\r\n")
            locations = [field for field in head.split(b"\r\n") if field.lower().startswith(b"location")]
            assert b"evil.example" not in b"".join(locations), path
            assert b"X: y" not in head
            assert b'"user":{' not in body
            if method == b"HEAD":
                assert body == b""


async def test_a_body_in_endless_chunks_is_cut_at_the_limit() -> None:
    head = b"POST " + BASE + b"/signout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    async with running() as (_, address):
        received = await exchange(address, head, *[chunk] * 9)  # a little more than it takes
        assert answers(received)[:1] == [413]
        assert answers(await exchange(address, LAST)) == [200]


async def test_a_chunk_whose_size_says_more_than_memory_holds_costs_none() -> None:
    head = b"POST " + BASE + b"/signout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with running() as (_, address):
        for size in (b"ffffffffffffffff", b"7fffffffffffffff", b"1" + b"0" * 40, b"-1", b"5;" + b"x" * 30_000):
            request = head + size + b"\r\nhello\r\n0\r\n\r\n" + LAST
            received = await exchange(address, request, patience=0.3)  # it may wait for the rest of the chunk
            assert all(status in (200, 302, 400, 413) for status in answers(received)), (size, received)


async def test_many_who_send_half_a_request_leave_room_for_others_and_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("sojourn"), "disabled", True)
    async with running() as (_, address):

        async def half(piece: bytes) -> None:
            async with await anyio.connect_tcp(*address) as stream:
                await stream.send(piece)

        async def wave() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(60):
                    tasks.start_soon(
                        half, b"POST " + BASE + b"/signout HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"[number:]
                    )
            assert answers(await exchange(address, LAST)) == [200]

        await wave()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(4):
            await wave()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 300_000


@pytest.mark.parametrize("piece", [1, 3, 7])
async def test_a_request_in_tiny_pieces_is_the_same_request(piece: int) -> None:
    async with running() as (_, address):
        whole = b"GET " + BASE + b"/csrf HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        received = await exchange(address, *(whole[at : at + piece] for at in range(0, len(whole), piece)))
    assert answers(received) == [200]
    assert len(json.loads(received.partition(b"\r\n\r\n")[2])["csrfToken"]) == 64


async def test_a_cookie_in_several_fields_is_one_header() -> None:
    async with running() as (auth, address):
        token = auth.issue(Claims(sub="ada", name="Ada")).encode()
        fields = b"Cookie: a=b\r\nCookie: " + SESSION.encode() + b"=" + token + b"\r\nCookie: c=\xff\xfe; d\r\n"
        received = await exchange(
            address, b"GET " + BASE + b"/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + fields + b"\r\n"
        )
    assert b'"name":"Ada"' in received


async def test_any_bytes_of_a_cookie_are_answered() -> None:
    values = [b"\xff\xfe", b"%", b'"', b"a" * 60_000, b";" * 60_000, b"=" * 60_000, b"a=b; " * 12_000]
    async with running() as (_, address):
        for value in values:
            for path in (b"/me", BASE + b"/session", BASE + b"/csrf"):
                request = (
                    b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: " + value + b"\r\n\r\n"
                )
                with anyio.fail_after(2):
                    (status,) = answers(await exchange(address, request))
                assert status in (200, 401), value[:9]


async def test_a_websocket_to_the_endpoints_is_no_way_in() -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    async with running() as (_, address):
        for path in (BASE + b"/session", b"/me"):
            received = await exchange(address, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + upgrade + key + b"\r\n")
            (status,) = answers(received)
            assert status in (200, 401)
            assert b'"user":{' not in received


async def test_a_websocket_under_the_base_path_reaches_no_session_by_itself() -> None:
    """The middleware answers HTTP; a WebSocket goes to the application, whose guard decides."""
    auth = make_auth()
    sent: list[Any] = []

    async def private(socket: WebSocket) -> None:
        session = await require_session(socket, auth)
        await socket.accept()
        await socket.send_text(session.user_id)

    app = Starlette(routes=[WebSocketRoute("/api/auth/live", private), WebSocketRoute("/live", private)])
    mount(app, auth)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/api/auth/live", "/live", "/nowhere"):
        for cookie in ("", f"{SESSION}=x.y.z", "\xff"):
            sent.clear()
            scope: dict[str, Any] = {
                "type": "websocket",
                "path": path,
                "raw_path": path.encode(),
                "root_path": "",
                "query_string": b"",
                "headers": [(b"cookie", cookie.encode("latin-1"))],
                "subprotocols": [],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 2),
                "scheme": "ws",
                "extensions": {},
            }
            await app(scope, receive, send)
            assert [message["type"] for message in sent] == ["websocket.close"], (path, sent)
