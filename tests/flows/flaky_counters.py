"""A store of counts that goes down when it is told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sojourn import StoreUnavailable
from sojourn.stores.memory_sessions import MemoryCounterStore
from sojourn.testing import DrivenClock

DOWN: Final = frozenset({"take", "give_back", "clear"})


class FlakyCounters:
    """Counts in memory, unless it is `down` for what is asked; remembers each question."""

    def __init__(self, clock: DrivenClock) -> None:
        self.counts = MemoryCounterStore(clock)
        self.down: frozenset[str] = frozenset()
        self.asked: list[tuple[str, str]] = []
        self.hook: Callable[[], Awaitable[None]] | None = None

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        await self._reach("take", key)
        return await self.counts.take(key, count=count, period=period)

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        await self._reach("give_back", key)
        await self.counts.give_back(key, count=count, period=period)

    async def clear(self, key: str) -> None:
        await self._reach("clear", key)
        await self.counts.clear(key)

    async def _reach(self, what: str, key: str) -> None:
        self.asked.append((what, key))
        if self.hook is not None:
            await self.hook()
        if what in self.down:
            raise StoreUnavailable("counters", "down")
