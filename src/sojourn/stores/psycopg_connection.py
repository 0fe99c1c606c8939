"""One connection of psycopg's: its URL, its settings, and what its errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo, ConnStatus, TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.waiting import wait_async

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_terms import conflict_of, never, unreadable

__all__ = ["PsycopgConnection", "conflict", "dial", "is_harmless", "never_works", "unavailable"]

T = TypeVar("T")

_SETTINGS_OF_LIBPQ: Final = frozenset(option.keyword.decode() for option in Conninfo.get_defaults())

# A server that refuses a connection says why with an SQLSTATE, and libpq keeps only the text (psycopg's issue 1188). On
# a server that speaks another language than English, these count as unavailable, in its words.
_REFUSALS: Final = (
    (
        re.compile(
            r"FATAL: +(?:\S+ authentication failed|no pg_hba\.conf entry|pg_hba\.conf rejects|"
            r'role ".*" (?:does not exist|is not permitted))|no password supplied'
        ),
        "28000",
    ),
    (re.compile(r'FATAL: +database ".*" does not exist'), "3D000"),
    (re.compile("FATAL: +permission denied for database"), "42501"),
)


class _EndsWithItsCaller(AsyncConnection[TupleRow]):
    """A connection that ends when its caller goes.

    The driver would ask the server to stop, over another connection, and would wait up to ten seconds for both.
    """

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109  the driver's
        try:
            async with asyncio.timeout(timeout):
                return await wait_async(gen, self.pgconn.socket, interval=interval)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


class PsycopgConnection:
    """Statements with `$1`, `$2`, … on one connection, each a transaction of its own; raises the driver's errors."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    @property
    def is_ready(self) -> bool:
        """Whether it is open and nothing is on its way."""
        pgconn = self._connection.pgconn
        return pgconn.status == ConnStatus.OK and pgconn.transaction_status == TransactionStatus.IDLE

    def is_alive(self) -> bool:
        """Whether the server has not ended it meanwhile, as far as is known here; costs no round trip."""
        pgconn = self._connection.pgconn
        try:
            # A server that goes in order says good-bye first: once for its words, once for the end behind them.
            pgconn.consume_input()
            pgconn.consume_input()
        except psycopg.OperationalError:
            return False
        return self.is_ready

    def close(self) -> None:
        """At once, whatever is on its way."""
        self._connection.pgconn.finish()

    async def run(self, text: str, values: list[object]) -> list[TupleRow]:
        """All rows of one prepared statement, none of one that returns none."""
        try:
            return await self._prepared(text, values)
        except psycopg.errors.FeatureNotSupported:
            # Planned for tables that were altered since. It was refused before it did anything.
            await self.execute("DEALLOCATE ALL")
            return await self._prepared(text, values)

    async def _prepared(self, text: str, values: list[object]) -> list[TupleRow]:
        cursor = AsyncRawCursor(self._connection)
        await cursor.execute(text.encode(), values, prepare=True, binary=True)
        return [] if cursor.rownumber is None else await cursor.fetchall()

    # What makes the tables (postgres_schema.py) asks in these words, which are asyncpg's.

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        return self._connection.transaction()

    async def execute(self, text: str, *values: object) -> AsyncRawCursor[TupleRow]:
        return await AsyncRawCursor(self._connection).execute(text.encode(), values or None, prepare=False)

    async def fetch(self, text: str, *values: object) -> list[TupleRow]:
        return await (await self.execute(text, *values)).fetchall()

    async def fetchval(self, text: str, *values: object) -> Any:
        ((value,),) = await self.fetch(text, *values)
        return value


async def dial(url: str, settings: Mapping[str, str]) -> PsycopgConnection:
    """A new connection; raises `ConfigError` for a URL that cannot be read, beside the driver's errors."""
    connection = await _EndsWithItsCaller.connect(**_read(url, settings), autocommit=True)
    # Every number's column is a BIGINT. By itself the driver chooses a type by value, and so a plan for each size.
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    return PsycopgConnection(connection)


def _read(url: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """As asyncpg reads it, where parameters that are none of libpq's are settings of the server."""
    address, _, query = url.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    own = {name: given.pop(name) for name in sorted(given.keys() - _SETTINGS_OF_LIBPQ)} | dict(settings)
    options = [given.pop("options", ""), *(f"-c {name}={_escaped(value)}" for name, value in own.items())]
    try:
        return conninfo_to_dict(f"{address}?{urlencode(given, quote_via=quote)}", options=" ".join(options).strip())
    except (psycopg.ProgrammingError, ValueError):
        raise unreadable() from None


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)


def is_harmless(error: BaseException) -> bool:
    """After these a connection is as good as before. A server that takes no writes may have a successor elsewhere."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return isinstance(error, psycopg.IntegrityError | psycopg.DataError)
    return isinstance(error, psycopg.DataError | ValueError | OverflowError)  # a value that was never sent


def conflict(error: Exception) -> Conflict | None:
    return conflict_of(error.diag.constraint_name) if isinstance(error, psycopg.IntegrityError) else None


def never_works(error: Exception) -> ConfigError | None:
    """What no waiting will mend."""
    match error:
        case ConfigError():
            return error
        case psycopg.Error(sqlstate=str(sqlstate)):
            return never(sqlstate)
        case psycopg.OperationalError() if str(error).startswith("connection is bad: invalid "):
            return unreadable()
        case psycopg.OperationalError():
            return next((never(sqlstate) for pattern, sqlstate in _REFUSALS if pattern.search(str(error))), None)
        case _:
            return None


def unavailable(error: Exception) -> StoreUnavailable:
    """In words that quote no values: the driver's own may hold a whole row, or the URL."""
    match error:
        case StoreUnavailable():
            return error
        case ConfigError():
            told = error.seen
        case psycopg.Error(sqlstate=str()):
            told = error.diag.message_primary or type(error).__name__
        case psycopg.errors.ConnectionTimeout() | TimeoutError():
            told = "it did not answer in time"
        case psycopg.OperationalError():
            refused = never_works(error)
            # Of several attempts, the reason of the last.
            last = re.sub("^FATAL: +", "", str(error).rpartition("failed: ")[2]).partition("\n")[0]
            told = refused.seen if refused else last
        case OSError():
            told = error.strerror or type(error).__name__
        case _:
            told = type(error).__name__
    return StoreUnavailable("database", told)
