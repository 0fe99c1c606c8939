"""A bounded pool of psycopg's connections: rows, `Conflict` or `StoreUnavailable` out, no driver's exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.errors import StoreUnavailable
from sojourn.stores.postgres_schema import prepare
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import (
    CONNECT_SECONDS,
    MAKE_TABLES_SECONDS,
    PATIENT_SETTINGS,
    SETTINGS,
    STATEMENT_SECONDS,
)
from sojourn.stores.psycopg_connection import PsycopgConnection, conflict, dial, is_harmless, never_works, unavailable

__all__ = ["PsycopgPool"]


class PsycopgPool:
    """At most `size` connections, opened when needed and replaced when lost, in the event loop that uses them."""

    def __init__(self, url: str, *, size: int) -> None:
        self._url = url
        self._size = size
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[PsycopgConnection] = []
        self._places = asyncio.Semaphore(size)
        self._running = 0
        self._drained = asyncio.Event()

    async def connect(self) -> None:
        """Make the tables on a connection of its own.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it does not now.
        """
        self._closed = False
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await dial(self._url, PATIENT_SETTINGS)
            try:
                async with asyncio.timeout(MAKE_TABLES_SECONDS):
                    await prepare(connection)
            finally:
                connection.close()
        except Exception as error:  # noqa: BLE001  whatever a driver raises, it stays in here
            raise never_works(error) or unavailable(error) from None

    async def fetch(self, statement: Statement, parameters: Mapping[str, object]) -> Sequence[Any]:
        """All rows of one statement; raises `Conflict` naming the unique thing that exists already."""
        self._enter()
        self._running += 1
        try:
            connection = await self._take()
            try:
                async with asyncio.timeout(STATEMENT_SECONDS):
                    return await connection.run(statement.text, statement.values(parameters))
            except BaseException as error:
                # Whoever was cancelled, or waited too long, leaves an answer behind that is nobody else's.
                if not is_harmless(error):
                    connection.close()
                if not isinstance(error, Exception):
                    raise
                raise conflict(error) or unavailable(error) from None
            finally:
                self._give_back(connection)
        finally:
            self._running -= 1
            if not self._running:
                self._drained.set()

    async def aclose(self) -> None:
        """Finish what was asked, then close every connection; bounded as the statements themselves are."""
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            while self._running:
                self._drained.clear()
                await self._drained.wait()
        elif self._loop is not None and self._loop.is_running():
            return
        self._forget_loop(None)

    def _enter(self) -> None:
        """Refuse, or take this event loop for the pool's."""
        if self._closed:
            raise StoreUnavailable("database", "it was closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise StoreUnavailable("database", "it is in use in another event loop")
            self._forget_loop(loop)

    def _forget_loop(self, successor: asyncio.AbstractEventLoop | None) -> None:
        """A loop that has ended takes its connections with it, and whoever waited for one."""
        while self._idle:
            self._idle.pop().close()
        self._loop = successor
        self._places = asyncio.Semaphore(self._size)
        self._running = 0
        self._drained = asyncio.Event()

    async def _take(self) -> PsycopgConnection:
        """A connection that nobody else has, the one that was used last or a new one."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._places.acquire()
                try:
                    return self._waiting() or await self._open()
                except BaseException:
                    self._places.release()
                    raise
        except Exception as error:  # noqa: BLE001  as in connect()
            raise unavailable(error) from None

    def _waiting(self) -> PsycopgConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive():
                return connection
            connection.close()
        return None

    async def _open(self) -> PsycopgConnection:
        connection = await dial(self._url, SETTINGS)
        try:
            await prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: PsycopgConnection) -> None:
        if connection.is_ready:
            self._idle.append(connection)
        else:
            connection.close()
        self._places.release()
