"""Redis keeps the contracts, seen through a second connection; what it refuses, warns of and never shows."""

from __future__ import annotations

import subprocess
import sys
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


def test_what_is_not_installed_is_named() -> None:
    script = (
        "import sys; sys.modules['hiredis'] = None; from sojourn.stores import open_stores as o; o(None, 'redis://a')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "redis: hiredis is not installed. Install sojourn[redis]." in done.stderr


class TestRedisSessions(SessionStoreContract):
    pass


class TestRedisCounters(CounterStoreContract):
    pass


class TestRedisOnce(OnceStoreContract):
    pass


class TestRedisRevocations(RevocationLogContract):
    pass
