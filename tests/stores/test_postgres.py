"""PostgreSQL keeps the contracts, seen through a second connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import pytest

from sojourn.ports import OnceStore, RevocationLog, UserStore
from sojourn.stores.postgres import PostgresDatabase
from sojourn.testing import DrivenClock, OnceStoreContract, RevocationLogContract, Rows, UserStoreContract


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
