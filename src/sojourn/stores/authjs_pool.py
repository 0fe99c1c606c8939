"""The pool of connections to a database whose tables are those of `@auth/pg-adapter`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.stores.authjs_statements import AuthJSStatements
from sojourn.stores.authjs_tables import beside_theirs, make_ours, read_tables
from sojourn.stores.postgres_hosts import hosts_of
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import (
    CONNECT_SECONDS,
    MAKE_TABLES_SECONDS,
    PATIENT_SETTINGS,
    STATEMENT_SECONDS,
    Driver,
)

__all__ = ["AuthJSPool"]

_PATIENCE: Final = CONNECT_SECONDS + STATEMENT_SECONDS
"""Seconds that a request waits for a look, which itself goes on: another process may be making the tables."""


class AuthJSPool:
    """A `PostgresPool` beside their tables, which are looked for once, before the first statement.

    Where theirs lie, only the application's own search path says; where ours lie, only ours. So looking takes a
    connection of its own.
    """

    def __init__(self, url: str, *, size: int, driver: Driver | None = None) -> None:
        if driver is None:
            from sojourn.stores.postgres_connection import ASYNCPG

            driver = ASYNCPG
        self._url = url
        self._driver = driver
        self._pool = PostgresPool(beside_theirs(url), size=size, driver=driver)
        self._known: AuthJSStatements | None = None
        self._looking: asyncio.Task[AuthJSStatements] | None = None

    async def connect(self) -> None:
        """Look for their tables and make ours.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it does not now.
        """
        self._known = None
        await self._look_once()
        await self._pool.connect()

    async def statements(self) -> AuthJSStatements:
        """What to ask of their tables."""
        if self._known is not None:
            return self._known
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._look_once()
        except ConfigError as error:
            raise StoreUnavailable("database", error.seen) from None
        except TimeoutError:
            raise StoreUnavailable("database", "it did not answer in time") from None

    async def fetch(self, statement: Statement, parameters: Mapping[str, object]) -> Sequence[Any]:
        """All rows of one statement."""
        await self.statements()
        return await self._pool.fetch(statement, parameters)

    async def fetch_one(self, statement: Statement, *values: object) -> Any | None:
        """The first row, if any; the values in the order of the statement's names."""
        await self.statements()
        return await self._pool.fetch_one(statement, *values)

    @property
    def driver(self) -> Driver:
        return self._driver

    async def dial(self) -> Any:
        """A connection of the caller's own."""
        await self.statements()
        return await self._pool.dial()

    async def aclose(self) -> None:
        """Finish what was asked and close the connections."""
        looking = self._looking
        if looking is not None and looking.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({looking}, timeout=_PATIENCE)
            looking.cancel()
            await asyncio.wait({looking})
        await self._pool.aclose()

    async def _look_once(self) -> AuthJSStatements:
        """All who come meanwhile wait for the same look: the server sees one connection more, not one for each."""
        loop = asyncio.get_running_loop()
        if self._looking is None or self._looking.done() or self._looking.get_loop() is not loop:
            self._looking = loop.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> AuthJSStatements:
        connection: Any = None
        try:
            async with asyncio.timeout(MAKE_TABLES_SECONDS):
                connection = await _connection(self._driver, self._url)
                await make_ours(connection)
                self._known = AuthJSStatements(await read_tables(connection))
        except Exception as error:  # noqa: BLE001  the driver also raises bare ValueError, TypeError and OSError
            raise self._driver.never_works(error) or self._driver.told(error) from None
        finally:
            if connection is not None:
                connection.terminate()
        return self._known


async def _connection(driver: Driver, url: str) -> Any:
    """To the first host that serves, with the application's own search path."""
    failed: Exception | None = None
    hosts = hosts_of(url)
    for host in hosts:
        try:
            return await driver.connect(host, CONNECT_SECONDS / len(hosts), MAKE_TABLES_SECONDS, PATIENT_SETTINGS)
        except Exception as error:  # noqa: BLE001  as above
            failed = error
    assert failed is not None
    raise failed
