"""The stores of a `url`, beside `redis`, redis-py's client of the same, emptied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from sojourn.ports import CounterStore, OnceStore, RevocationLog, SessionStore
from sojourn.stores.redis import RedisServer
from sojourn.testing import AddUser, DrivenClock, Rows
from tests.stores.redis_rows import read_rows

__all__ = ["add_user", "clock", "counters", "log", "once", "rows", "server", "sessions"]


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def server(url: str, redis: Any, clock: DrivenClock) -> AsyncIterator[RedisServer]:
    server = RedisServer(url, clock=clock)
    await server.connect()
    yield server
    await server.aclose()


@pytest.fixture
def sessions(server: RedisServer) -> SessionStore:
    return server.sessions


@pytest.fixture
def counters(server: RedisServer) -> CounterStore:
    return server.counters


@pytest.fixture
def once(server: RedisServer) -> OnceStore:
    return server.once


@pytest.fixture
def log(server: RedisServer) -> RevocationLog:
    return server.revocations


@pytest.fixture
def add_user() -> AddUser:
    async def add(user_id: str) -> None:
        """Users are kept elsewhere."""

    return add


@pytest.fixture
def rows(redis: Any, clock: DrivenClock) -> Rows:
    async def read(table: str) -> Sequence[Mapping[str, Any]]:
        return await read_rows(redis, table, clock)

    return read
