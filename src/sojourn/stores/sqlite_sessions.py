"""Sessions and counts in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import bindparam, case, delete, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from sojourn.errors import Conflict
from sojourn.models import User
from sojourn.ports import Clock, SessionChange, SessionRecord
from sojourn.stores import statements
from sojourn.stores.schema import limits, sessions, sqlite_text
from sojourn.stores.statements import BATCH, read_session, read_session_with_user, storable

if TYPE_CHECKING:
    from sojourn.stores.sql import SQLiteDatabase

__all__ = ["SQLiteCounterStore", "SQLiteSessionStore"]

_GET: Final = sqlite_text(statements.GET_SESSION)
_GET_WITH_USER: Final = sqlite_text(statements.GET_SESSION_WITH_USER)
_INSERT: Final = sqlite_text(statements.INSERT_SESSION)
_REPLACE: Final = sqlite_text(statements.REPLACE_SESSION)
_DELETE: Final = sqlite_text(statements.DELETE_SESSION)
_DELETE_ALL: Final = sqlite_text(statements.DELETE_SESSIONS.returning(sessions.c.sid))
_LIST: Final = sqlite_text(statements.LIST_SESSIONS)
_PURGE: Final = sqlite_text(
    delete(sessions).where(
        sessions.c.sid.in_(
            select(sessions.c.sid)
            .where(sessions.c.forget_after < bindparam("now"))
            .limit(bindparam("most"))
            .offset(literal_column("0"))
        )
    )
)

_taking = insert_or_update(limits).values(key=bindparam("key"), recovered_at=bindparam("first"))
# As policy/rate_limit.py has it.
_from = case(
    (limits.c.recovered_at > bindparam("latest"), bindparam("now")),
    else_=func.max(limits.c.recovered_at, bindparam("now")),
)
_after = _from + bindparam("step")
_TAKE: Final = sqlite_text(
    _taking.on_conflict_do_update(
        index_elements=[limits.c.key], set_={"recovered_at": _after}, where=_after <= bindparam("latest")
    )
)
_RECOVERED_AT: Final = sqlite_text(select(limits.c.recovered_at).where(limits.c.key == bindparam("key")))
_GIVE_BACK: Final = sqlite_text(
    limits.update()
    .where(limits.c.key == bindparam("which"))
    .values(recovered_at=limits.c.recovered_at - bindparam("step"))
)
_CLEAR: Final = sqlite_text(delete(limits).where(limits.c.key == bindparam("which")))
_FORGET: Final = sqlite_text(
    delete(limits).where(
        limits.c.key.in_(
            select(limits.c.key)
            .where(limits.c.recovered_at < bindparam("now"))
            .limit(BATCH)
            .offset(literal_column("0"))
        )
    )
)
_SECOND: Final = 1_000_000


class SQLiteSessionStore:
    """Sessions in a table, beside the users' that they belong to."""

    def __init__(self, database: SQLiteDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def insert(self, record: SessionRecord) -> None:
        values = msgspec.structs.asdict(record)
        await self._database.write(lambda connection: connection.execute(_INSERT, values))

    async def get(self, sid: str) -> SessionRecord | None:
        row = await self._database.reader.find(_GET, "session_id", sid)
        return None if row is None else read_session(row)

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        row = await self._database.reader.find(_GET_WITH_USER, "session_id", sid)
        return None if row is None else read_session_with_user(row)

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        values = {
            "session_id": sid,
            "expected_version": expected_version,
            "new_claims": change.claims,
            "new_issued_at": change.issued_at,
            "new_expires_at": change.expires_at,
            "new_forget_after": change.forget_after,
        }
        changed = await self._database.write(lambda connection: connection.execute(_REPLACE, values).rowcount)
        if not changed:
            raise Conflict("session")

    async def delete(self, sid: str) -> bool:
        if not storable(sid):
            return False
        values = {"session_id": sid}
        return bool(await self._database.write(lambda connection: connection.execute(_DELETE, values).rowcount))

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        rows = await self._database.read(_LIST, {"owner": user_id, "now": self._clock()})
        return [read_session(row) for row in rows]

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        if not storable(user_id):
            return []
        values = {"owner": user_id, "but": but or ""}
        rows = await self._database.write(lambda connection: connection.execute(_DELETE_ALL, values).fetchall())
        return [sid for (sid,) in rows]

    async def purge(self, *, limit: int = 1000) -> int:
        values = {"now": self._clock(), "most": limit}
        return await self._database.write(lambda connection: connection.execute(_PURGE, values).rowcount)


class SQLiteCounterStore:
    """One number for each key; each attempt also forgets a few keys that have recovered."""

    def __init__(self, database: SQLiteDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        now = self._clock() * _SECOND
        step, latest = period * _SECOND // count, now + period * _SECOND
        values = {"key": key, "now": now, "step": step, "first": now + step, "latest": latest}

        def job(connection: sqlite3.Connection) -> int | None:
            connection.execute(_FORGET, {"now": now})
            if connection.execute(_TAKE, values).rowcount:
                return None
            (recovered_at,) = connection.execute(_RECOVERED_AT, {"key": key}).fetchone()
            return int(-(-(recovered_at + step - latest) // _SECOND))

        return await self._database.write(job)

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        values = {"which": key, "step": period * _SECOND // count}
        await self._database.write(lambda connection: connection.execute(_GIVE_BACK, values))

    async def clear(self, key: str) -> None:
        await self._database.write(lambda connection: connection.execute(_CLEAR, {"which": key}))
