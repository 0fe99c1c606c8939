"""A bounded pool of PostgreSQL connections: rows, `Conflict` or `StoreUnavailable` out, no driver's exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_schema import prepare
from sojourn.stores.postgres_statements import Statement

__all__ = ["PostgresPool"]

_CONNECT: Final = 1.0
"""Seconds to wait for a connection, in the queue or for the server."""

_STATEMENT: Final = 2.0
"""Seconds for a statement."""

_MAKE_TABLES: Final = 15.0
"""Seconds at the start, where another process may be making the tables."""

_SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "sojourn",
    # What nobody waits for any more shall not happen much later.
    "statement_timeout": str(int(_STATEMENT * 1000)),
    # Stricter levels answer two writers with an error where this one lets the second wait.
    "default_transaction_isolation": "read committed",
}

# The names that PostgreSQL gives the constraints of schema.py, and what each means to the caller.
_CONFLICTS: Final[Mapping[str, str]] = {
    "users_pkey": "id",
    "users_email_key": "email",
    "users_username_key": "username",
    "accounts_pkey": "account",
    "accounts_user_id_fkey": "user",
    "sessions_pkey": "session",
    "sessions_user_id_fkey": "user",
}


class PostgresPool:
    """At most `size` connections, opened when needed and replaced when lost, in the event loop that uses them."""

    def __init__(self, url: str, *, size: int) -> None:
        self._url = url
        self._size = size
        self._closed = False
        self._pool: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = 0
        self._drained = asyncio.Event()
        self._dialling: set[asyncio.Task[Any]] = set()

    async def connect(self) -> None:
        """Make the tables on a connection of its own.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it does not now.
        """
        self._closed = False
        connection: Any = None
        try:
            async with asyncio.timeout(_MAKE_TABLES):
                connection = await self._dial(
                    self._url, timeout=_CONNECT, command_timeout=_MAKE_TABLES, server_settings=_patient()
                )
                await prepare(connection)
                await connection.close()
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  the driver also raises bare ValueError, TypeError and OSError
            raise _never(error) or _unavailable(error) from None
        finally:
            if connection is not None and not connection.is_closed():
                connection.terminate()

    async def fetch(self, statement: Statement, parameters: Mapping[str, object]) -> Sequence[Any]:
        """All rows of one statement; raises `Conflict` naming the unique thing that exists already."""
        self._running += 1
        try:
            pool = await self._ready()
            connection: Any = None
            try:
                connection = await pool.acquire(timeout=_CONNECT)
            except Exception as error:  # noqa: BLE001  as in connect()
                raise _unavailable(error) from None
            try:
                rows: Sequence[Any] = await connection.fetch(statement.text, *statement.values(parameters))
            except BaseException as error:
                # Whoever was cancelled, or waited too long, leaves an answer behind that is nobody else's.
                if not _harmless(error):
                    with suppress(asyncpg.InterfaceError):  # one that broke has left the pool already
                        connection.terminate()
                if not isinstance(error, Exception):
                    raise
                raise _conflict(error) or _unavailable(error) from None
            finally:
                # The rows are there, or are written: what happens to the connection afterwards is no reason to fail.
                with suppress(Exception):
                    await pool.release(connection)
            return rows
        finally:
            self._running -= 1
            if not self._running:
                self._drained.set()

    async def aclose(self) -> None:
        """Finish what was asked, then close every connection; bounded as the statements themselves are."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is None or self._loop is not asyncio.get_running_loop():
            return
        while self._running:
            self._drained.clear()
            await self._drained.wait()
        if self._dialling:
            await asyncio.wait(self._dialling)
        try:
            async with asyncio.timeout(_CONNECT):
                await pool.close()
        except Exception:  # noqa: BLE001  a server that does not answer is left without a word
            pool.terminate()

    async def _ready(self) -> Any:
        """This event loop's pool; a loop that has ended takes its connections with it."""
        if self._closed:
            raise StoreUnavailable("database", "it was closed")
        loop = asyncio.get_running_loop()
        if self._pool is None or self._loop is not loop:
            if self._pool is not None and self._loop is not None and self._loop.is_running():
                raise StoreUnavailable("database", "it is in use in another event loop")
            self._loop = loop
            # Nothing is opened yet, so nothing waits here. The driver's reset between two callers would cost a round
            # trip and has nothing to undo: each statement is a transaction of its own, none changes a setting.
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._size,
                connect=self._dial,
                init=prepare,
                reset=_nothing,
                timeout=_CONNECT,
                command_timeout=_STATEMENT,
                server_settings=dict(_SETTINGS),
            )
        return self._pool

    async def _dial(self, *address: Any, **settings: Any) -> Any:
        """A new connection. One whose caller has gone is made all the same and then dropped.

        The driver leaves futures behind that nobody reads when it is cancelled between two steps of TLS.
        """
        dialling = asyncio.get_running_loop().create_task(asyncpg.connect(*address, **settings))
        self._dialling.add(dialling)
        dialling.add_done_callback(self._dialling.discard)
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            dialling.add_done_callback(_hang_up)
            raise


def _hang_up(dialled: asyncio.Task[Any]) -> None:
    if not dialled.cancelled() and dialled.exception() is None:
        dialled.result().terminate()


async def _nothing(connection: Any) -> None:
    pass


def _patient() -> dict[str, str]:
    return {**_SETTINGS, "statement_timeout": str(int(_MAKE_TABLES * 1000))}


def _harmless(error: BaseException) -> bool:
    """After these a connection is as good as before. A server that takes no writes may have a successor elsewhere."""
    if isinstance(error, asyncpg.InterfaceError):
        return isinstance(error, ValueError)  # a value that was never sent
    return isinstance(error, asyncpg.IntegrityConstraintViolationError | asyncpg.DataError)


def _conflict(error: Exception) -> Conflict | None:
    if not isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return None
    what = _CONFLICTS.get(error.constraint_name or "")
    return None if what is None else Conflict(what)


def _unavailable(error: Exception) -> StoreUnavailable:
    """In words that quote no values: the driver's own may hold a whole row, or the URL."""
    match error:
        case StoreUnavailable():
            return error
        case ConfigError():
            told = error.seen
        case asyncpg.PostgresError():
            told = str(error.args[0]) if error.args else type(error).__name__
        case TimeoutError():
            told = "it did not answer in time"
        case OSError():
            told = error.strerror or type(error).__name__
        case _:
            told = type(error).__name__
    return StoreUnavailable("database", told)


def _never(error: Exception) -> ConfigError | None:
    """What no waiting will mend."""
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            seen, fix = (
                "the server refuses this user or password",
                "Check both in the URL, and the server's pg_hba.conf.",
            )
        case asyncpg.InvalidCatalogNameError():
            seen, fix = "the server has no database of that name", "Create it (CREATE DATABASE), or name another."
        case asyncpg.InvalidSchemaNameError():
            seen, fix = "the search path names no schema that exists", "Create it (CREATE SCHEMA), or name another."
        case asyncpg.InsufficientPrivilegeError():
            seen = "this user may not make Sojourn's tables or read them"
            fix = "Run `sojourn db upgrade` as the schema's owner, and grant this user the rest."
        case ValueError() | TypeError() | OverflowError():
            seen, fix = "a PostgreSQL URL that cannot be read", 'Write "postgresql://USER:PASSWORD@HOST:PORT/NAME".'
        case _:
            return None
    return ConfigError("database", seen, fix)
