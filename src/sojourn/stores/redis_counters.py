"""What is counted, and what can be spent once, in Redis: one key each."""

from __future__ import annotations

from sojourn.ports import Clock
from sojourn.stores.redis_client import Command, RedisClient
from sojourn.stores.redis_keys import owner_tag, tagged
from sojourn.stores.redis_scripts import GIVE_BACK, TAKE, Script
from sojourn.stores.redis_sessions import time_to_live

__all__ = ["RedisCounterStore", "RedisOnceStore"]

_SECOND = 1_000_000


class RedisCounterStore:
    """When each key will have recovered, in microseconds. A fail-over may forget the last attempts."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        step = period * _SECOND // count
        return await self._run(TAKE, key, self._clock() * _SECOND, step, period * _SECOND) or None

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        await self._run(GIVE_BACK, key, period * _SECOND // count)

    async def clear(self, key: str) -> None:
        tag = owner_tag(key)
        await self._client.run(Command(tag.encode(), (b"DEL", tagged(tag, "c", key)), repeatable=True))

    async def _run(self, script: Script, key: str, *numbers: int) -> int:
        tag = owner_tag(key)
        told: int = await self._client.run(Command(tag.encode(), script.words((tagged(tag, "c", key),), *numbers)))
        return told


class RedisOnceStore:
    """Spent keys, each until it may be forgotten."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def spend(self, key: str, forget_after: int) -> bool:
        tag = owner_tag(key)
        ttl = time_to_live(forget_after, self._clock())
        words = (b"SET", tagged(tag, "o", key), forget_after, b"NX", b"PX", ttl)
        return await self._client.run(Command(tag.encode(), words, lasting=True)) is not None
