"""A PostgreSQL that is down, killed, paused, full or read-only: told in time, and back without a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import anyio
import asyncpg
import msgspec
import pytest
from anyio import to_thread

from sojourn.errors import StoreUnavailable
from sojourn.models import User
from sojourn.ports import SessionChange, SessionRecord
from sojourn.stores.postgres import PostgresDatabase
from tests.servers.postgres import OwnPostgres, own_server
from tests.stores.postgres_load import Load
from tests.stores.sqlite_faults import unavailable

ADA = User(id="1", username="ada", email="ada@example.com")
BOB = User(id="2")
RECORD = SessionRecord("sid", "1", b"h" * 32, b"{}", 1, 1, 1 << 40, 1 << 40)
CHANGE = SessionChange(claims=b"{}", issued_at=2, expires_at=1 << 41, forget_after=1 << 41)

# One second for a connection, two for the answer; the rest is for a machine that is busy.
BOUND = 1 + 2 + 1.5
WRITERS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    """Not the one of the other tests: this one is killed."""
    with own_server("max_connections=20", "superuser_reserved_connections=3") as server:
        yield server


@pytest.fixture
def url(server: OwnPostgres) -> Iterator[str]:
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url, clock=lambda: 0, pool_size=WRITERS)
    await database.connect()
    yield database
    await database.aclose()


async def bounded(attempt: Any) -> str:
    began = time.monotonic()
    told = await unavailable(attempt)
    assert time.monotonic() - began < BOUND
    return told


def writes(database: PostgresDatabase) -> list[Any]:
    """One of each kind, on its way; a session that is refused an end has not ended."""
    return [
        database.users.create(BOB),
        database.once.spend("a", 1 << 40),
        database.counters.take("a", count=60, period=60),
        database.sessions.insert(msgspec.structs.replace(RECORD, sid="new")),
        database.sessions.replace("sid", CHANGE, expected_version=1),
        database.sessions.delete("sid"),
        database.sessions.delete_for_user("1"),
    ]


async def test_a_server_that_is_down_at_the_start_may_come_later(server: OwnPostgres, url: str) -> None:
    await to_thread.run_sync(server.stop)
    database = PostgresDatabase(url)
    try:
        await bounded(database.connect())
        await bounded(database.users.get("1"))
        await bounded(database.sessions.get_with_user("sid"))
        await bounded(database.revocations.read())
        for write in writes(database):
            await bounded(write)
    finally:
        await to_thread.run_sync(server.start)
    # The tables are made by whoever comes first.
    await database.users.create(ADA)
    assert await database.users.get("1") == ADA
    await database.aclose()


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_a_server_that_ends_under_load_loses_and_doubles_nothing(
    server: OwnPostgres, database: PostgresDatabase, url: str, ending: str
) -> None:
    load = Load(database)
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(load.write, writer)
        for _ in range(2):
            await load.reaches(50)
            await to_thread.run_sync(server.kill if ending == "kill" else server.stop)
            try:
                await load.is_refused()
                await bounded(database.users.get("1"))
            finally:
                await to_thread.run_sync(server.start)
            await load.reaches(50)
        load.stop()
    await load.check(url)


async def test_a_server_that_hangs_is_given_up_in_time_and_taken_up_again(
    server: OwnPostgres, database: PostgresDatabase, url: str
) -> None:
    await database.users.create(ADA)
    await database.sessions.insert(RECORD)
    with server.paused():
        began = time.monotonic()
        await asyncio.gather(
            *(unavailable(database.sessions.get_with_user("sid")) for _ in range(100)),
            *(unavailable(database.users.record_login("1", number)) for number in range(100)),
            *map(unavailable, writes(database)),
        )
        assert time.monotonic() - began < BOUND
        await bounded(database.users.get("1"))
    assert await database.sessions.get("sid") is not None
    assert await database.users.get("1") is not None
    await database.users.create(BOB)


async def test_a_hang_under_load_loses_and_doubles_nothing(
    server: OwnPostgres, database: PostgresDatabase, url: str
) -> None:
    load = Load(database)
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(load.write, writer)
        await load.reaches(50)
        with server.paused():
            await load.is_refused()
        await load.reaches(50)
        load.stop()
    await load.check(url)


async def test_a_server_without_a_connection_to_spare_is_unavailable_until_it_has_one(
    server: OwnPostgres, url: str
) -> None:
    taken: list[Any] = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(url))
    database = PostgresDatabase(url)
    assert "too many clients" in await bounded(database.connect())
    assert "too many clients" in await bounded(database.sessions.get("sid"))
    for write in writes(database):
        assert "too many clients" in await bounded(write)
    for connection in taken:
        await connection.close()
    with anyio.fail_after(10):
        while True:
            with suppress(StoreUnavailable):
                await database.users.create(ADA)
                break
    await database.aclose()


async def test_a_few_connections_serve_everybody_where_the_server_grants_no_more(
    server: OwnPostgres, database: PostgresDatabase, url: str
) -> None:
    await database.users.create(ADA)
    taken: list[Any] = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(url))
    assert await asyncio.gather(*(database.users.get("1") for _ in range(200))) == [ADA] * 200
    for connection in taken:
        await connection.close()


async def test_a_server_that_takes_no_writes_answers_reads(database: PostgresDatabase, url: str) -> None:
    await database.users.create(ADA)
    await database.sessions.insert(RECORD)
    operator: Any = await asyncpg.connect(url)
    name = await operator.fetchval("SELECT current_database()")
    await operator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sojourn'")
    assert await database.users.get("1") == ADA
    for write in writes(database):
        assert "read-only" in await bounded(write)
    assert await database.sessions.get_with_user("sid") == (RECORD, ADA)
    await database.connect()
    await operator.execute("SET default_transaction_read_only = off")
    await operator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    # The connection that was refused a write is gone: the server may have a successor.
    await database.users.create(BOB)
    await database.sessions.replace("sid", CHANGE, expected_version=1)
    assert await operator.fetchval("SELECT count(*) FROM sessions") == 1
    await operator.close()


async def test_an_idle_connection_that_the_server_closed_is_replaced_unseen(
    server: OwnPostgres, database: PostgresDatabase, url: str
) -> None:
    await database.users.create(ADA)
    await to_thread.run_sync(server.stop)
    await to_thread.run_sync(server.start)
    assert await database.users.get("1") == ADA
    assert await database.counters.take("a", count=60, period=60) is None


async def test_two_hundred_cancelled_calls_mix_up_no_answers(database: PostgresDatabase) -> None:
    people = [User(id=str(number), name=f"name {number}") for number in range(200)]
    for person in people:
        await database.users.create(person)
    for _ in range(3):
        calls = [asyncio.create_task(database.users.get(person.id)) for person in people]
        for turn, call in enumerate(calls):
            await asyncio.sleep(0)
            if turn % 2:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for person, answer in zip(people, answers, strict=True):
            assert answer == person or isinstance(answer, asyncio.CancelledError)
        assert await asyncio.gather(*(database.users.get(person.id) for person in people)) == people
