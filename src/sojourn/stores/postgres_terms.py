"""What holds for every driver of PostgreSQL: how long to wait, and what the server's refusals mean to the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_statements import Statement

__all__ = [
    "CONNECT_SECONDS",
    "MAKE_TABLES_SECONDS",
    "PATIENT_SETTINGS",
    "SETTINGS",
    "STATEMENT_SECONDS",
    "AnswerLost",
    "Driver",
    "Ending",
    "Pool",
    "conflict_of",
    "never",
    "unreadable",
]

CONNECT_SECONDS: Final = 1.0
"""To wait for a connection, in the queue or for the server."""

STATEMENT_SECONDS: Final = 2.0
"""For a statement."""

MAKE_TABLES_SECONDS: Final = 15.0
"""At the start, where another process may be making the tables."""

SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "sojourn",
    # What nobody waits for any more shall not happen much later.
    "statement_timeout": str(int(STATEMENT_SECONDS * 1000)),
    # Stricter levels answer two writers with an error where this one lets the second wait.
    "default_transaction_isolation": "read committed",
}

PATIENT_SETTINGS: Final[Mapping[str, str]] = {**SETTINGS, "statement_timeout": str(int(MAKE_TABLES_SECONDS * 1000))}
"""The same at the start."""

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

# What no waiting will mend, by SQLSTATE or the class that it begins with: what was seen, and the fix.
_NEVER: Final[Mapping[str, tuple[str, str]]] = {
    "28": ("the server refuses this user or password", "Check both in the URL, and the server's pg_hba.conf."),
    "3D000": ("the server has no database of that name", "Create it (CREATE DATABASE), or name another."),
    "3F000": ("the search path names no schema that exists", "Create it (CREATE SCHEMA), or name another."),
    "42501": (
        "this user may not make Sojourn's tables or read them",
        "Run `sojourn db upgrade` as the schema's owner, and grant this user the rest.",
    ),
}


class Ending(Enum):
    """How a statement that failed ended."""

    ANSWERED = auto()
    """It was answered, or never sent; the connection is as good as before."""
    BEATEN = auto()
    """Another transaction was in the way, and all of this one was undone; the connection is as good as before."""
    REFUSED = auto()
    """It was not carried out, and would not be on this connection: there may be a better one."""
    LOST = auto()
    """The connection broke, and it may have been carried out."""
    ABANDONED = auto()
    """Nobody waits any longer, or it is not known what to make of it; the connection may hold somebody's answer."""


class AnswerLost(StoreUnavailable):
    """The connection broke before the answer: what was asked may have been done, or not."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A library that speaks to PostgreSQL; its connections answer to the names that asyncpg's have."""

    connect: Callable[[str, float, float, Mapping[str, str]], Awaitable[Any]]
    """A connection to this URL: seconds to wait for it, seconds for each statement, and the server's settings."""
    ending: Callable[[BaseException], Ending]
    """What an error means for the connection and for another attempt."""
    told: Callable[[Exception], Conflict | StoreUnavailable]
    """An error in words that quote no values; `AnswerLost` where the connection broke."""
    never_works: Callable[[Exception], ConfigError | None]
    """What no waiting will mend."""
    listen: Callable[[Any, str], Awaitable[Callable[[float], Awaitable[None]]]]
    """Have a connection hear a channel; returns what then waits for word from there, so many seconds at most."""


class Pool(Protocol):
    """A bounded pool of connections: rows, `Conflict` or `StoreUnavailable` out, no driver's exception."""

    async def connect(self) -> None: ...

    async def fetch(self, statement: Statement, parameters: Mapping[str, object]) -> Sequence[Any]:
        """All rows; `AnswerLost` where the statement may have been carried out and is not `repeatable`."""
        ...

    async def fetch_one(self, statement: Statement, *values: object) -> Any | None:
        """The first row, if any, of a statement on the path of a request; the values in the order of its names."""
        ...

    @property
    def driver(self) -> Driver: ...

    async def dial(self) -> Any:
        """The driver's connection, for the caller alone and theirs to end; raises `StoreUnavailable`."""
        ...

    async def aclose(self) -> None: ...


def conflict_of(constraint: str | None) -> Conflict | None:
    """What is there already, or is gone, when this constraint was broken."""
    what = _CONFLICTS.get(constraint or "")
    return None if what is None else Conflict(what)


def never(sqlstate: str) -> ConfigError | None:
    """Why waiting will not mend this refusal, if it will not."""
    told = _NEVER.get(sqlstate) or _NEVER.get(sqlstate[:2])
    return None if told is None else ConfigError("database", *told)


def unreadable() -> ConfigError:
    """Of a URL that may hold a password, nothing is repeated."""
    return ConfigError(
        "database", "a PostgreSQL URL that cannot be read", 'Write "postgresql://USER:PASSWORD@HOST:PORT/NAME".'
    )
