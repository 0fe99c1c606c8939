"""One connection of asyncpg's: which server it goes to, its statements, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import asyncpg

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_schema import prepare
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import CONNECT_SECONDS, AnswerLost, conflict_of, never, unreadable

__all__ = ["Ending", "PostgresConnection", "dial", "ending", "hosts_of", "never_works", "told"]


class PostgresConnection:
    """One of the driver's, the statements that it has prepared, and until when it may lie idle."""

    __slots__ = ("driver", "generation", "good_until", "prepared")

    def __init__(self, driver: Any, generation: int) -> None:
        self.driver: Any = driver
        self.generation: int = generation
        self.good_until: float = 0.0
        self.prepared: dict[Statement, Any] = {}

    async def prepare(self, statement: Statement) -> Any:
        """The statement made ready, for as long as the connection lives."""
        ready = self.prepared[statement] = await self.driver.prepare(statement.text, timeout=CONNECT_SECONDS)
        return ready


def hosts_of(url: str) -> list[str]:
    """A URL for each host that this one names, `postgresql://user:password@one:5432,two:5432/name`."""
    parts = re.fullmatch(r"([^:]+://(?:[^/?#]*@)?)([^@/?#]*)(.*)", url, re.DOTALL)
    if parts is None or "," not in parts[2]:
        return [url]
    # Only one of several takes writes, and it is not always the same.
    attributes = "" if "target_session_attrs=" in parts[3] else "target_session_attrs=read-write"
    rest = parts[3] if not attributes else f"{parts[3]}{'&' if '?' in parts[3] else '?'}{attributes}"
    return [f"{parts[1]}{host}{rest}" for host in parts[2].split(",")]


async def dial(hosts: list[str], *, command_timeout: float, settings: Mapping[str, str]) -> Any:
    """The driver's connection to the first host that serves, its tables made; that host then stands first.

    Raises what the driver raises for the last of them. The driver itself would wait for a host that says nothing until
    no time is left for the next.
    """
    failed: Exception | None = None
    for host in list(hosts):
        connection: Any = None
        try:
            connection = await asyncpg.connect(
                host,
                timeout=CONNECT_SECONDS / len(hosts),
                command_timeout=command_timeout,
                server_settings=dict(settings),
            )
            await prepare(connection)
        except Exception as error:  # noqa: BLE001  the driver also raises bare ValueError, TypeError and OSError
            if connection is not None:
                connection.terminate()
            failed = error
            continue
        hosts.remove(host)
        hosts.insert(0, host)
        return connection
    assert failed is not None
    raise failed


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


def ending(error: BaseException) -> Ending:
    """What this means for the connection and for another attempt."""
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(error.__cause__, asyncpg.PostgresError):
        error = error.__cause__  # the server's last words
    match error:
        case asyncpg.InterfaceError():
            return Ending.ANSWERED if isinstance(error, ValueError) else Ending.REFUSED
        case asyncpg.IntegrityConstraintViolationError() | asyncpg.DataError():
            return Ending.ANSWERED
        case asyncpg.SerializationError() | asyncpg.DeadlockDetectedError():
            return Ending.BEATEN
        case (
            asyncpg.ReadOnlySQLTransactionError()
            | asyncpg.AdminShutdownError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.IdleSessionTimeoutError()
            | asyncpg.exceptions.InvalidCachedStatementError()
        ):
            return Ending.REFUSED
        case TimeoutError():
            return Ending.ABANDONED
        case asyncpg.PostgresConnectionError() | asyncpg.CrashShutdownError() | OSError():
            return Ending.LOST
        case _:
            return Ending.ABANDONED


def told(error: Exception) -> Conflict | StoreUnavailable:
    """In words that quote no values: the driver's own may hold a whole row, or the URL."""
    match error:
        case StoreUnavailable():
            return error
        case asyncpg.IntegrityConstraintViolationError() if conflict := conflict_of(error.constraint_name):
            return conflict
        case ConfigError():
            detail = error.seen
        case asyncpg.PostgresError():
            detail = str(error.args[0]) if error.args else type(error).__name__
        case TimeoutError():
            detail = "it did not answer in time"
        case asyncpg.TargetServerAttributeNotMatched():
            detail = "no server of those named takes writes"
        case OSError():
            detail = error.strerror or type(error).__name__
        case _:
            detail = type(error).__name__
    kind = AnswerLost if ending(error) is Ending.LOST else StoreUnavailable
    return kind("database", detail)


def never_works(error: Exception) -> ConfigError | None:
    """What no waiting will mend."""
    match error:
        case ConfigError():
            return error
        case asyncpg.PostgresError(sqlstate=str(sqlstate)):
            return never(sqlstate)
        case asyncpg.TargetServerAttributeNotMatched():
            return None
        case ValueError() | TypeError() | OverflowError():
            return unreadable()
        case _:
            return None
