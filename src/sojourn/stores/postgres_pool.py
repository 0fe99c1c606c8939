"""A bounded pool of PostgreSQL connections: rows, `Conflict` or `StoreUnavailable` out, no driver's exception."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, assert_never

from sojourn.errors import StoreUnavailable
from sojourn.stores.postgres_hosts import PostgresConnection, dial, hosts_of
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import (
    CONNECT_SECONDS,
    MAKE_TABLES_SECONDS,
    PATIENT_SETTINGS,
    SETTINGS,
    STATEMENT_SECONDS,
    Driver,
    Ending,
)

__all__ = ["PostgresPool"]

_IDLE: Final = 300.0
"""Seconds after which an unused connection is not trusted any more: what lies between may have forgotten it."""

_JITTER: Final = 0.1
"""Seconds within which those who failed together try again, each at a moment of its own."""


class PostgresPool:
    """At most `size` connections, opened when needed and replaced when lost, in the event loop that uses them.

    The one used last is used next, so that the others may grow old and go. Whoever finds none waits in line, at most a
    second. asyncpg's own pool takes longer to give a connection and to take it back than a short statement lasts.

    What was not carried out is asked once more, over another connection, and what other transactions undid up to three
    times. What may have been carried out is repeated only if the statement allows it. Nothing is repeated after a
    time-out, or for whoever waited two seconds already.
    """

    def __init__(self, url: str, *, size: int, driver: Driver | None = None) -> None:
        if driver is None:
            from sojourn.stores.postgres_connection import ASYNCPG

            driver = ASYNCPG
        self._driver = driver
        self._url = url
        self._size = size
        self._hosts = hosts_of(url)
        self._closed = False
        self._start(None)

    def _start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Without connections, in this event loop."""
        self._loop: Any = loop
        self._free: list[PostgresConnection] = []
        self._waiting: deque[tuple[float, asyncio.Future[PostgresConnection]]] = deque()
        self._dialling: set[asyncio.Task[PostgresConnection]] = set()
        self._apart: set[asyncio.Task[Any]] = set()
        self._open = 0
        self._generation = 0
        self._troubled = False
        self._watched = False
        self._settled = asyncio.Event()

    async def connect(self) -> None:
        """Make the tables on a connection of its own.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it does not now.
        """
        self._closed = False
        dialling = asyncio.get_running_loop().create_task(
            dial(self._driver, self._hosts, command_timeout=MAKE_TABLES_SECONDS, settings=PATIENT_SETTINGS)
        )
        try:
            # The driver leaves futures behind that nobody reads when it is cancelled between two steps of TLS.
            connection = await asyncio.wait_for(asyncio.shield(dialling), MAKE_TABLES_SECONDS)
        except Exception as error:  # noqa: BLE001  the driver also raises bare ValueError, TypeError and OSError
            raise self._driver.never_works(error) or self._driver.told(error) from None
        finally:
            dialling.add_done_callback(_hang_up)
        with suppress(Exception):
            await connection.close(timeout=CONNECT_SECONDS)

    @property
    def driver(self) -> Driver:
        return self._driver

    async def dial(self) -> Any:
        """A connection of the caller's own, beside those of the pool."""
        if self._closed:
            raise StoreUnavailable("database", "it was closed")
        dialling = asyncio.get_running_loop().create_task(
            dial(self._driver, self._hosts, command_timeout=STATEMENT_SECONDS, settings=SETTINGS)
        )
        self._apart.add(dialling)
        dialling.add_done_callback(self._apart.discard)
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            dialling.add_done_callback(_hang_up)
            raise
        except Exception as error:  # noqa: BLE001  as above
            raise _unavailable(self._driver, error) from None

    async def fetch(self, statement: Statement, parameters: Mapping[str, object]) -> Sequence[Any]:
        """All rows of one statement; raises `Conflict` naming the unique thing that exists already."""
        return await self._ask(statement, statement.values(parameters))

    async def fetch_one(self, statement: Statement, *values: object) -> Any | None:
        """The first row, if any; the values in the order of the statement's names."""
        rows = await self._ask(statement, values)
        return rows[0] if rows else None

    async def aclose(self) -> None:
        """Finish what was asked, then close every connection; bounded as the statements themselves are."""
        self._closed = True
        loop = asyncio.get_running_loop()
        if apart := {dialling for dialling in self._apart if dialling.get_loop() is loop}:
            await asyncio.wait(apart)
        if self._loop is not loop:
            return
        while self._open > len(self._free) or self._dialling:
            self._settled.clear()
            await self._settled.wait()
        free, self._free, self._open = self._free, [], 0
        await asyncio.gather(
            *(connection.driver.close(timeout=CONNECT_SECONDS) for connection in free), return_exceptions=True
        )

    async def _ask(self, statement: Statement, values: Sequence[object]) -> Sequence[Any]:
        again = 0
        self._enter()
        latest = self._loop.time() + STATEMENT_SECONDS
        while True:
            connection = self._idle() or await self._wait()
            try:
                prepared = connection.prepared.get(statement) or await connection.prepare(statement)
                rows: Sequence[Any] = await prepared.fetch(*values)
            except BaseException as error:
                how = self._driver.ending(error)
                self._part_with(connection, how)
                if not isinstance(error, Exception):
                    raise
                if again >= _repeats(how, statement) or self._loop.time() > latest:
                    raise self._driver.told(error) from None
            else:
                self._give_back(connection)
                return rows
            again += 1
            await asyncio.sleep(random.uniform(0, _JITTER))  # noqa: S311  no secret
            self._enter()

    def _enter(self) -> None:
        """Refuse, or take this event loop for the pool's; one that has ended takes its connections with it."""
        if self._closed:
            raise StoreUnavailable("database", "it was closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise StoreUnavailable("database", "it is in use in another event loop")
            for connection in self._free:
                with suppress(RuntimeError):  # that loop is closed, and the socket with it
                    connection.driver.terminate()
            self._start(loop)

    def _idle(self) -> PostgresConnection | None:
        """The connection that was used last, if it still stands."""
        while self._free:
            connection = self._free.pop()
            if self._loop.time() < connection.good_until and not connection.driver.is_closed():
                return connection
            self._drop(connection)
        return None

    async def _wait(self) -> PostgresConnection:
        """A connection that another gives back, or a new one, in the order of asking."""
        waiter: asyncio.Future[PostgresConnection] = self._loop.create_future()
        self._waiting.append((self._loop.time(), waiter))
        self._dial()
        if not self._watched:
            self._watch()
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _watch(self) -> None:
        """Tell those who have waited too long, and come again; one alarm for all costs less than one for each."""
        too_long = self._loop.time() - CONNECT_SECONDS
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= too_long):
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(StoreUnavailable("database", "it did not answer in time"))
        self._watched = bool(self._waiting)
        if self._watched:
            self._loop.call_at(self._waiting[0][0] + CONNECT_SECONDS, self._watch)

    def _give_back(self, connection: PostgresConnection) -> None:
        """To whoever waits longest, or to lie idle; nothing is on its way on it."""
        if connection.generation != self._generation:
            self._drop(connection)
            self._dial()
            return
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        now = self._loop.time()
        connection.good_until = now + _IDLE
        self._free.append(connection)
        if self._free[0].good_until < now:
            self._drop(self._free.pop(0))
        if self._closed:
            self._settled.set()

    def _part_with(self, connection: PostgresConnection, how: Ending) -> None:
        match how:
            case Ending.ANSWERED | Ending.BEATEN:
                self._give_back(connection)
                return
            case Ending.REFUSED | Ending.LOST:
                # The others lead to the same server: none of them is asked again.
                self._generation += 1
                self._troubled = True
                while self._free:
                    self._drop(self._free.pop())
            case Ending.ABANDONED:
                pass
            case _:
                assert_never(how)
        self._drop(connection)
        self._dial()

    def _drop(self, connection: PostgresConnection) -> None:
        connection.driver.terminate()
        self._open -= 1
        self._settled.set()

    def _dial(self) -> None:
        """Open as many as are waited for, and allowed."""
        while self._waiting and self._waiting[0][1].done():
            del self._waiting[0]
        while len(self._dialling) < min(len(self._waiting), self._size - self._open):
            dialling = self._loop.create_task(self._connection())
            self._dialling.add(dialling)
            dialling.add_done_callback(partial(self._dialled, began=self._loop.time()))

    async def _connection(self) -> PostgresConnection:
        # Nobody cancels this: a connection whose caller has gone is the next one's.
        generation = self._generation
        if self._troubled:
            await asyncio.sleep(random.uniform(0, _JITTER))  # noqa: S311  no secret
        driver = await dial(self._driver, self._hosts, command_timeout=STATEMENT_SECONDS, settings=SETTINGS)
        return PostgresConnection(driver, generation)

    def _dialled(self, dialling: asyncio.Task[PostgresConnection], *, began: float) -> None:
        self._dialling.discard(dialling)
        self._settled.set()
        if dialling.cancelled():  # the event loop ends
            return
        error = dialling.exception()
        self._troubled = error is not None
        if error is None:
            self._open += 1
            self._give_back(dialling.result())
        elif not self._open and not self._dialling:
            # Nobody is left who could give a connection back. Whoever came later may have more luck.
            while self._waiting and self._waiting[0][0] <= began:
                _, waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_exception(_unavailable(self._driver, error))
            self._dial()


def _repeats(how: Ending, statement: Statement) -> int:
    """How often a statement that ended like this is tried again."""
    match how:
        case Ending.BEATEN:
            return 3
        case Ending.REFUSED:
            return 1
        case Ending.LOST:
            return int(statement.repeatable)
        case Ending.ANSWERED | Ending.ABANDONED:
            return 0
        case _:
            assert_never(how)


def _unavailable(driver: Driver, error: BaseException) -> StoreUnavailable:
    """Nothing was asked yet, so no answer was lost."""
    detail = getattr(driver.told(error), "detail", "") if isinstance(error, Exception) else type(error).__name__
    return StoreUnavailable("database", detail)


def _hang_up(dialled: asyncio.Task[Any]) -> None:
    if not dialled.cancelled() and dialled.exception() is None and not dialled.result().is_closed():
        dialled.result().terminate()
