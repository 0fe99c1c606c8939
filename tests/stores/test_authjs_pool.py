"""Their tables are looked for once, by whoever comes first, and again after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from anyio import to_thread

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import User
from sojourn.stores import authjs_pool, authjs_tables
from sojourn.stores.authjs import AuthJSDatabase
from sojourn.stores.postgres_terms import Driver
from tests.servers.postgres import OwnPostgres, own_server
from tests.stores import authjs_ddl

# One second for a connection, two for the answer; the rest is for a machine that is busy.
BOUND = 1 + 2 + 1.5


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    """Not the one of the other tests: this one is stopped."""
    with own_server() as server:
        yield server


@pytest.fixture
async def their_url(server: OwnPostgres) -> AsyncIterator[str]:
    name = await to_thread.run_sync(server.make_database)
    await authjs_ddl.run(server.url(name), authjs_ddl.OFFICIAL)
    yield server.url(name)
    await to_thread.run_sync(server.drop_database, name)


@pytest.fixture
async def database(their_url: str) -> AsyncIterator[AuthJSDatabase]:
    database = AuthJSDatabase(their_url, max_age=3600)
    yield database
    await database.aclose()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each connection that is opened to look."""
    seen: list[str] = []
    really = authjs_pool._connection

    async def counted(driver: Driver, url: str) -> Any:
        seen.append(url)
        return await really(driver, url)

    monkeypatch.setattr(authjs_pool, "_connection", counted)
    return seen


async def test_all_who_come_first_wait_for_one_look(database: AuthJSDatabase, looks: list[str]) -> None:
    assert await asyncio.gather(*(database.users.get("1") for _ in range(50))) == [None] * 50
    assert await asyncio.gather(*(database.once.spend(str(key), 9) for key in range(50))) == [True] * 50
    assert len(looks) == 1


async def test_who_gives_up_takes_the_look_from_nobody(database: AuthJSDatabase, looks: list[str]) -> None:
    hasty, patient = (asyncio.create_task(database.users.get("1")) for _ in range(2))
    await asyncio.sleep(0)
    hasty.cancel()
    with suppress(asyncio.CancelledError):
        await hasty
    assert await patient is None
    assert len(looks) == 1


async def test_a_server_that_was_down_at_the_start_needs_no_restart(
    database: AuthJSDatabase, server: OwnPostgres, looks: list[str]
) -> None:
    await to_thread.run_sync(server.stop)
    try:
        for attempt in (database.connect(), database.users.get("1"), database.once.spend("key", 9)):
            with pytest.raises(StoreUnavailable):
                await attempt
    finally:
        await to_thread.run_sync(server.start)
    assert await database.once.spend("key", 9)  # our own tables are made, whichever store is asked first
    made = await database.users.create(User(id="x"))
    assert await database.users.get(made.id) == made
    assert len(looks) == 4


async def test_what_is_missing_while_running_is_an_outage(database: AuthJSDatabase, their_url: str) -> None:
    await authjs_ddl.run(their_url, "ALTER TABLE sessions RENAME TO elsewhere")
    with pytest.raises(StoreUnavailable, match="no table sessions"):
        await database.sessions.find("token")
    with pytest.raises(ConfigError, match="no table sessions"):
        await database.connect()
    await authjs_ddl.run(their_url, "ALTER TABLE elsewhere RENAME TO sessions")
    assert await database.sessions.find("token") is None


async def test_a_server_that_is_paused_is_told_in_time(database: AuthJSDatabase, server: OwnPostgres) -> None:
    with server.paused(), pytest.raises(StoreUnavailable):
        await asyncio.wait_for(database.users.get("1"), BOUND)
    assert await database.users.get("1") is None


async def test_a_look_that_takes_long_holds_nobody_up(database: AuthJSDatabase, their_url: str) -> None:
    """Another process is making our tables."""
    other = await asyncpg.connect(their_url)
    try:
        async with other.transaction():
            await other.execute(f"SELECT pg_advisory_xact_lock({authjs_tables._LOCK})")
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                await asyncio.wait_for(database.users.get("1"), BOUND)
            await asyncio.wait_for(database.aclose(), BOUND)
        await database.connect()
        assert await database.users.get("1") is None
    finally:
        await other.close()


async def test_closed_is_closed(database: AuthJSDatabase) -> None:
    await database.connect()
    await database.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.users.get("1")
    await database.connect()
    assert await database.users.get("1") is None


def test_an_event_loop_after_another_looks_for_itself(server: OwnPostgres) -> None:
    name = server.make_database()
    database = AuthJSDatabase(server.url(name), max_age=3600)

    async def once() -> None:
        with suppress(StoreUnavailable):
            await database.users.get("1")

    async def then() -> None:
        await authjs_ddl.run(server.url(name), authjs_ddl.OFFICIAL)
        assert await database.users.get("1") is None
        await database.aclose()

    asyncio.run(once())
    asyncio.run(then())
    server.drop_database(name)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://nobody:wrong@{address}", "the server refuses this user or password"),
        ("postgresql://a:b@localhost:port/n", "a PostgreSQL URL that cannot be read"),
    ],
)
async def test_what_no_waiting_mends_is_said_at_the_start(server: OwnPostgres, url: str, told: str) -> None:
    database = AuthJSDatabase(url.format(address=server.url("postgres").rpartition("@")[2]), max_age=3600)
    with pytest.raises(ConfigError, match=told) as caught:
        await database.connect()
    assert "wrong" not in str(caught.value)
    await database.aclose()


async def test_of_several_hosts_the_one_that_serves_is_asked(their_url: str) -> None:
    credentials, _, address = their_url.rpartition("@")
    database = AuthJSDatabase(f"{credentials}@127.0.0.1:1,{address}", max_age=3600)
    await database.connect()
    assert await database.users.get("1") is None
    await database.aclose()
