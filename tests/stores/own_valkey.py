"""A Valkey of a module's own, emptied for each test, and the stores on it; nothing is connected yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sojourn.stores.redis import RedisServer
from sojourn.testing import DrivenClock
from tests.servers.valkey import OwnValkey, own_server

__all__ = ["clock", "server", "valkey"]


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_server() as server:
        yield server


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def server(valkey: OwnValkey, clock: DrivenClock) -> AsyncIterator[RedisServer]:
    valkey.ask("FLUSHALL")
    server = RedisServer(valkey.url, clock=clock)
    yield server
    await server.aclose()
