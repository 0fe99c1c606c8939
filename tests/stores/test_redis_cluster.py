"""A Redis Cluster keeps the contracts, seen through redis-py's own client of Clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from sojourn.testing import CounterStoreContract, OnceStoreContract, RevocationLogContract, SessionStoreContract
from tests.servers.valkey import own_cluster
from tests.stores.redis_fixtures import add_user, clock, counters, log, once, rows, server, sessions

__all__ = ["add_user", "clock", "counters", "log", "once", "rows", "server", "sessions"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with own_cluster() as cluster:
        yield cluster.url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Any]:
    """A client of the emptied Cluster."""
    async with RedisCluster.from_url(url.replace("+cluster", "").partition(",")[0]) as client:
        await client.flushall()
        yield client


class TestClusterSessions(SessionStoreContract):
    pass


class TestClusterCounters(CounterStoreContract):
    pass


class TestClusterOnce(OnceStoreContract):
    pass


class TestClusterRevocations(RevocationLogContract):
    pass
