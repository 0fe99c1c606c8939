"""Where users, accounts, spent keys and revocations are kept: chosen by the database URL, opened once per process."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from sojourn.errors import ConfigError
from sojourn.ports import Clock, OnceStore, RevocationLog, UserStore, system_clock

__all__ = ["Stores", "is_lasting", "kind_of", "open_database"]

_MEMORY: Final = frozenset({"memory:", "memory://", "sqlite:", "sqlite://", "sqlite:///:memory:"})
_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})
_WRITE: Final = 'Write "sqlite:///sojourn.db", "postgresql://user:password@host/name" or "memory:".'


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
    """The stores of `sqlite:///path.db` (four slashes for an absolute path), `postgresql://user:password@host/name` or
    `memory:`; nothing is connected yet.

    An in-memory SQLite URL means the memory store, since neither outlives the process. Raises `ConfigError` for
    anything else, without repeating what may hold a password.
    """
    if url in _MEMORY:
        return _open_memory(clock)
    if url.startswith(_SQLITE):
        return _open_sqlite(url.removeprefix(_SQLITE), clock)
    scheme, colon, rest = url.partition(":")
    if colon and scheme in _POSTGRES:
        return _open_postgres(rest, clock)
    if colon and scheme.partition("+")[0] in _POSTGRES:
        raise ConfigError("database", "a PostgreSQL URL for another driver than asyncpg", _WRITE)
    seen = f"a URL of the unknown kind {scheme!r}" if colon else "a text that is not a database URL"
    raise ConfigError("database", seen, _WRITE)


def is_lasting(url: str) -> bool:
    """Whether what is kept there outlives the process."""
    return url not in _MEMORY


def kind_of(url: str) -> str:
    """What may be said of a database URL to anybody: `sqlite`, `postgresql`, `memory`."""
    scheme = url.partition(":")[0]
    return "postgresql" if scheme in _POSTGRES else scheme


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


def _open_postgres(address: str, clock: Clock) -> Stores:
    if not address.startswith("//") or not address.strip("/"):
        raise ConfigError(
            "database", "a PostgreSQL URL without a host", 'Write "postgresql://user:password@host/name".'
        )
    try:
        from sojourn.stores.postgres import PostgresDatabase
    except ModuleNotFoundError as error:
        if error.name not in {"asyncpg", "sqlalchemy"}:
            raise
        raise ConfigError("database", f"{error.name} is not installed", "Install sojourn[postgres].") from error
    database = PostgresDatabase(f"postgresql:{address}", clock=clock)
    return Stores(users=database.users, once=database.once, revocations=database.revocations, connection=database)
