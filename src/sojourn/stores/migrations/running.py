"""The branch's steps, taken one after the other on a connection of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Lock
from typing import Any, Final

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from sojourn.errors import StoreUnavailable
from sojourn.stores.postgres_hosts import hosts_of
from sojourn.stores.postgres_terms import CONNECT_SECONDS, SETTINGS, Driver

__all__ = ["migrate_postgres_over_asyncpg", "migrate_postgres_over_psycopg", "migrate_sqlite"]

_SCRIPTS: Final = Path(__file__).parent
_WAIT: Final = 15
"""Seconds for somebody else who holds a lock."""

_A_DAY: Final = 86_400.0

# A step may take as long as it takes, but while it waits for a table, everybody else waits for it.
_SETTINGS: Final = {**SETTINGS, "statement_timeout": "0", "lock_timeout": str(_WAIT * 1000)}

# Alembic's `op` is one for the whole process.
_alembic: Final = Lock()


def migrate_sqlite(path: str) -> None:
    """Bring the tables of this file to this release's version, all or nothing; raises `StoreUnavailable`."""
    # Never a new file: that the server makes, for nobody else to read.
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, timeout=_WAIT, isolation_level=None),
        poolclass=NullPool,
    )
    event.listen(engine, "begin", _take_write_lock)
    try:
        with _alembic, engine.begin() as connection:
            _take_steps(connection)
    except DBAPIError as error:
        raise StoreUnavailable("database", str(error.orig)) from None
    finally:
        engine.dispose()


def migrate_postgres_over_asyncpg(address: str) -> None:
    """The same of a database; `address` is a URL as libpq reads it.

    Raises `ConfigError` for what no waiting will mend, else `StoreUnavailable`.
    """
    from sojourn.stores.postgres_connection import ASYNCPG

    async def dial() -> Any:
        return await _dial(ASYNCPG, address)

    _migrate("asyncpg", ASYNCPG, dial)


def migrate_postgres_over_psycopg(address: str) -> None:
    """The same over the other driver."""
    from sojourn.stores.psycopg_driver import PSYCOPG

    async def dial() -> Any:
        connection = (await _dial(PSYCOPG, address)).driver
        await connection.set_autocommit(False)
        return connection

    _migrate("psycopg", PSYCOPG, dial)


async def _dial(driver: Driver, address: str) -> Any:
    """A connection to the first host that serves."""
    failed: Exception | None = None
    hosts = hosts_of(address)
    for host in hosts:
        try:
            return await driver.connect(host, CONNECT_SECONDS / len(hosts), _A_DAY, _SETTINGS)
        except Exception as error:  # noqa: BLE001  asyncpg also raises bare ValueError, TypeError and OSError
            failed = driver.never_works(error) or driver.told(error)
    assert failed is not None
    raise failed from None


def _migrate(name: str, driver: Driver, dial: Callable[[], Awaitable[Any]]) -> None:
    async def run() -> None:
        engine = create_async_engine(f"postgresql+{name}://", async_creator=dial, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_take_steps)
        finally:
            await engine.dispose()

    try:
        with _alembic:
            asyncio.run(run())
    except DBAPIError as error:
        # It stands before the driver's own, and before asyncpg's stands one more.
        own = error.orig if name == "psycopg" or error.orig is None else error.orig.__cause__
        seen = own if isinstance(own, Exception) else error
        raise driver.never_works(seen) or driver.told(seen) from None


def _take_write_lock(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _take_steps(connection: Connection) -> None:
    """Every step from the first: one that was taken already changes nothing, and needs no table of Alembic's own."""
    scripts = ScriptDirectory(_SCRIPTS)
    with Operations.context(MigrationContext.configure(connection)):
        for script in reversed(list(scripts.walk_revisions())):
            script.module.upgrade()
