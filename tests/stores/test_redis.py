"""Redis keeps the contracts, seen through a second connection; what it refuses, warns of and never shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from sojourn.testing import CounterStoreContract, OnceStoreContract, RevocationLogContract, SessionStoreContract
from tests.servers.valkey import a_server
from tests.stores.redis_fixtures import add_user, clock, counters, log, once, rows, server, sessions

__all__ = ["add_user", "clock", "counters", "log", "once", "rows", "server", "sessions"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with a_server() as url:
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Any]:
    """A client of the emptied database."""
    async with Redis.from_url(url) as client:
        await client.flushdb()
        yield client


class TestRedisSessions(SessionStoreContract):
    pass


class TestRedisCounters(CounterStoreContract):
    pass


class TestRedisOnce(OnceStoreContract):
    pass


class TestRedisRevocations(RevocationLogContract):
    pass
