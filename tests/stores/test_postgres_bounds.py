"""The pool's line, its bounds, and what becomes of connections that are cancelled, old, or left behind."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest
from anyio.lowlevel import checkpoint

from sojourn.models import User
from sojourn.stores import postgres_pool
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from tests.servers.postgres_proxy import Proxy

PEOPLE = [User(id=str(number), name=f"name {number}") for number in range(20)]
OWN_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sojourn' AND datname = current_database()"
SIZE = 3


@pytest.fixture
async def operator(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with Proxy(url).running() as proxy:
        yield proxy


@pytest.fixture
async def database(proxy: Proxy) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(proxy.url, pool_size=SIZE)
    yield database
    await database.aclose()


async def fill(database: PostgresDatabase) -> None:
    for person in PEOPLE:
        await database.users.create(person)


async def backends(operator: Any) -> set[int]:
    await operator.execute("SELECT pg_stat_clear_snapshot()")
    return {row[0] for row in await operator.fetch(OWN_BACKENDS)}


async def until_there_are(number: int, operator: Any) -> None:
    with anyio.fail_after(5):
        while len(await backends(operator)) != number:
            await checkpoint()


async def test_nothing_is_opened_before_it_is_needed_nor_more_than_is_allowed(
    database: PostgresDatabase, proxy: Proxy
) -> None:
    assert proxy.connected == 0
    await fill(database)
    assert proxy.connected == 1
    await asyncio.gather(*(database.users.get("1") for _ in range(50)))
    assert proxy.connected == SIZE


async def test_who_asks_first_is_served_first(url: str) -> None:
    database = PostgresDatabase(url, pool_size=1)
    await fill(database)
    served: list[str] = []

    async def ask(person: User) -> None:
        for _ in range(3):
            assert await database.users.get(person.id) == person
            served.append(person.id)

    await asyncio.gather(*map(ask, PEOPLE))
    # Nobody is served twice while another waits for the first time.
    assert served == [person.id for person in PEOPLE] * 3
    await database.aclose()


async def test_thousands_of_cancelled_calls_leak_no_connection_and_mix_up_no_answer(
    database: PostgresDatabase, operator: Any
) -> None:
    await fill(database)
    chance = random.Random(7)

    async def ask(person: User) -> None:
        assert await database.users.get(person.id) == person

    for _ in range(20):
        calls = [asyncio.create_task(ask(chance.choice(PEOPLE))) for _ in range(100)]
        for call in calls:
            if chance.random() < 0.2:
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {type(None), asyncio.CancelledError}
    await asyncio.gather(*map(ask, PEOPLE))
    await until_there_are(SIZE, operator)
    await database.aclose()
    await until_there_are(0, operator)


async def test_a_connection_whose_caller_has_gone_is_the_next_ones(database: PostgresDatabase, proxy: Proxy) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.users.get, "1")
        await checkpoint()
        tasks.cancel_scope.cancel()
    assert await database.users.get("1") is None
    assert proxy.connected == 1


async def test_a_connection_handed_to_one_who_goes_at_that_moment_is_not_lost(url: str) -> None:
    database = PostgresDatabase(url, pool_size=1)
    await fill(database)

    async def ask_and_turn_away() -> None:
        await database.users.get("1")
        # It is in the other's hands already, and the other does not know yet.
        other.cancel()

    one = asyncio.create_task(ask_and_turn_away())
    other = asyncio.create_task(database.users.get("2"))
    await one
    with pytest.raises(asyncio.CancelledError):
        await other
    assert await database.users.get("3") == PEOPLE[3]
    await database.aclose()


async def test_an_unused_connection_is_not_trusted_for_ever(
    database: PostgresDatabase, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    await asyncio.gather(*(database.users.get("1") for _ in range(50)))
    await until_there_are(SIZE, operator)
    before = await backends(operator)
    monkeypatch.setattr(postgres_pool, "_IDLE", -1.0)
    # What is given back now is old at once, and goes the next time that one is wanted.
    for _ in range(SIZE + 1):
        await database.users.get("1")
    with anyio.fail_after(5):
        while before & await backends(operator):
            await checkpoint()


async def test_connections_that_nobody_needs_any_more_go(url: str, operator: Any) -> None:
    pool = PostgresPool(url, size=SIZE)
    database = PostgresDatabase(url, pool=pool)
    await asyncio.gather(*(database.users.get("1") for _ in range(50)))
    await until_there_are(SIZE, operator)
    # The one at the bottom was used longest ago; it need not be asked for to go.
    pool._free[0].good_until = 0.0
    await database.users.get("1")
    await until_there_are(SIZE - 1, operator)
    await database.aclose()


def test_an_event_loop_that_ended_without_a_word_is_no_hindrance(url: str) -> None:
    database = PostgresDatabase(url)

    async def last() -> User | None:
        found = await database.users.get("1")
        await database.aclose()
        return found

    with warnings.catch_warnings():
        # Python tells of each socket that is left open, and rightly: whoever ends a loop closes what is in it.
        warnings.simplefilter("ignore", ResourceWarning)
        for number in range(2):
            asyncio.run(database.users.create(User(id=str(number))))
        assert asyncio.run(last()) == User(id="1")
        gc.collect()
