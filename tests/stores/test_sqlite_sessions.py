"""The statements of the SQLite stores use indexes; sessions go with their user, and purging stops nobody."""

from __future__ import annotations

import inspect
import re
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.stores import sql, sqlite_sessions
from sojourn.stores.sql import SQLiteDatabase
from sojourn.testing import DrivenClock
from sojourn.testing.sessions import a_record
from tests.stores.sqlite_faults import rows

ADA = User(id="1", username="ada", email="ada@example.com")
BOB = User(id="2")
STATEMENTS = {
    f"{module.__name__}.{name}": text
    for module in (sql, sqlite_sessions)
    for name, text in vars(module).items()
    if isinstance(text, str) and re.match(r"SELECT|INSERT|UPDATE|DELETE", text)
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sojourn.db"


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def database(path: Path, clock: DrivenClock) -> AsyncIterator[SQLiteDatabase]:
    database = SQLiteDatabase(str(path), clock=clock)
    await database.connect()
    await database.users.create(ADA, Account(provider="github", provider_account_id="7"))
    await database.users.create(BOB)
    yield database
    await database.aclose()


def steps(connection: sqlite3.Connection, statement: str) -> list[str]:
    """How SQLite would read each table."""
    nothing = dict.fromkeys(re.findall(r":(\w+)", statement))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", nothing)
    return [step for *_, step in plan if step.startswith(("SCAN", "SEARCH"))]


def test_every_statement_is_looked_at() -> None:
    named = {
        f"{module.__name__}.{name}"
        for module in (sql, sqlite_sessions)
        for name in re.findall(r"(?:execute|find|read|_one)\((\w*_[A-Z_]+)", inspect.getsource(module))
    }
    assert named <= STATEMENTS.keys()
    assert len(named) > 20


async def test_each_finds_its_rows_by_an_index(database: SQLiteDatabase, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for name, statement in STATEMENTS.items():
            found = steps(connection, statement)
            assert [step for step in found if step.startswith("SCAN")] == [], name
            searches = "WHERE" in statement or "max(" in statement
            assert bool(found) == (searches and not statement.startswith("INSERT")), name


async def test_a_table_without_its_index_would_be_noticed(database: SQLiteDatabase, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX ix_sessions_forget_after")
        assert "SCAN sessions" in steps(connection, sqlite_sessions._PURGE)


async def test_what_follows_a_user_is_found_by_an_index(database: SQLiteDatabase, path: Path) -> None:
    """SQLite looks for the rows that refer to a deleted one by itself, and shows it in no plan."""
    with closing(sqlite3.connect(path)) as connection:
        for table in ("accounts", "sessions"):
            (step,) = steps(connection, f"SELECT 1 FROM {table} WHERE user_id = :user_id")
            assert step.startswith("SEARCH")


async def test_with_the_user_go_their_sessions_and_accounts(
    database: SQLiteDatabase, path: Path, clock: DrivenClock
) -> None:
    own = [a_record(ADA.id, clock) for _ in range(3)]
    other = a_record(BOB.id, clock)
    for record in (*own, other):
        await database.sessions.insert(record)
    await database.write(lambda c: c.execute("DELETE FROM users WHERE id = '1'"))
    for record in own:
        assert await database.sessions.get(record.sid) is None
        assert await database.sessions.get_with_user(record.sid) is None
    assert list(await database.sessions.list_for_user(ADA.id)) == []
    assert rows(path, "accounts") == []
    assert await database.sessions.get_with_user(other.sid) == (other, BOB)
    with pytest.raises(Conflict, match="user"):
        await database.sessions.insert(own[0])


async def test_purging_stops_no_reader(database: SQLiteDatabase, clock: DrivenClock) -> None:
    records = [a_record(ADA.id, clock, lives=lives) for lives in (100, 100, 3600)]
    for record in records:
        await database.sessions.insert(record)
    clock.advance(101)
    purged, go_on = threading.Event(), threading.Event()

    def purge(connection: sqlite3.Connection) -> int:
        gone = connection.execute(sqlite_sessions._PURGE, {"now": clock(), "most": 1}).rowcount
        purged.set()
        assert go_on.wait(10)
        return gone

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, purge)
        await to_thread.run_sync(purged.wait, 10)
        for record in records:
            assert await database.sessions.get(record.sid) == record
        assert len(await database.sessions.list_for_user(ADA.id)) == 1
        go_on.set()
    assert await database.sessions.purge() == 1
    assert [await database.sessions.get(record.sid) for record in records] == [None, None, records[2]]


async def test_a_loaded_user_is_like_one_that_was_made(database: SQLiteDatabase, clock: DrivenClock) -> None:
    record = a_record(ADA.id, clock)
    await database.sessions.insert(record)
    found = await database.sessions.get_with_user(record.sid)
    assert found is not None
    assert found[1] == ADA
    assert repr(found[1]) == repr(ADA)
    assert found[1] is not None
    assert found[1].replace(name="Ada") == ADA.replace(name="Ada")
