"""Answers that are none: unavailable, asked once more where that is safe, and never taken for data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sojourn.stores.redis import RedisServer
from tests.stores.redis_fake import NIL, OK, Fake
from tests.stores.redis_load import FAR, a_session, unavailable

SID = a_session("ada").sid
NOT_NOW = ("LOADING Redis is loading", "READONLY You can't write", "MASTERDOWN Link down", "BUSY Redis is busy")
NEVER = ("OOM command not allowed", "NOPERM this user", "ERR unknown", "WRONGTYPE Operation", "MISCONF Errors writing")


def error(text: str) -> bytes:
    return f"-{text}\r\n".encode()


def first_then(first: bytes, then: bytes) -> Callable[[list[str]], bytes]:
    answers = iter([first])
    return lambda words: next(answers, then)


@pytest.mark.parametrize("text", [*NOT_NOW, "CLUSTERDOWN Hash slot not served", "NOAUTH Authentication required"])
async def test_what_is_not_ready_is_asked_once_more_elsewhere(text: str) -> None:
    async with Fake(first_then(error(text), NIL)).listening() as fake:
        server = RedisServer(fake.url)
        assert await server.sessions.get(SID) is None
        assert fake.heard == ["GET", "GET"]
        assert fake.connections == 2
        await server.aclose()


@pytest.mark.parametrize("text", [*NOT_NOW, *NEVER, "MOVED 3 127.0.0.1:1", "CLUSTERDOWN down", "NOSCRIPT none"])
async def test_no_error_is_ever_data(text: str) -> None:
    async with Fake(lambda words: error(text)).listening() as fake:
        server = RedisServer(fake.url)
        await unavailable(server.sessions.get(SID))
        await unavailable(server.sessions.delete(SID))
        await unavailable(server.once.spend("a", FAR))
        await unavailable(server.counters.take("a", count=1, period=1))
        await unavailable(server.revocations.read())
        await server.aclose()


@pytest.mark.parametrize("text", NEVER)
async def test_an_answer_that_will_not_change_is_not_asked_for_twice(text: str) -> None:
    async with Fake(lambda words: error(text)).listening() as fake:
        server = RedisServer(fake.url)
        await unavailable(server.sessions.get(SID))
        assert len(fake.heard) == 1
        await server.aclose()


async def test_what_a_server_quotes_of_a_command_is_not_repeated() -> None:
    said = "ERR unknown command 'GET', with args beginning with: 'a secret'"
    async with Fake(lambda words: error(said)).listening() as fake:
        server = RedisServer(fake.url)
        assert await unavailable(server.sessions.get(SID)) == "ERR unknown command 'GET'"
        await server.aclose()


async def test_a_connection_cut_after_a_command_repeats_reads_alone() -> None:
    async with Fake(first_then(b"", NIL)).listening() as fake:
        server = RedisServer(fake.url)
        assert await server.sessions.get(SID) is None
        assert fake.heard == ["GET", "GET"]
        await server.aclose()
    for attempt in ("delete", "spend"):
        async with Fake(first_then(b"", OK)).listening() as fake:
            server = RedisServer(fake.url)
            await unavailable(
                server.sessions.delete(SID) if attempt == "delete" else server.once.spend("a", FAR),
            )
            assert len(fake.heard) == 1
            await server.aclose()


async def test_a_late_answer_is_not_waited_for_twice() -> None:
    async with Fake(lambda words: None).listening() as fake:
        server = RedisServer(fake.url)
        assert await unavailable(server.sessions.get(SID)) == "it did not answer in time"
        assert fake.heard == ["GET"]
        await server.aclose()


@pytest.mark.parametrize("said", [b"$3\r\nabc\r\n", b":1\r\n", b"*1\r\n:1\r\n", b"$33\r\n" + b"\1" * 33 + b"\r\n"])
async def test_what_somebody_else_wrote_is_no_session(said: bytes) -> None:
    async with Fake(lambda words: said).listening() as fake:
        server = RedisServer(fake.url)
        assert await unavailable(server.sessions.get(SID)) == "what is kept for a session is none"
        await server.aclose()


async def test_a_log_that_somebody_else_wrote_is_none() -> None:
    async with Fake(lambda words: b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n").listening() as fake:
        server = RedisServer(fake.url)
        assert await unavailable(server.revocations.read()) == "what is kept in the log is no revocation"
        await server.aclose()


async def test_a_closed_server_takes_no_calls_until_it_is_opened() -> None:
    async with Fake(lambda words: NIL).listening() as fake:
        server = RedisServer(fake.url)
        assert await server.sessions.get(SID) is None
        await server.aclose()
        await server.aclose()
        assert await unavailable(server.sessions.get(SID)) == "it was closed"
        await server.connect()
        assert await server.sessions.get(SID) is None
        await server.aclose()


async def test_closing_finishes_what_was_asked() -> None:
    async with Fake(lambda words: NIL).listening() as fake:
        server = RedisServer(fake.url)
        calls = [asyncio.create_task(server.sessions.get(SID)) for _ in range(20)]
        await asyncio.sleep(0)
        await server.aclose()
        assert await asyncio.gather(*calls) == [None] * 20


async def test_two_event_loops_at_once_are_refused_and_one_after_the_other_is_fine() -> None:
    async with Fake(lambda words: NIL).listening() as fake:
        server = RedisServer(fake.url)
        assert await server.sessions.get(SID) is None
        told = await asyncio.to_thread(asyncio.run, unavailable(server.sessions.get(SID)))
        assert told == "it is in use in another event loop"
        await server.aclose()

        async def a_life() -> None:
            await server.connect()
            assert await server.sessions.get(SID) is None
            await server.aclose()

        await asyncio.to_thread(asyncio.run, a_life())


async def test_two_hundred_callers_make_one_connection() -> None:
    async with Fake(lambda words: NIL).listening() as fake:
        server = RedisServer(fake.url)
        assert await asyncio.gather(*(server.sessions.get(SID) for _ in range(200))) == [None] * 200
        assert fake.connections == 1
        await server.aclose()


async def test_a_caller_who_leaves_while_it_connects_takes_nobody_along() -> None:
    async with Fake(lambda words: NIL).listening() as fake:
        server = RedisServer(fake.url)
        calls = [asyncio.create_task(server.sessions.get(SID)) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await asyncio.gather(*calls[1:]) == [None, None]
        await server.aclose()
