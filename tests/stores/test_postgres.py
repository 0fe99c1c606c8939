"""PostgreSQL keeps the contracts by either driver, seen through a second connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import pytest

from sojourn.models import User
from sojourn.ports import CounterStore, OnceStore, RevocationLog, SessionStore, UserStore
from sojourn.stores import Stores, open_database
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


@pytest.fixture(params=["postgresql", "postgresql+psycopg"])
async def stores(request: pytest.FixtureRequest, url: str, clock: DrivenClock) -> AsyncIterator[Stores]:
    stores = open_database(url.replace("postgresql", request.param, 1), clock=clock)
    await stores.start()
    yield stores
    await stores.aclose()


@pytest.fixture
def users(stores: Stores) -> UserStore:
    return stores.users


@pytest.fixture
def once(stores: Stores) -> OnceStore:
    return stores.once


@pytest.fixture
def log(stores: Stores) -> RevocationLog:
    return stores.revocations


@pytest.fixture
def sessions(stores: Stores) -> SessionStore:
    return stores.sessions


@pytest.fixture
def counters(stores: Stores) -> CounterStore:
    return stores.counters


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
