"""Where users, sessions, counts, spent keys and revocations are kept: chosen by URLs, opened once per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import Lifetimes
from sojourn.ports import (
    Clock,
    CounterStore,
    OnceStore,
    RevocationLog,
    SessionStore,
    TokenTable,
    UserStore,
    system_clock,
)

if TYPE_CHECKING:
    from sojourn.stores.postgres_terms import Driver

__all__ = ["Stores", "is_lasting", "kind_of", "open_database", "open_stores"]

_MEMORY: Final = frozenset({"memory:", "memory://", "sqlite:", "sqlite://", "sqlite:///:memory:"})
_SQLITE: Final = "sqlite:///"
_ASYNCPG: Final = frozenset({"postgresql", "postgres", "postgresql+asyncpg", "postgres+asyncpg"})
_PSYCOPG: Final = frozenset({"postgresql+psycopg", "postgres+psycopg"})
_WRITE: Final = 'Write "sqlite:///sojourn.db", "postgresql://user:password@host/name" or "memory:".'


class _Connection(Protocol):
    async def connect(self) -> None: ...

    async def aclose(self) -> None: ...


class _Database(_Connection, Protocol):
    @property
    def users(self) -> UserStore: ...

    @property
    def sessions(self) -> SessionStore: ...

    @property
    def counters(self) -> CounterStore: ...

    @property
    def once(self) -> OnceStore: ...

    @property
    def revocations(self) -> RevocationLog: ...


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept for Sojourn, behind the ports; `tokens` where another program's sessions are shared."""

    users: UserStore
    sessions: SessionStore
    tokens: TokenTable | None = None
    counters: CounterStore
    once: OnceStore
    revocations: RevocationLog
    connections: tuple[_Connection, ...] = ()

    async def start(self) -> None:
        """Connect and make the tables.

        Raises `ConfigError` if a server can never work as set, and `StoreUnavailable` if one cannot answer now; every
        later call then tries again.
        """
        down: StoreUnavailable | None = None
        for connection in self.connections:
            try:
                await connection.connect()
            except StoreUnavailable as error:
                down = error
        if down is not None:
            raise down

    async def aclose(self) -> None:
        """Finish what was asked, close the connections and end their threads; closing twice is fine."""
        for connection in self.connections:
            await connection.aclose()


def open_stores(
    database: str | None,
    redis: str | None = None,
    *,
    sessions_in_redis: bool = False,
    shared_with: Lifetimes | None = None,
    clock: Clock = system_clock,
) -> Stores:
    """The stores of a database and, beside it, of a Redis server; nothing is connected yet.

    `shared_with` are the lifetimes of sessions where users and sessions are in the tables of an Auth.js adapter. Redis
    takes what comes and goes quickly: counts, spent keys, and the sessions if asked to. Endings stay in the database
    where there is one that lasts, because a fail-over of Redis may lose its last writes.
    """
    if shared_with is not None:
        stores = _open_shared(database or "", shared_with, clock)
    else:
        stores = open_database("memory:" if database is None else database, clock=clock)
    if redis is None:
        return stores
    try:
        from sojourn.stores.redis import RedisServer
    except ModuleNotFoundError as error:
        if error.name != "hiredis":
            raise
        raise ConfigError("redis", "hiredis is not installed", "Install sojourn[redis].") from error
    server = RedisServer(redis, clock=clock)
    lasting = database is not None and is_lasting(database)
    return Stores(
        users=stores.users,
        sessions=server.sessions if sessions_in_redis else stores.sessions,
        tokens=None if sessions_in_redis else stores.tokens,
        counters=server.counters,
        once=server.once,
        revocations=stores.revocations if lasting else server.revocations,
        connections=(*stores.connections, server),
    )


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
    if colon and scheme in _ASYNCPG:
        return _open_postgres(rest, clock)
    if colon and scheme in _PSYCOPG:
        return _open_psycopg(rest, clock)
    if colon and scheme.partition("+")[0] in _ASYNCPG:
        raise ConfigError("database", "a PostgreSQL URL for another driver than asyncpg and psycopg", _WRITE)
    seen = "a text that is not a database URL"
    if colon and rest.startswith("//"):  # else it may be the user's name that stands before the colon
        seen = f"a URL of the unknown kind {scheme!r}"
    raise ConfigError("database", seen, _WRITE)


