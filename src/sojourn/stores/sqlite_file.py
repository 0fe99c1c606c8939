"""The file behind the SQLite stores: opened as WAL, with its tables made, and known again when it was replaced."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sojourn.errors import ConfigError
from sojourn.stores.schema import SCHEMA_VERSION, SQLITE_CREATE, check_version, metadata

__all__ = ["LOOK_EVERY", "SQLiteFile", "primary_code", "time_left"]

# Seconds in which a single row may still be read from a file that was replaced; nothing is ever written to one.
LOOK_EVERY: Final = 0.05

_SWITCH_PAUSE: Final = 0.01
_FIND_VERSION: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sojourn_schema'"


class SQLiteFile:
    """A path, and which file it named when somebody last looked; shared by all connections to it."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._text = str(path)
        self._seen: tuple[int, int] | None = None
        self._look_again_at = 0.0

    def look(self) -> tuple[int, int] | None:
        """Which file the path names now; None if there is none."""
        self._look_again_at = time.monotonic() + LOOK_EVERY
        try:
            status = os.stat(self._text)  # noqa: PTH116 - half the time of Path.stat
        except FileNotFoundError:
            self._seen = None
        else:
            self._seen = status.st_dev, status.st_ino
        return self._seen

    def glance(self) -> tuple[int, int] | None:
        """The same as anybody saw it in the last moment, for that costs a sixth of finding one row."""
        return self._seen if time.monotonic() < self._look_again_at else self.look()

    def open(self, deadline: float) -> sqlite3.Connection:
        """A connection that waits for no lock and that any thread may use, one at a time; its opening waits until
        `deadline`, in monotonic seconds."""
        # The file holds password hashes: a new one is nobody else's to read. SQLite gives -wal and -shm the same mode.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        wait = time_left(deadline)
        connection = sqlite3.connect(self.path, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            _switch_to_wal(connection, deadline)
            connection.execute("PRAGMA foreign_keys = ON")
            # FULL: in WAL mode NORMAL may lose the last commits with the power, and an ending must never come undone.
            connection.execute("PRAGMA synchronous = FULL")
            _prepare(connection)
            connection.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            connection.close()
            raise
        return connection


def time_left(deadline: float) -> float:
    """Seconds until then, in monotonic time; never negative."""
    return max(0.0, deadline - time.monotonic())


def primary_code(error: BaseException | None) -> int:
    """SQLite's primary result code; -1 for what the driver made up itself or for another kind of error."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code if code < 0 else code & 0xFF


def _switch_to_wal(connection: sqlite3.Connection, deadline: float) -> None:
    # The busy time-out does not cover this switch when two processes make a new file at once.
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or not time_left(deadline):
                raise
        else:
            return
        time.sleep(_SWITCH_PAUSE)


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables unless they are there; whoever else starts at the same moment finds them made."""
    if connection.execute(_FIND_VERSION).fetchone() is None:
        with _transaction(connection):
            if connection.execute(_FIND_VERSION).fetchone() is None:
                _make_tables(connection)
    (version,) = connection.execute("SELECT max(version) FROM sojourn_schema").fetchone()
    check_version(version)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _make_tables(connection: sqlite3.Connection) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    foreign = sorted(there & set(metadata.tables))
    if foreign:
        seen = f"the file has tables that Sojourn did not make: {', '.join(foreign)}"
        raise ConfigError("database", seen, "Give Sojourn a file of its own.")
    for statement in SQLITE_CREATE:
        connection.execute(statement)
    connection.execute("INSERT INTO sojourn_schema (version) VALUES (?)", (SCHEMA_VERSION,))
