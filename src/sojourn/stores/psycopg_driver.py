"""psycopg: how it connects, how it is asked, and what its errors mean."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, errors, generators
from psycopg.abc import ConnDict, PQGen
from psycopg.conninfo import conninfo_attempts_async, conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, ConnStatus, TransactionStatus
from psycopg.rows import TupleRow, tuple_row
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.waiting import wait_async, wait_conn_async

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_terms import AnswerLost, Driver, Ending, conflict_of, never, unreadable

__all__ = ["PSYCOPG"]

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


class _Prepared:
    """A statement that the connection prepares when it is first asked, and keeps."""

    __slots__ = ("_connection", "_text")

    def __init__(self, connection: _Connection, text: str) -> None:
        self._connection = connection
        self._text = text.encode()

    async def fetch(self, *values: object) -> list[TupleRow]:
        return await self._connection.run(self._text, values, prepare=True)


class _Connection:
    """What is asked of asyncpg's connections, in its words: each statement is a transaction of its own."""

    __slots__ = ("_timeout", "driver")

    def __init__(self, driver: AsyncConnection[TupleRow], timeout: float) -> None:
        self.driver: AsyncConnection[TupleRow] = driver
        self._timeout = timeout

    def is_closed(self) -> bool:
        """Whether either side has ended it, as far as is known here; costs no round trip."""
        pgconn = self.driver.pgconn
        try:
            # A server that goes in order says good-bye first: once for its words, once for the end behind them.
            pgconn.consume_input()
            pgconn.consume_input()
        except psycopg.OperationalError:
            return True
        return pgconn.status != ConnStatus.OK or pgconn.transaction_status != TransactionStatus.IDLE

    def terminate(self) -> None:
        """At once, whatever is on its way."""
        self.driver.pgconn.finish()

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109  there is nothing to wait for
        self.terminate()

    async def prepare(self, text: str, *, timeout: float) -> _Prepared:  # noqa: ASYNC109  in the same round trip
        return _Prepared(self, text)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        return self.driver.transaction()

    async def execute(self, text: str, *values: object) -> None:
        await self.run(text.encode(), values)

    async def fetch(self, text: str, *values: object) -> list[TupleRow]:
        return await self.run(text.encode(), values)

    async def fetchval(self, text: str, *values: object) -> Any:
        ((value,),) = await self.run(text.encode(), values)
        return value

    async def run(self, text: bytes, values: Sequence[object], *, prepare: bool = False) -> list[TupleRow]:
        """All rows, none of a statement that returns none. Without values there may be several statements."""
        async with asyncio.timeout(self._timeout):
            cursor = AsyncRawCursor(self.driver)
            await cursor.execute(text, values or None, prepare=prepare, binary=prepare)
            return [] if cursor.rownumber is None else await cursor.fetchall()


async def _connect(url: str, seconds: float, command_timeout: float, settings: Mapping[str, str]) -> _Connection:
    async with asyncio.timeout(seconds):
        driver = await _open(_read(url, settings))
    await driver.set_autocommit(True)
    # Every number's column is a BIGINT. By itself the driver chooses a type by value, and so a plan for each size.
    driver.adapters.register_dumper(int, Int8BinaryDumper)
    return _Connection(driver, command_timeout)


async def _open(address: ConnDict) -> AsyncConnection[TupleRow]:
    """The driver's own way, but for its end: there, the socket of whoever is cancelled stays open for a while."""
    failed: psycopg.OperationalError | None = None
    for attempt in await conninfo_attempts_async(address):
        opening = generators.connect(make_conninfo("", **attempt))
        try:
            return _EndsWithItsCaller(await wait_conn_async(opening, interval=0.1), tuple_row)
        except psycopg.OperationalError as error:
            failed = error
        finally:
            opening.close()
    assert failed is not None
    raise failed


def _read(url: str, settings: Mapping[str, str]) -> ConnDict:
    """As asyncpg reads it, where parameters that are none of libpq's are settings of the server."""
    address, _, query = url.partition("?")
    given = {name: value for name, value in parse_qsl(query, keep_blank_values=True) if name not in settings}
    own = {name: given.pop(name) for name in sorted(given.keys() - _SETTINGS_OF_LIBPQ)} | dict(settings)
    options = [given.pop("options", ""), *(f"-c {name}={_escaped(value)}" for name, value in own.items())]
    try:
        return conninfo_to_dict(f"{address}?{urlencode(given, quote_via=quote)}", options=" ".join(options).strip())
    except (psycopg.ProgrammingError, ValueError):
        raise unreadable() from None


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)


def _ending(error: BaseException) -> Ending:
    """What this means for the connection and for another attempt."""
    match error:
        case psycopg.Error(sqlstate=None) if isinstance(error, psycopg.DataError | psycopg.ProgrammingError):
            return Ending.ANSWERED  # a value that was never sent
        case ValueError() | OverflowError() | struct.error():
            return Ending.ANSWERED
        case psycopg.IntegrityError() | psycopg.DataError():
            return Ending.ANSWERED
        case errors.SerializationFailure() | errors.DeadlockDetected():
            return Ending.BEATEN
        case (
            errors.ReadOnlySqlTransaction()
            | errors.AdminShutdown()
            | errors.CannotConnectNow()
            | errors.IdleSessionTimeout()
            | errors.FeatureNotSupported()  # planned for tables that were altered since
        ):
            return Ending.REFUSED
        case TimeoutError() | errors.ConnectionTimeout():
            return Ending.ABANDONED
        case (
            psycopg.OperationalError(sqlstate=None) | errors.CrashShutdown() | errors.ConnectionException() | OSError()
        ):
            return Ending.LOST
        case _:
            return Ending.ABANDONED


def _told(error: Exception) -> Conflict | StoreUnavailable:
    """In words that quote no values: the driver's own may hold a whole row, or the URL."""
    match error:
        case StoreUnavailable():
            return error
        case psycopg.IntegrityError() if conflict := conflict_of(error.diag.constraint_name):
            return conflict
        case ConfigError():
            detail = error.seen
        case psycopg.Error(sqlstate=str()):
            detail = error.diag.message_primary or type(error).__name__
        case TimeoutError() | errors.ConnectionTimeout():
            detail = "it did not answer in time"
        case psycopg.OperationalError() if refused := _never_works(error):
            detail = refused.seen
        case psycopg.OperationalError() if "session is read-only" in str(error):
            detail = "no server of those named takes writes"
        case psycopg.OperationalError():
            # Of several attempts, the reason of the last.
            detail = re.sub("^FATAL: +", "", str(error).rpartition("failed: ")[2]).partition("\n")[0]
        case OSError():
            detail = error.strerror or type(error).__name__
        case _:
            detail = type(error).__name__
    kind = AnswerLost if _ending(error) is Ending.LOST else StoreUnavailable
    return kind("database", detail)


def _never_works(error: Exception) -> ConfigError | None:
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


async def _listen(connection: _Connection, channel: str) -> Callable[[float], Awaitable[None]]:
    await connection.execute(f"LISTEN {channel}")

    async def hear(seconds: float) -> None:
        try:
            async with aclosing(connection.driver.notifies(timeout=seconds, stop_after=1)) as words:
                async for _ in words:
                    pass
        except TimeoutError:
            pass

    return hear


PSYCOPG: Final = Driver(connect=_connect, ending=_ending, told=_told, never_works=_never_works, listen=_listen)
