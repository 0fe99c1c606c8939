"""Limits that Redis counts exactly as policy/rate_limit.py does; what is spent stays so for as long as was said."""

from __future__ import annotations

import random

import pytest

from sojourn.policy.rate_limit import SECOND, Allow, Rate, decide
from sojourn.stores.redis import RedisServer
from sojourn.testing import DrivenClock
from tests.servers.valkey import OwnValkey
from tests.stores.own_valkey import clock, server, valkey

__all__ = ["clock", "server", "valkey"]


@pytest.mark.parametrize(
    "rate", [Rate(1, 1), Rate(3, 60), Rate(7, 10), Rate(1000, 7), Rate(3, 86400 * 366), Rate(999_983, 86400)]
)
async def test_the_script_and_the_policy_agree_to_the_microsecond(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock, rate: Rate
) -> None:
    chance = random.Random(rate.count)
    recovered_at = 0
    for _ in range(200):
        clock.advance(chance.choice((0, 0, 0, 1, rate.period // 3, -1, -rate.period // 2)))
        expected = decide(recovered_at, clock() * SECOND, rate)
        waits = await server.counters.take("key", count=rate.count, period=rate.period)
        if isinstance(expected, Allow):
            recovered_at = expected.recovered_at
            assert waits is None
        else:
            assert waits == expected.retry_after
        [key] = valkey.ask("KEYS", "*")
        assert int(valkey.ask("GET", key)) == recovered_at
        assert 0 < valkey.ask("PTTL", key) <= rate.period * 1000 + 1001


async def test_taking_back_keeps_the_time_that_the_key_has_to_live(valkey: OwnValkey, server: RedisServer) -> None:
    await server.counters.take("key", count=3, period=60)
    await server.counters.give_back("key", count=3, period=60)
    [key] = valkey.ask("KEYS", "*")
    assert 0 < valkey.ask("PTTL", key) <= 21_000


@pytest.mark.parametrize("key", ["", "a b", "{x}", "}{", "\r\n", "é☃", "\0", "\ud800", "x" * 5000])
async def test_any_text_is_a_key_of_its_own(server: RedisServer, clock: DrivenClock, key: str) -> None:
    assert await server.counters.take(key, count=1, period=60) is None
    assert await server.counters.take(key, count=1, period=60) == 60
    assert await server.once.spend(key, clock() + 60)
    assert not await server.once.spend(key, clock() + 60)


async def test_a_spent_key_lives_until_it_may_be_forgotten(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    await server.once.spend("a", clock() + 900)
    [key] = valkey.ask("KEYS", "*")
    assert 900_000 < valkey.ask("PTTL", key) <= 901_000
    valkey.ask("FLUSHALL")
    assert await server.once.spend("a", clock() - 900)