def is_lasting(url: str) -> bool:
    """Whether what is kept there outlives the process."""
    return url not in _MEMORY


def kind_of(url: str) -> str:
    """What may be said of a database URL to anybody: `sqlite`, `postgresql`, `memory`."""
    scheme = url.partition(":")[0]
    return "postgresql" if scheme in _ASYNCPG | _PSYCOPG else scheme


def _of(database: _Database, tokens: TokenTable | None = None) -> Stores:
    return Stores(
        users=database.users,
        sessions=database.sessions,
        tokens=tokens,
        counters=database.counters,
        once=database.once,
        revocations=database.revocations,
        connections=(database,),
    )


def _open_memory(clock: Clock) -> Stores:
    from sojourn.stores.memory import MemoryOnceStore, MemoryRevocationLog, MemoryUserStore
    from sojourn.stores.memory_sessions import MemoryCounterStore, MemorySessionStore

    users = MemoryUserStore()
    return Stores(
        users=users,
        sessions=MemorySessionStore(clock, users),
        counters=MemoryCounterStore(clock),
        once=MemoryOnceStore(clock),
        revocations=MemoryRevocationLog(clock),
    )


def _open_sqlite(path: str, clock: Clock) -> Stores:
    if not path or "?" in path or "\0" in path:
        seen = "a SQLite URL with parameters" if path else "a SQLite URL without a path"
        raise ConfigError("database", seen, 'Write a plain path, like "sqlite:///sojourn.db".')
    try:
        # SQLAlchemy costs 300 ms to import: only those who use SQL pay.
        from sojourn.stores.sql import SQLiteDatabase
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        raise ConfigError("database", "SQLAlchemy is not installed", "Install sojourn[sql].") from error
    return _of(SQLiteDatabase(path, clock=clock))


def _open_postgres(address: str, clock: Clock) -> Stores:
    url = _postgres_url(address)
    try:
        from sojourn.stores.postgres import PostgresDatabase

        database = PostgresDatabase(url, clock=clock)
    except ModuleNotFoundError as error:
        if error.name not in {"asyncpg", "sqlalchemy"}:
            raise
        raise ConfigError("database", f"{error.name} is not installed", "Install sojourn[postgres].") from error
    return _of(database)


def _open_psycopg(address: str, clock: Clock) -> Stores:
    url = _postgres_url(address)
    try:
        from sojourn.stores.postgres import PostgresDatabase
        from sojourn.stores.postgres_pool import PostgresPool
        from sojourn.stores.psycopg_driver import PSYCOPG
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg", "sqlalchemy"}:
            raise
        raise ConfigError("database", f"{error.name} is not installed", "Install sojourn[psycopg].") from error
    return _of(PostgresDatabase(url, clock=clock, pool=PostgresPool(url, size=10, driver=PSYCOPG)))


def _postgres_url(address: str) -> str:
    """As libpq writes it, whichever driver reads it."""
    if not address.startswith("//") or not address.strip("/"):
        raise ConfigError(
            "database", "a PostgreSQL URL without a host", 'Write "postgresql://user:password@host/name".'
        )
    return f"postgresql:{address}"


def _open_shared(url: str, lifetimes: Lifetimes, clock: Clock) -> Stores:
    scheme, _, address = url.partition(":")
    if scheme not in _ASYNCPG | _PSYCOPG:
        fix = 'They are in PostgreSQL: write "postgresql://user:password@host/name", or leave compat_tables out.'
        raise ConfigError("compat_tables", f"true with a database of the kind {kind_of(url) or 'nothing'!r}", fix)
    postgres = _postgres_url(address)
    kept = lifetimes.grace_period + lifetimes.leeway
    try:
        from sojourn.stores.authjs import AuthJSDatabase

        driver: Driver | None = None
        if scheme in _PSYCOPG:
            from sojourn.stores.psycopg_driver import PSYCOPG

            driver = PSYCOPG
        database = AuthJSDatabase(postgres, max_age=lifetimes.max_age, kept=kept, clock=clock, driver=driver)
    except ModuleNotFoundError as error:
        if error.name not in {"asyncpg", "psycopg", "sqlalchemy"}:
            raise
        extra = "psycopg" if scheme in _PSYCOPG else "postgres"
        raise ConfigError("database", f"{error.name} is not installed", f"Install sojourn[{extra}].") from error
    return _of(database, database.sessions)
