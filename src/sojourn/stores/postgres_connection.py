"""asyncpg: how it connects, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from sojourn.errors import ConfigError, Conflict, StoreUnavailable
from sojourn.stores.postgres_hosts import hosts_of
from sojourn.stores.postgres_terms import AnswerLost, Driver, Ending, conflict_of, never, unreadable

__all__ = ["ASYNCPG", "ending", "hosts_of", "never_works", "told"]


async def _connect(url: str, seconds: float, command_timeout: float, settings: Mapping[str, str]) -> Any:
    return await asyncpg.connect(url, timeout=seconds, command_timeout=command_timeout, server_settings=dict(settings))


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
        case asyncpg.InternalClientError():  # the server's last words came where the driver awaited none
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


ASYNCPG: Final = Driver(connect=_connect, ending=ending, told=told, never_works=never_works)
