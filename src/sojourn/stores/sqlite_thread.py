"""One SQLite connection in a thread of its own: jobs in; results or `StoreUnavailable` out, no driver's exception."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.stores.schema import SCHEMA_VERSION, SQLITE_CREATE, metadata

__all__ = ["SQLiteThread", "transaction"]

ResultT = TypeVar("ResultT")

# After these a connection is as good as before; after any other error it is closed, and the next job opens another.
_HARMLESS: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}
)
_SWITCH_PAUSE: Final = 0.01
_FIND_VERSION: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sojourn_schema'"


class SQLiteThread:
    """Runs jobs one after the other on one connection, opened by the first job.

    `busy_timeout` is in seconds and bounds the whole wait of a job, in the queue and for another process's lock; a job
    that spent it in the queue still gets one try. A caller who is cancelled leaves the job whole: it either never
    starts or runs to its end.
    """

    def __init__(self, path: Path, *, name: str, busy_timeout: float) -> None:
        self._path = path
        self._name = name
        self._busy_timeout = busy_timeout
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    async def run(self, job: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """The job's result; raises `StoreUnavailable` whatever the driver or the file system says."""
        if self._closed:
            raise StoreUnavailable("database", "it was closed")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        deadline = time.monotonic() + self._busy_timeout
        return await asyncio.wrap_future(self._executor.submit(self._work, job, deadline))

    def reopen(self) -> None:
        """Take jobs again after `aclose`."""
        self._closed = False

    async def aclose(self) -> None:
        """Finish the jobs that were accepted, close the connection, end the thread."""
        self._closed = True
        executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.submit(self._disconnect)
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(executor.shutdown)
        self._identity = None

    def _work(self, job: Callable[[sqlite3.Connection], ResultT], deadline: float) -> ResultT:
        try:
            connection = self._connected(deadline)
            connection.execute(f"PRAGMA busy_timeout = {int(_left(deadline) * 1000)}")
            return job(connection)
        except sqlite3.Error as error:
            if _code(error) not in _HARMLESS:
                self._disconnect()
            raise StoreUnavailable("database", str(error)) from error
        except OSError as error:
            self._disconnect()
            raise StoreUnavailable("database", error.strerror or type(error).__name__) from error

    def _connected(self, deadline: float) -> sqlite3.Connection:
        # SQLite goes on writing to a file that was deleted or replaced, and all of that is lost: look before each job.
        identity = _identity(self._path)
        if self._identity is not None and identity is None:
            self._disconnect()
            raise StoreUnavailable("database", "the file is gone")
        if identity != self._identity:
            self._disconnect()
        if self._connection is None:
            self._connection = _open(self._path, deadline)
            self._identity = _identity(self._path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock first, so that nothing read inside can have changed by the commit."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _open(path: Path, deadline: float) -> sqlite3.Connection:
    # The file holds password hashes: a new one is nobody else's to read. SQLite gives -wal and -shm the same mode.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, timeout=_left(deadline), isolation_level=None)
    try:
        _switch_to_wal(connection, deadline)
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: in WAL mode NORMAL may lose the last commits with the power, and an ending must never come undone.
        connection.execute("PRAGMA synchronous = FULL")
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection, deadline: float) -> None:
    # The busy time-out does not cover this switch when two processes make a new file at once.
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or not _left(deadline):
                raise
        else:
            return
        time.sleep(_SWITCH_PAUSE)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables unless they are there; whoever else starts at the same moment finds them made."""
    if connection.execute(_FIND_VERSION).fetchone() is None:
        with transaction(connection):
            if connection.execute(_FIND_VERSION).fetchone() is None:
                _make_tables(connection)
    (version,) = connection.execute("SELECT max(version) FROM sojourn_schema").fetchone()
    if version != SCHEMA_VERSION:
        raise ConfigError(
            "database",
            f"the file has schema version {version}, this version of Sojourn knows {SCHEMA_VERSION}",
            "Run the version of Sojourn that wrote it, or a newer one.",
        )


def _make_tables(connection: sqlite3.Connection) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    foreign = sorted(there & set(metadata.tables))
    if foreign:
        seen = f"the file has tables that Sojourn did not make: {', '.join(foreign)}"
        raise ConfigError("database", seen, "Give Sojourn a file of its own.")
    for statement in SQLITE_CREATE:
        connection.execute(statement)
    connection.execute("INSERT INTO sojourn_schema (version) VALUES (?)", (SCHEMA_VERSION,))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; -1 for what the driver made up itself."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
