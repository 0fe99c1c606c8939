"""Hearing of endings at once: one connection that listens, made anew whenever it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sojourn.errors import StoreUnavailable
from sojourn.stores.postgres_statements import CHANNEL, LATEST
from sojourn.stores.postgres_terms import STATEMENT_SECONDS, Pool

__all__ = ["PostgresChannel"]


@dataclass(frozen=True, slots=True)
class _Ear:
    """A connection that listens, in the event loop that made it."""

    connection: Any
    hear: Callable[[float], Awaitable[None]]
    loop: asyncio.AbstractEventLoop

    def end(self) -> None:
        with suppress(RuntimeError):  # that loop is closed, and the socket with it
            self.connection.terminate()


async def _to_its_end(asked: Awaitable[Any]) -> Any:
    """The answer. Whoever is cancelled waits for it, too: a statement that is given up costs another connection."""
    task = asyncio.ensure_future(asked)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=STATEMENT_SECONDS)
        raise


class PostgresChannel:
    """Waits for entries of the log, over a connection beside the pool's.

    Each wait first asks for the last position. What was announced while nobody listened is so found, and a connection
    that is dead without a word. Where announcements get lost on the way, as behind a pooler that gives each transaction
    another connection, every wait takes its whole time, and nothing worse happens.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._ear: _Ear | None = None
        self._closed = False

    async def wait(self, after: int, seconds: float) -> None:
        """As `RevocationLog.wait`."""
        self._closed = False
        ear, self._ear = self._ear, None
        if ear is not None and ear.loop is not asyncio.get_running_loop():
            ear.end()
            ear = None
        if ear is None:
            ear = await self._open()
        try:
            if await _to_its_end(ear.connection.fetchval(LATEST.text)) <= after:
                await ear.hear(seconds)
        except BaseException as error:
            ear.end()
            if isinstance(error, Exception):
                raise self._told(error) from None
            raise
        if self._closed or self._ear is not None:
            ear.end()
        else:
            self._ear = ear

    def close(self) -> None:
        """End the connection; one that somebody waits on ends with the wait."""
        self._closed = True
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.end()

    async def _open(self) -> _Ear:
        connection = await self._pool.dial()
        try:
            hear = await self._pool.driver.listen(connection, CHANNEL)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, Exception):
                raise self._told(error) from None
            raise
        return _Ear(connection, hear, asyncio.get_running_loop())

    def _told(self, error: Exception) -> StoreUnavailable:
        told = self._pool.driver.told(error)
        return told if isinstance(told, StoreUnavailable) else StoreUnavailable("database", "it cannot be listened to")
