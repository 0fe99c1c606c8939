"""A Redis that is down, killed, paused, full, evicting or emptied: told in time, and back without a restart."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Iterator

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.ports import Revocation
from sojourn.stores.redis import RedisServer
from tests.servers.valkey import OwnValkey, own_server
from tests.stores.redis_load import FAR, Load, a_session, extension, unavailable

# Half a second to connect, half a second for the answer; the rest is for a machine that is busy.
BOUND = 0.5 + 0.5 + 0.7


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    """Not the one of the other tests: this one is killed, and keeps what it said it has."""
    with own_server("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0") as server:
        yield server


@pytest.fixture
async def server(valkey: OwnValkey) -> AsyncIterator[RedisServer]:
    valkey.ask("CONFIG", "SET", "maxmemory", "0")
    valkey.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    valkey.ask("FLUSHALL")
    server = RedisServer(valkey.url)
    await server.connect()
    yield server
    await server.aclose()


async def bounded(attempt: Awaitable[object]) -> str:
    began = time.monotonic()
    told = await unavailable(attempt)
    assert time.monotonic() - began < BOUND
    return told


async def test_a_server_that_is_down_at_the_start_may_come_later(valkey: OwnValkey) -> None:
    valkey.kill()
    server = RedisServer(valkey.url)
    record = a_session("ada")
    try:
        await bounded(server.connect())
        await bounded(server.sessions.get(record.sid))
        await bounded(server.sessions.delete(record.sid))
        await bounded(server.once.spend("a", FAR))
        await bounded(server.revocations.read())
    finally:
        await to_thread.run_sync(valkey.start)
    with anyio.fail_after(5):
        while True:
            try:
                await server.sessions.insert(record)
            except StoreUnavailable:  # the breaker is open, until it has looked again
                await checkpoint()
            else:
                break
    assert await server.sessions.get(record.sid) == record
    await server.aclose()


async def test_a_server_killed_under_load_loses_nothing_it_answered(valkey: OwnValkey, server: RedisServer) -> None:
    load = Load(server)
    async with load.running():
        await to_thread.run_sync(valkey.kill)
        try:
            await load.is_refused()
        finally:
            await to_thread.run_sync(valkey.start)
    assert load.outages
    await load.check()


async def test_a_server_that_hangs_is_left_alone_and_taken_up_again(valkey: OwnValkey, server: RedisServer) -> None:
    record = a_session("ada")
    await server.sessions.insert(record)
    took: list[float] = []
    with valkey.paused():
        began = time.monotonic()
        await asyncio.gather(*(bounded(server.sessions.get(record.sid)) for _ in range(50)))

        async def ask() -> None:
            while time.monotonic() < began + 2:
                asked = time.monotonic()
                await unavailable(server.sessions.get(record.sid))
                took.append(time.monotonic() - asked)
                await checkpoint()

        await asyncio.gather(*(ask() for _ in range(8)))
    took.sort()
    assert took[len(took) * 99 // 100] < 0.1
    assert took[-1] < 0.7
    began = time.monotonic()
    with anyio.fail_after(3):
        while True:
            try:
                assert await server.sessions.get(record.sid) == record
            except StoreUnavailable:
                await checkpoint()
            else:
                break
    assert time.monotonic() - began < 1.8


async def test_a_hang_under_load_loses_nothing(valkey: OwnValkey, server: RedisServer) -> None:
    load = Load(server)
    async with load.running():
        with valkey.paused():
            await load.is_refused()
    await load.check()


async def test_a_full_server_still_answers_and_signs_out(valkey: OwnValkey, server: RedisServer) -> None:
    mine, other, last = (a_session("ada") for _ in range(3))
    for record in (mine, other, last):
        await server.sessions.insert(record)
    valkey.ask("CONFIG", "SET", "maxmemory", "1mb")
    for _ in range(10):  # more than the breaker bears
        assert await unavailable(server.sessions.insert(a_session("ada"))) == "it is full"
    assert await unavailable(server.sessions.replace(mine.sid, extension(mine), expected_version=1)) == "it is full"
    assert await unavailable(server.counters.take("a", count=3, period=60)) == "it is full"
    assert await unavailable(server.once.spend("a", FAR)) == "it is full"
    revocation = Revocation(kind="session", subject=mine.sid, at=1, forget_after=FAR)
    assert await unavailable(server.revocations.append(revocation)) == "it is full"
    assert await server.sessions.get(mine.sid) == mine
    assert {record.sid for record in await server.sessions.list_for_user("ada")} == {mine.sid, other.sid, last.sid}
    assert await server.sessions.delete(mine.sid)
    assert set(await server.sessions.delete_for_user("ada", but=last.sid)) == {other.sid}
    assert list(await server.sessions.list_for_user("ada")) == [last]
    assert await server.revocations.read() == (0, [])
    # What was refused was not half done.
    assert valkey.ask("ZRANGE", next(iter(valkey.ask("KEYS", "*:u:ada"))), 0, -1) == [last.sid.encode()]


async def test_a_server_that_evicts_is_warned_of_and_an_evicted_session_is_gone(
    valkey: OwnValkey, caplog: pytest.LogCaptureFixture, server: RedisServer
) -> None:
    valkey.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    valkey.ask("CONFIG", "SET", "maxmemory", "100mb")
    with caplog.at_level(logging.WARNING, "sojourn"):
        await server.connect()
    [warning] = caplog.messages
    assert "allkeys-lru" in warning
    assert "noeviction" in warning
    record = a_session("ada")
    await server.sessions.insert(record)
    [first] = [key for key in valkey.ask("KEYS", "*") if b":s:" in key]
    valkey.ask("DEL", first)
    assert await server.sessions.get(record.sid) is None
    assert list(await server.sessions.list_for_user("ada")) == []
    assert valkey.ask("KEYS", "*") == []
    assert await server.sessions.delete(record.sid) is False


async def test_a_flush_ends_all_and_is_no_error(valkey: OwnValkey, server: RedisServer) -> None:
    before = a_session("ada")
    await server.sessions.insert(before)
    revocation = Revocation(kind="session", subject="a", at=1, forget_after=FAR)
    await server.revocations.append(revocation)
    position, _ = await server.revocations.read()
    for command in ("FLUSHALL", "SCRIPT FLUSH"):
        valkey.ask(*command.split())
        assert await server.sessions.get(before.sid) is None
        assert await server.sessions.delete(before.sid) is False
        after = a_session("ada")
        await server.sessions.insert(after)
        assert await server.sessions.get(after.sid) == after
        assert await server.counters.take("a", count=1, period=60) is None
        await server.counters.clear("a")
    await server.revocations.append(revocation)
    later, entries = await server.revocations.read(position)
    assert list(entries) == [revocation]
    assert later > position


async def test_cancelled_calls_mix_up_no_answers(server: RedisServer) -> None:
    people = [a_session(f"user-{number}") for number in range(200)]
    for person in people:
        await server.sessions.insert(person)
    answered = cancelled = 0
    for _ in range(100):
        calls = [asyncio.create_task(server.sessions.get(person.sid)) for person in people]
        for call in calls:
            if random.random() < 0.3:
                call.cancel()
            if random.random() < 0.1:
                await asyncio.sleep(0)
        for person, answer in zip(people, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if isinstance(answer, asyncio.CancelledError):
                cancelled += 1
            else:
                answered += 1
                assert answer == person
    assert answered + cancelled == 20_000
    assert min(answered, cancelled) > 1000


async def test_a_connection_that_the_server_closed_is_replaced_unseen(valkey: OwnValkey, server: RedisServer) -> None:
    record = a_session("ada")
    await server.sessions.insert(record)
    for kind in ("normal", "normal"):
        valkey.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        assert await server.sessions.get(record.sid) == record
