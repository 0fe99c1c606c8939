"""One SQLite connection and the thread that waits for it: jobs in; results or `StoreUnavailable` out, no driver's
exception."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio import to_thread

from sojourn.errors import StoreUnavailable
from sojourn.stores.sqlite_file import SQLiteFile, primary_code, time_left
from sojourn.stores.statements import storable

__all__ = ["SQLiteThread"]

ResultT = TypeVar("ResultT")

# After these a connection is as good as before; after any other error it is closed, and the next job opens another.
_HARMLESS: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}
)
# These may be the fault of one job out of many, met only by the commit of all.
_OF_ONE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT})
# So many share one commit and one hand-over at most, for nobody is answered before the last of them.
_MOST: Final = 128
_MILLISECOND: Final = 0.001


class _Job(Generic[ResultT]):
    """What one caller waits for; `future` is theirs, and their event loop's."""

    def __init__(self, work: Callable[[sqlite3.Connection], ResultT], deadline: float, *, changes: bool) -> None:
        self.work = work
        self.deadline = deadline
        self.changes = changes
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[ResultT] = self.loop.create_future()
        self.error: BaseException | None = None
        self._tell: Callable[[], object] = self.future.cancel

    def attempt(self, connection: sqlite3.Connection) -> None:
        self.error = None
        self._tell = partial(self.future.set_result, self.work(connection))

    def answer(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self._tell()
        else:
            self.future.set_exception(_told(self.error))


class SQLiteThread:
    """Runs jobs one after the other on one connection, opened by the first job.

    All that wait are taken at once and answered at once, and those that change something share one commit, each whole
    or undone by itself. `busy_timeout` is in seconds and bounds the whole wait of a job, in the queue and for another
    process's lock; a job that spent it in the queue still gets one try. A caller who is cancelled leaves the job whole:
    it either never starts or runs to its end. A job that finds the file locked at its first statement starts over.
    """

    def __init__(self, file: SQLiteFile, *, name: str, busy_timeout: float) -> None:
        self._file = file
        self._name = name
        self._busy_timeout = busy_timeout
        self._closed = False
        self._queue: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._accepting = Lock()
        self._using = Lock()
        self._done: list[_Job[Any]] = []
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    async def run(self, job: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """The job's result; raises `StoreUnavailable` whatever the driver or the file system says."""
        return await self._wait(job, changes=False)

    async def change(self, job: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """The same in a transaction, committed when this returns and undone when it raises.

        The write lock is taken first, so that nothing read inside can have changed by the commit.
        """
        return await self._wait(job, changes=True)

    async def find(self, statement: str, name: str, text: str) -> Any:
        """The row that has this text in a unique index, or None; `name` is the statement's parameter.

        Answered on the event loop's own thread when nothing is in the way: a reader of a WAL waits for no writer, the
        few pages are in memory or one read away, and the way through another thread takes ten times as long. Where
        anything is in the way, be it a lock or an error, the thread asks again, waits, and says what it is.
        """
        if not storable(text):
            return None
        parameters = {name: text}
        if self._using.acquire(blocking=False):
            try:
                if self._connection is not None and self._file.glance() == self._identity:
                    return self._connection.execute(statement, parameters).fetchone()
            except (sqlite3.Error, OSError):
                pass
            finally:
                self._using.release()
        return await self.run(lambda connection: connection.execute(statement, parameters).fetchone())

    def reopen(self) -> None:
        """Take jobs again after `aclose`."""
        self._closed = False

    async def aclose(self) -> None:
        """Finish the jobs that were accepted, close the connection, end the thread."""
        with self._accepting:
            self._closed = True
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(thread.join)

    async def _wait(self, work: Callable[[sqlite3.Connection], ResultT], *, changes: bool) -> ResultT:
        job = _Job(work, time.monotonic() + self._busy_timeout, changes=changes)
        with self._accepting:  # never taken by the thread, which would be woken only to wait for it
            if self._closed:
                raise StoreUnavailable("database", "it was closed")
            if self._thread is None:
                # A daemon: nobody who was answered loses anything when the process ends without closing.
                self._thread = Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._queue.put(job)
        return await job.future

    def _work(self) -> None:
        while jobs := self._take():
            with self._using:
                for changes, group in groupby(jobs, key=lambda job: job.changes):
                    if changes:
                        self._change(list(group))
                    else:
                        for job in group:
                            self._run(job)
                done, self._done = self._done, []
            _hand_over(done)
        with self._using:
            self._disconnect()
            self._identity = None

    def _take(self) -> Sequence[_Job[Any]]:
        """All that wait, but at least one; none when it is time to end."""
        jobs: list[_Job[Any]] = []
        while not jobs or (len(jobs) < _MOST and not self._queue.empty()):
            job = self._queue.get()
            if job is None:
                if jobs:
                    self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _run(self, job: _Job[Any]) -> None:
        if job.future.cancelled():
            return
        try:
            self._attempt(job.attempt, job.deadline)
        except BaseException as error:  # noqa: BLE001 - told to the one who waits
            job.error = error
        self._done.append(job)

    def _change(self, jobs: list[_Job[Any]]) -> None:
        while jobs := [job for job in jobs if not job.future.cancelled()]:
            patient: list[_Job[Any]] = []
            try:
                self._attempt(partial(_commit, jobs), jobs[0].deadline)
            except BaseException as error:  # noqa: BLE001 - told to those who wait
                code = primary_code(error)
                if code in _OF_ONE and len(jobs) > 1:
                    for job in jobs:
                        self._change([job])
                    return
                for job in jobs:
                    job.error = error
                if code == sqlite3.SQLITE_BUSY:
                    patient = [job for job in jobs[1:] if time_left(job.deadline) >= _MILLISECOND]
            else:
                if any(_is_harmful(job.error) for job in jobs):
                    self._disconnect()
            self._done += [job for job in jobs if job not in patient]
            jobs = patient

    def _attempt(self, work: Callable[[sqlite3.Connection], None], deadline: float) -> None:
        try:
            connection = self._connected(deadline)
            try:
                work(connection)
            except sqlite3.OperationalError as error:
                wait = int(time_left(deadline) * 1000)
                if primary_code(error) != sqlite3.SQLITE_BUSY or not wait:
                    raise
                self._answer_early()
                connection.execute(f"PRAGMA busy_timeout = {wait}")
                try:
                    work(connection)
                finally:
                    # Whoever asks on the event loop's thread must never wait there.
                    connection.execute("PRAGMA busy_timeout = 0")
        except BaseException as error:
            if _is_harmful(error):
                self._disconnect()
            raise

    def _connected(self, deadline: float) -> sqlite3.Connection:
        # SQLite goes on writing to a file that was deleted or replaced, and all of that is lost: look before each job.
        there = self._file.look()
        if self._identity is not None and there is None:
            self._disconnect()
            raise StoreUnavailable("database", "the file is gone")
        if there != self._identity:
            self._disconnect()
        if self._connection is None:
            self._answer_early()
            self._connection = self._file.open(deadline)
            self._identity = self._file.look()
        return self._connection

    def _answer_early(self) -> None:
        """What is done must not wait for what has to wait."""
        _hand_over(self._done)
        self._done = []

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _commit(jobs: Sequence[_Job[Any]], connection: sqlite3.Connection) -> None:
    """All in one transaction, as each commit waits for the disk; one that fails undoes itself only."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                job.attempt(connection)
            except BaseException as error:
                if not connection.in_transaction:
                    raise  # SQLite itself undid everything
                connection.execute("ROLLBACK TO job")
                job.error = error
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _hand_over(jobs: Sequence[_Job[Any]]) -> None:
    """Wake each event loop once."""
    of_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        of_loop.setdefault(job.loop, []).append(job)
    for loop, own in of_loop.items():
        try:
            loop.call_soon_threadsafe(_answer, own)
        except RuntimeError:
            continue  # that loop was closed, and nobody waits there


def _answer(jobs: Sequence[_Job[Any]]) -> None:
    for job in jobs:
        job.answer()


def _is_harmful(error: BaseException | None) -> bool:
    return isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and primary_code(error) not in _HARMLESS)


def _told(error: BaseException) -> BaseException:
    """What the caller hears: a copy for each, so that no two tracebacks grow on one exception."""
    match error:
        case sqlite3.Error():
            told = StoreUnavailable("database", str(error))
        case OSError():
            told = StoreUnavailable("database", error.strerror or type(error).__name__)
        case StoreUnavailable():
            told = StoreUnavailable(error.store, error.detail)
        case _:
            return error
    told.__cause__ = error
    return told
