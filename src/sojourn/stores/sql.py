"""Users, spent keys and revocations in SQLite: one connection that writes, one that reads.

In WAL mode a writer that waits for another process's lock does not stop readers; with one connection it would.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, insert, literal_column, select
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore

from sojourn.errors import ConfigError, Conflict
from sojourn.models import Account, User
from sojourn.ports import Clock, Revocation, system_clock
from sojourn.stores import statements
from sojourn.stores.schema import revocations, spent, sqlite_text
from sojourn.stores.sqlite_file import SQLiteFile
from sojourn.stores.sqlite_sessions import SQLiteCounterStore, SQLiteSessionStore
from sojourn.stores.sqlite_thread import SQLiteThread
from sojourn.stores.statements import (
    BATCH,
    CHANGEABLE,
    REVOCATION_FIELDS,
    read_account,
    read_revocation,
    read_user,
    storable,
)

__all__ = ["SQLiteDatabase"]

ResultT = TypeVar("ResultT")

_FROM_THE_FIRST: Final[ColumnElement[int]] = literal_column("0")

_GET: Final = sqlite_text(statements.GET)
_GET_BY_EMAIL: Final = sqlite_text(statements.GET_BY_EMAIL)
_GET_BY_USERNAME: Final = sqlite_text(statements.GET_BY_USERNAME)
_GET_BY_ACCOUNT: Final = sqlite_text(statements.GET_BY_ACCOUNT)
_LIST_ACCOUNTS: Final = sqlite_text(statements.LIST_ACCOUNTS)
_INSERT_USER: Final = sqlite_text(statements.INSERT_USER)
_INSERT_ACCOUNT: Final = sqlite_text(statements.INSERT_ACCOUNT)
_UPDATE: Final = sqlite_text(statements.UPDATE)
_RECORD_LOGIN: Final = sqlite_text(statements.RECORD_LOGIN)
_KEEP_TOKENS: Final = sqlite_text(statements.KEEP_TOKENS)
_SET_PASSWORD_HASH: Final = sqlite_text(statements.SET_PASSWORD_HASH)
_SPEND: Final = sqlite_text(insert_or_ignore(spent).on_conflict_do_nothing(index_elements=[spent.c.key]))
_FORGET_SPENT: Final = sqlite_text(
    delete(spent).where(
        spent.c.key.in_(
            select(spent.c.key).where(spent.c.forget_after < bindparam("now")).limit(BATCH).offset(_FROM_THE_FIRST)
        )
    )
)
_APPEND: Final = sqlite_text(insert(revocations).values({name: bindparam(name) for name in REVOCATION_FIELDS}))
_READ: Final = sqlite_text(
    select(revocations.c.position, *(revocations.c[name] for name in REVOCATION_FIELDS))
    .where(revocations.c.position > bindparam("after"))
    .order_by(revocations.c.position)
)
_LATEST: Final = sqlite_text(statements.LATEST)
_LOOK_EVERY: Final = 0.05  # seconds: nothing tells of another process's commit
_FORGET_REVOCATIONS: Final = sqlite_text(
    delete(revocations).where(
        revocations.c.position.in_(
            select(revocations.c.position)
            .where(revocations.c.forget_after < bindparam("now"))
            .limit(BATCH)
            .offset(_FROM_THE_FIRST)
        )
    )
)

# What SQLite says when a unique constraint fails, and what that means to the caller.
_CONFLICTS: Final[Mapping[str, str]] = {
    "users.id": "id",
    "users.email": "email",
    "users.username": "username",
    "accounts.provider, accounts.provider_account_id": "account",
    "sessions.sid": "session",
}


class SQLiteDatabase:
    """One file and its stores: `users`, `sessions`, `counters`, `once`, `revocations`.

    `busy_timeout`, in seconds, bounds every wait. A job connects by itself when needed, so that the database may come
    back without a restart.
    """

    def __init__(self, path: str, *, clock: Clock = system_clock, busy_timeout: float = 2.0) -> None:
        self._path = Path(path).absolute()
        file = SQLiteFile(self._path)
        self.writer: SQLiteThread = SQLiteThread(file, name="sojourn-sqlite-writer", busy_timeout=busy_timeout)
        self.reader: SQLiteThread = SQLiteThread(file, name="sojourn-sqlite-reader", busy_timeout=busy_timeout)
        self.users: SQLiteUserStore = SQLiteUserStore(self)
        self.sessions: SQLiteSessionStore = SQLiteSessionStore(self, clock)
        self.counters: SQLiteCounterStore = SQLiteCounterStore(self, clock)
        self.once: SQLiteOnceStore = SQLiteOnceStore(self, clock)
        self.revocations: SQLiteRevocationLog = SQLiteRevocationLog(self, clock)

    async def connect(self) -> None:
        """Open the file and make its tables.

        Raises `ConfigError` if it never can, `StoreUnavailable` if it cannot now.
        """
        folder = self._path.parent
        if not await anyio.Path(folder).is_dir():
            raise ConfigError("database", f"the folder {folder} does not exist", "Create it, or name a file elsewhere.")
        if await anyio.Path(self._path).is_dir():
            raise ConfigError("database", f"{self._path} is a folder", "Name a file.")
        for thread in (self.writer, self.reader):
            thread.reopen()
        for thread in (self.writer, self.reader):
            await thread.run(lambda connection: None)

    async def aclose(self) -> None:
        """Finish what was asked, close both connections, end both threads."""
        await self.reader.aclose()
        await self.writer.aclose()

    async def read(self, statement: str, parameters: Mapping[str, object]) -> list[Any]:
        """All rows of one statement; a text that no file can hold is nobody's name."""
        if not all(storable(value) for value in parameters.values() if isinstance(value, str)):
            return []
        return await self.reader.run(lambda connection: connection.execute(statement, parameters).fetchall())

    async def write(self, job: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """The job in one transaction; raises `Conflict` naming the unique thing that exists already."""

        def told(connection: sqlite3.Connection) -> ResultT:
            try:
                return job(connection)
            except sqlite3.IntegrityError as error:
                conflict = _conflict(error)
                if conflict is None:
                    raise
                raise conflict from None

        return await self.writer.change(told)


class SQLiteUserStore:
    """Users, accounts and password hashes in two tables."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._database = database

    async def get(self, user_id: str) -> User | None:
        row = await self._database.reader.find(_GET, "user_id", user_id)
        return None if row is None else read_user(row)

    async def get_by_email(self, email: str) -> User | None:
        return await self._one(_GET_BY_EMAIL, {"address": email})

    async def get_by_account(self, provider: str, provider_account_id: str) -> User | None:
        return await self._one(_GET_BY_ACCOUNT, {"provider": provider, "account_id": provider_account_id})

    async def get_by_username(self, username: str) -> tuple[User, str | None] | None:
        rows = await self._database.read(_GET_BY_USERNAME, {"name": username})
        return (read_user(rows[0][:-1]), rows[0][-1]) if rows else None

    async def create(self, user: User, account: Account | None = None, password_hash: str | None = None) -> User:
        """Insert the user and their first account, which becomes theirs whatever its `user_id` says."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT_USER, {**asdict(user), "password_hash": password_hash})
            if account is not None:
                connection.execute(_INSERT_ACCOUNT, asdict(replace(account, user_id=user.id)))

        await self._database.write(job)
        return user

    async def link(self, account: Account) -> None:
        """Insert an account; raises `Conflict("account")` if it is taken, `Conflict("user")` if the user is gone."""
        await self._database.write(lambda connection: connection.execute(_INSERT_ACCOUNT, asdict(account)))

    async def update(self, user: User) -> None:
        """Write name, email, verification, image and disabling; raises `Conflict("user")` or `Conflict("email")`."""
        changes = {f"new_{name}": getattr(user, name) for name in CHANGEABLE}
        await self._change_one(_UPDATE, {**changes, "user_id": user.id})

    async def record_login(self, user_id: str, at: int) -> None:
        """Note when the user last signed in; a user who is gone is no error."""
        parameters = {"user_id": user_id, "new_last_login_at": at}
        await self._database.write(lambda connection: connection.execute(_RECORD_LOGIN, parameters))

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the hash; raises `Conflict("user")` if the user is gone."""
        await self._change_one(_SET_PASSWORD_HASH, {"user_id": user_id, "new_password_hash": password_hash})

    async def keep_tokens(self, provider: str, provider_account_id: str, sealed_tokens: str) -> None:
        """Replace the account's sealed tokens; an account that is gone is no error."""
        parameters = {"provider": provider, "account_id": provider_account_id, "new_sealed_tokens": sealed_tokens}
        await self._database.write(lambda connection: connection.execute(_KEEP_TOKENS, parameters))

    async def list_accounts(self, user_id: str) -> Sequence[Account]:
        """The user's accounts, oldest first."""
        rows = await self._database.read(_LIST_ACCOUNTS, {"owner": user_id})
        return [read_account(row) for row in rows]

    async def _one(self, statement: str, parameters: Mapping[str, object]) -> User | None:
        rows = await self._database.read(statement, parameters)
        return read_user(rows[0]) if rows else None

    async def _change_one(self, statement: str, parameters: Mapping[str, object]) -> None:
        changed = await self._database.write(lambda connection: connection.execute(statement, parameters).rowcount)
        if not changed:
            raise Conflict("user")


class SQLiteOnceStore:
    """Spent keys in a table; each spending also forgets a few that are past their time."""

    def __init__(self, database: SQLiteDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def spend(self, key: str, forget_after: int) -> bool:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> bool:
            connection.execute(_FORGET_SPENT, {"now": now})
            return connection.execute(_SPEND, {"key": key, "forget_after": forget_after}).rowcount == 1

        return await self._database.write(job)


class SQLiteRevocationLog:
    """Revocations in a table whose positions only grow; each entry also forgets a few that are past their time."""

    def __init__(self, database: SQLiteDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def append(self, revocation: Revocation) -> None:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_FORGET_REVOCATIONS, {"now": now})
            connection.execute(_APPEND, msgspec.structs.asdict(revocation))

        await self._database.write(job)

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        rows = await self._database.read(_READ, {"after": after})
        position = rows[-1][0] if rows else after
        return position, [read_revocation(row[1:]) for row in rows]

    async def wait(self, after: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            ((latest,),) = await self._database.read(_LATEST, {})
            left = deadline - time.monotonic()
            if latest > after or left <= 0:
                return
            await asyncio.sleep(min(_LOOK_EVERY, left))


def _conflict(error: sqlite3.IntegrityError) -> Conflict | None:
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return Conflict("user")
    _, _, columns = str(error).partition("UNIQUE constraint failed: ")
    what = _CONFLICTS.get(columns)
    return None if what is None else Conflict(what)
