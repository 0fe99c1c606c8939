"""What can go wrong with a PostgreSQL that runs: only `Conflict` and `StoreUnavailable` come out."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.models import Account, User
from sojourn.ports import Revocation
from sojourn.stores import postgres_hosts, postgres_statements, postgres_terms
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_connection import ending
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.postgres_terms import Ending
from tests.stores.sqlite_faults import unavailable

ADA = User(id="1", username="ada", name="Ada", email="ada@example.com")
BOB = User(id="2")
GITHUB = Account(provider="github", provider_account_id="7")
FIRST = Revocation(kind="session", subject="first", at=1, forget_after=1 << 40)
SECOND = Revocation(kind="session", subject="second", at=2, forget_after=1 << 40)

OWN_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sojourn' AND datname = current_database()"


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url)
    yield database
    await database.aclose()


@pytest.fixture
async def other(url: str) -> AsyncIterator[Any]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def own_backends(other: Any) -> set[int]:
    await other.execute("SELECT pg_stat_clear_snapshot()")
    return {row[0] for row in await other.fetch(OWN_BACKENDS)}


async def until_one_waits_for_a_lock(other: Any) -> None:
    with anyio.fail_after(10):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await checkpoint()


async def test_who_reads_up_to_a_position_misses_nothing_that_is_committed_later(
    database: PostgresDatabase, other: Any, url: str
) -> None:
    """Two endings at once, and the first to begin is the last to commit."""
    append = postgres_statements.APPEND
    async with anyio.create_task_group() as tasks:
        slow = other.transaction()
        await slow.start()
        await other.fetch(append.text, *append.values({**msgspec.structs.asdict(FIRST), "now": 0}))
        tasks.start_soon(database.revocations.append, SECOND)
        reader = await asyncpg.connect(url)
        await until_one_waits_for_a_lock(reader)
        await reader.close()
        assert await database.revocations.read() == (0, [])
        await slow.commit()
    assert await database.revocations.read() == (2, [FIRST, SECOND])


async def test_an_ending_that_is_rolled_back_leaves_no_gap(database: PostgresDatabase, other: Any) -> None:
    append = postgres_statements.APPEND
    slow = other.transaction()
    await slow.start()
    await other.fetch(append.text, *append.values({**msgspec.structs.asdict(FIRST), "now": 0}))
    await slow.rollback()
    await database.revocations.append(SECOND)
    assert await database.revocations.read() == (1, [SECOND])


async def test_an_ending_without_a_counter_is_not_lost_in_silence(database: PostgresDatabase, other: Any) -> None:
    await other.execute("DELETE FROM sojourn_counters")
    assert "sojourn_counters" in await unavailable(database.revocations.append(FIRST))


async def test_a_long_log_is_read_whole(
    database: PostgresDatabase, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await other.execute(
        "INSERT INTO revocations (position, kind, subject, at, forget_after) "
        "SELECT n, 'session', n, n, n FROM generate_series(1, 20000) n"
    )
    position, entries = await database.revocations.read()
    assert position == 20000
    assert [entry.at for entry in entries] == list(range(1, 20001))


async def test_a_lock_that_does_not_go_is_not_waited_for_longer_than_promised_and_nothing_happens_later(
    database: PostgresDatabase, other: Any
) -> None:
    await database.users.create(ADA)
    async with other.transaction():
        await other.execute("SELECT * FROM users FOR UPDATE")
        began = time.monotonic()
        await unavailable(database.users.record_login("1", 5))
        assert time.monotonic() - began < 4
        assert await database.users.get("1") == ADA
        # Ended by the server itself, so that nobody finds it done after the answer was "no".
        with anyio.fail_after(10):
            while await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await checkpoint()
    assert await database.users.get("1") == ADA


async def test_callers_cancelled_at_any_moment_get_nobody_elses_answer(database: PostgresDatabase) -> None:
    people = [User(id=str(number), email=f"{number}@example.com") for number in range(20)]
    for person in people:
        await database.users.create(person)

    async def ask(person: User) -> None:
        assert await database.users.get(person.id) == person

    for round_ in range(30):
        async with anyio.create_task_group() as tasks:
            for person in people:
                tasks.start_soon(ask, person)
            for _ in range(round_ % 10):
                await checkpoint()
            tasks.cancel_scope.cancel()
        await asyncio.gather(*(ask(person) for person in people))


async def test_whoever_is_cancelled_takes_the_connection_along(database: PostgresDatabase, other: Any) -> None:
    await database.users.create(ADA)
    before = await own_backends(other)
    assert len(before) == 1
    async with other.transaction():
        await other.execute("SELECT * FROM users FOR UPDATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.users.record_login, "1", 5)
            await until_one_waits_for_a_lock(other)
            tasks.cancel_scope.cancel()
        assert await database.users.get("1") == ADA
        with anyio.fail_after(10):
            while before & await own_backends(other):
                await checkpoint()
    assert await database.users.get("1") == ADA


async def test_more_callers_than_connections_wait_their_turn(url: str, other: Any) -> None:
    database = PostgresDatabase(url, pool_size=2)
    await asyncio.gather(*(database.users.create(User(id=str(number))) for number in range(50)))
    assert await other.fetchval("SELECT count(*) FROM users") == 50
    assert len(await own_backends(other)) <= 2
    await database.aclose()


async def test_who_gets_no_connection_in_time_is_told(url: str, other: Any) -> None:
    database = PostgresDatabase(url, pool_size=1)
    await database.users.create(ADA)
    async with other.transaction(), anyio.create_task_group() as tasks:
        await other.execute("SELECT * FROM users FOR UPDATE")
        tasks.start_soon(unavailable, database.users.record_login("1", 5))
        await until_one_waits_for_a_lock(other)
        assert "in time" in await unavailable(database.users.get("1"))
    assert await database.users.get("1") == ADA
    await database.aclose()


async def test_a_schema_changed_underneath_is_survived(database: PostgresDatabase, other: Any) -> None:
    await database.users.create(ADA, GITHUB)
    assert await database.users.get_by_account("github", "7") == ADA
    await other.execute("ALTER TABLE users ALTER COLUMN name TYPE varchar(300), ADD COLUMN nickname text")
    assert await database.users.get_by_account("github", "7") == ADA
    await database.users.create(BOB)


async def test_what_the_server_refuses_is_told_without_values(database: PostgresDatabase, other: Any) -> None:
    await other.execute("ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 5)")
    await database.users.create(ADA)
    with pytest.raises(StoreUnavailable) as refused:
        await database.users.create(User(id="2", name="secret name"), GITHUB, "secret hash")
    assert "short" in refused.value.detail
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert await other.fetchval("SELECT count(*) FROM users") == 1


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_text_that_postgresql_cannot_hold_is_nobodys(database: PostgresDatabase, other: Any, text: str) -> None:
    assert await database.users.get(text) is None
    assert await database.users.get_by_username(text) is None
    assert await database.users.get_by_account("github", text) is None
    assert await database.users.list_accounts(text) == []
    await database.users.create(BOB)
    before = await own_backends(other)
    assert text not in await unavailable(database.users.create(ADA.replace(name=text)))
    assert await own_backends(other) == before


async def test_a_number_that_fits_no_column_is_refused_before_it_is_sent(database: PostgresDatabase) -> None:
    await unavailable(database.once.spend("a", 1 << 70))


async def test_the_servers_own_level_of_isolation_does_not_matter(
    database: PostgresDatabase, other: Any, url: str
) -> None:
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await asyncio.gather(*(database.revocations.append(FIRST) for _ in range(30)))
    position, entries = await database.revocations.read()
    assert (position, len(entries)) == (30, 30)


async def test_many_who_spend_and_forget_at_once_do_not_wait_for_each_other_for_ever(
    database: PostgresDatabase, other: Any
) -> None:
    await other.execute("INSERT INTO spent SELECT n, 0 FROM generate_series(1, 500) n")
    won = await asyncio.gather(*(database.once.spend(str(number % 50), 1 << 40) for number in range(400)))
    assert won.count(True) == 50
    assert await other.fetchval("SELECT count(*) FROM spent WHERE forget_after > 0") == 50


async def test_closing_finishes_what_was_asked(url: str, other: Any) -> None:
    database = PostgresDatabase(url, pool_size=2)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(database.users.create, User(id=f"user-{number}"))
        await checkpoint()
        await database.aclose()
        assert await other.fetchval("SELECT count(*) FROM users") == 20
    assert "closed" in await unavailable(database.users.get("user-1"))
    await database.aclose()
    with anyio.fail_after(10):
        while await own_backends(other):
            await checkpoint()
    await database.connect()
    assert await database.users.get("user-1") == User(id="user-1")
    await database.aclose()


def test_an_event_loop_after_another_gets_connections_of_its_own(url: str) -> None:
    database = PostgresDatabase(url)

    async def first() -> None:
        await database.users.create(ADA)
        await database.aclose()
        await database.connect()

    async def second() -> User | None:
        found = await database.users.get("1")
        await database.aclose()
        return found

    asyncio.run(first())
    with pytest.raises(StoreUnavailable, match="closed"):
        asyncio.run(_closed(url))
    assert asyncio.run(second()) == ADA


async def _closed(url: str) -> None:
    database = PostgresDatabase(url)
    await database.aclose()
    await database.users.get("1")


async def test_two_event_loops_at_once_are_refused(database: PostgresDatabase) -> None:
    await database.users.create(ADA)

    def elsewhere() -> None:
        asyncio.run(unavailable_in(database))

    await anyio.to_thread.run_sync(elsewhere)
    assert await database.users.get("1") == ADA


async def unavailable_in(database: PostgresDatabase) -> None:
    assert "another event loop" in await unavailable(database.users.get("1"))


def test_the_waits_are_bounded() -> None:
    assert (postgres_terms.CONNECT_SECONDS, postgres_terms.STATEMENT_SECONDS) == (1.0, 2.0)


def test_last_words_that_the_driver_did_not_await_are_a_lost_connection() -> None:
    """They arrive so when a backend is ended in the very moment it is asked; only what may be repeated is."""
    assert ending(asyncpg.InternalClientError("got result for unknown protocol state 0")) is Ending.LOST


@pytest.mark.parametrize("closes", [False, True])
def test_a_connection_that_is_half_made_when_its_event_loop_ends_is_given_up(
    url: str, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    """The driver would go on calling off its statement in an event loop that is gone."""

    async def main() -> None:
        asked = asyncio.Event()

        async def slow(connection: Any) -> None:
            asked.set()
            await connection.fetchval("SELECT pg_sleep(1)")

        monkeypatch.setattr(postgres_hosts, "prepare", slow)
        pool = PostgresPool(url, size=1)
        dialling = asyncio.create_task(pool.dial())
        await asked.wait()
        await checkpoint()
        dialling.cancel()
        if closes:
            await pool.aclose()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(warning.message) for warning in told] == []
