"""SQLite keeps the contracts, seen through a second connection."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.models import User
from sojourn.ports import CounterStore, OnceStore, RevocationLog, SessionStore, UserStore
from sojourn.stores.sql import SQLiteDatabase
from sojourn.testing import (
    AddUser,
    CounterStoreContract,
    DrivenClock,
    OnceStoreContract,
    RevocationLogContract,
    Rows,
    SessionStoreContract,
    UserStoreContract,
)


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def database(tmp_path: Path, clock: DrivenClock) -> AsyncIterator[SQLiteDatabase]:
    database = SQLiteDatabase(str(tmp_path / "sojourn.db"), clock=clock)
    await database.connect()
    yield database
    await database.aclose()


@pytest.fixture
def users(database: SQLiteDatabase) -> UserStore:
    return database.users


@pytest.fixture
def once(database: SQLiteDatabase) -> OnceStore:
    return database.once


@pytest.fixture
def log(database: SQLiteDatabase) -> RevocationLog:
    return database.revocations


@pytest.fixture
def sessions(database: SQLiteDatabase) -> SessionStore:
    return database.sessions


@pytest.fixture
def counters(database: SQLiteDatabase) -> CounterStore:
    return database.counters


@pytest.fixture
def add_user(users: UserStore) -> AddUser:
    async def add(user_id: str) -> None:
        await users.create(User(id=user_id))

    return add


@pytest.fixture
def rows(tmp_path: Path, database: SQLiteDatabase) -> Rows:
    async def read(table: str) -> Sequence[Mapping[str, Any]]:
        with closing(sqlite3.connect(tmp_path / "sojourn.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]

    return read


class TestSQLiteUsers(UserStoreContract):
    pass


class TestSQLiteOnce(OnceStoreContract):
    pass


class TestSQLiteRevocations(RevocationLogContract):
    pass


class TestSQLiteSessions(SessionStoreContract):
    pass


class TestSQLiteCounters(CounterStoreContract):
    pass
