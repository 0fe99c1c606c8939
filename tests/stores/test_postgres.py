"""PostgreSQL keeps the contracts, seen through a second connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import pytest

from sojourn.models import User
from sojourn.ports import CounterStore, OnceStore, RevocationLog, SessionStore, UserStore
from sojourn.stores.postgres import PostgresDatabase
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
async def database(url: str, clock: DrivenClock) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url, clock=clock)
    await database.connect()
    yield database
    await database.aclose()


@pytest.fixture
def users(database: PostgresDatabase) -> UserStore:
    return database.users


@pytest.fixture
def once(database: PostgresDatabase) -> OnceStore:
    return database.once


@pytest.fixture
def log(database: PostgresDatabase) -> RevocationLog:
    return database.revocations


@pytest.fixture
def sessions(database: PostgresDatabase) -> SessionStore:
    return database.sessions


@pytest.fixture
def counters(database: PostgresDatabase) -> CounterStore:
    return database.counters


@pytest.fixture
def add_user(users: UserStore) -> AddUser:
    async def add(user_id: str) -> None:
        await users.create(User(id=user_id))

    return add


@pytest.fixture
async def rows(url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(url)

    async def read(table: str) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]

    yield read
    await connection.close()


class TestPostgresUsers(UserStoreContract):
    pass


class TestPostgresOnce(OnceStoreContract):
    pass


class TestPostgresRevocations(RevocationLogContract):
    pass


class TestPostgresSessions(SessionStoreContract):
    pass


class TestPostgresCounters(CounterStoreContract):
    pass
