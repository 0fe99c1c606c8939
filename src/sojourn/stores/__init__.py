"""Where users, accounts, spent keys and revocations are kept: chosen by the database URL, opened once per process."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from sojourn.errors import ConfigError
from sojourn.ports import Clock, OnceStore, RevocationLog, UserStore, system_clock

__all__ = ["Stores", "open_database"]

_MEMORY: Final = frozenset({"memory:", "memory://", "sqlite:", "sqlite://", "sqlite:///:memory:"})
_SQLITE: Final = "sqlite:///"


class _Connection(Protocol):
    async def connect(self) -> None: ...

    async def aclose(self) -> None: ...


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one database keeps for Sojourn, behind the ports."""

    users: UserStore
    once: OnceStore
    revocations: RevocationLog
    connection: _Connection | None = None

    async def start(self) -> None:
        """Connect and make the tables.

        Raises `ConfigError` if the database can never work as set, and `StoreUnavailable` if it cannot answer now;
        every later call then tries again.
        """
        if self.connection is not None:
            await self.connection.connect()

    async def aclose(self) -> None:
        """Finish what was asked, close the connections and end their threads; closing twice is fine."""
        if self.connection is not None:
            await self.connection.aclose()


def open_database(url: str, *, clock: Clock = system_clock) -> Stores:
    """The stores of `sqlite:///path.db` (four slashes for an absolute path) or `memory:`; nothing is connected yet.

    An in-memory SQLite URL means the memory store, since neither outlives the process. Raises `ConfigError` for
    anything else, without repeating what may hold a password.
    """
    if url in _MEMORY:
        return _open_memory(clock)
    if url.startswith(_SQLITE):
        return _open_sqlite(url.removeprefix(_SQLITE), clock)
    scheme, colon, _ = url.partition(":")
    if colon and scheme.partition("+")[0] in {"postgresql", "postgres"}:
        raise ConfigError(
            "database",
            "a PostgreSQL URL",
            "This version keeps its records in SQLite or in memory; PostgreSQL comes with a later release. "
            'Write "sqlite:///sojourn.db" or "memory:".',
        )
    seen = f"a URL of the unknown kind {scheme!r}" if colon else "a text that is not a database URL"
    raise ConfigError("database", seen, 'Write "sqlite:///sojourn.db" or "memory:".')


def _open_memory(clock: Clock) -> Stores:
    from sojourn.stores.memory import MemoryOnceStore, MemoryRevocationLog, MemoryUserStore

    return Stores(users=MemoryUserStore(), once=MemoryOnceStore(clock), revocations=MemoryRevocationLog(clock))


def _open_sqlite(path: str, clock: Clock) -> Stores:
    if not path or "?" in path:
        seen = "a SQLite URL with parameters" if path else "a SQLite URL without a path"
        raise ConfigError("database", seen, 'Write a plain path, like "sqlite:///sojourn.db".')
    try:
        # SQLAlchemy costs 300 ms to import: only those who use SQL pay.
        from sojourn.stores.sql import SQLiteDatabase
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        raise ConfigError("database", "SQLAlchemy is not installed", "Install sojourn[sql].") from error
    database = SQLiteDatabase(path, clock=clock)
    return Stores(users=database.users, once=database.once, revocations=database.revocations, connection=database)
