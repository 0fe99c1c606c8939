"""Sessions and counts in PostgreSQL."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sojourn.errors import Conflict
from sojourn.models import User
from sojourn.ports import Clock, SessionChange, SessionRecord
from sojourn.stores import postgres_statements as ask
from sojourn.stores.postgres_terms import AnswerLost, Pool
from sojourn.stores.statements import read_session, read_session_with_user, storable

__all__ = ["PostgresCounterStore", "PostgresSessionStore"]

_SECOND: Final = 1_000_000


class PostgresSessionStore:
    """Sessions in a table, beside the users' that they belong to."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def insert(self, record: SessionRecord) -> None:
        values = msgspec.structs.astuple(record)
        try:
            await self._pool.fetch_one(ask.INSERT_SESSION, *values)
        except AnswerLost:
            await self._insert_again(record, values)

    async def get(self, sid: str) -> SessionRecord | None:
        if not storable(sid):
            return None
        row = await self._pool.fetch_one(ask.GET_SESSION, sid)
        return None if row is None else read_session(row)

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        if not storable(sid):
            return None
        row = await self._pool.fetch_one(ask.GET_SESSION_WITH_USER, sid)
        return None if row is None else read_session_with_user(row)

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        values = (*msgspec.structs.astuple(change), sid, expected_version)
        try:
            replaced = await self._pool.fetch_one(ask.REPLACE_SESSION, *values) is not None
        except AnswerLost:
            # Done already, or undone: a second time changes nothing, or what the first should have.
            replaced = await self._pool.fetch_one(ask.REPLACE_SESSION, *values) is not None or await self._has(
                sid, change, expected_version + 1
            )
        if not replaced:
            raise Conflict("session")

    async def delete(self, sid: str) -> bool:
        if not storable(sid):
            return False
        try:
            if await self._pool.fetch_one(ask.DELETE_SESSION, sid) is not None:
                return True
            await self._confirm()
            return False
        except AnswerLost:
            # What is not there any more was most likely there for the first.
            await self._pool.fetch_one(ask.DELETE_SESSION, sid)
            return True

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        if not storable(user_id):
            return []
        rows = await self._pool.fetch(ask.LIST_SESSIONS, {"owner": user_id, "now": self._clock()})
        return [read_session(row) for row in rows]

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        if not storable(user_id):
            return []
        return [row[0] for row in await self._pool.fetch(ask.DELETE_SESSIONS, {"owner": user_id, "but": but or ""})]

    async def purge(self, *, limit: int = 1000) -> int:
        return len(await self._pool.fetch(ask.PURGE_SESSIONS, {"now": self._clock(), "most": limit}))

    async def _confirm(self) -> None:
        """Wait until the standby has what was deleted before: a statement that changes nothing waits for nobody."""
        standby = await self._pool.fetch_one(ask.STANDBY)
        if standby is not None and standby[0]:
            await self._pool.fetch_one(ask.CONFIRM)

    async def _insert_again(self, record: SessionRecord, values: tuple[Any, ...]) -> None:
        """Once more; that it is there already is then what was wanted, if it is this one."""
        try:
            await self._pool.fetch_one(ask.INSERT_SESSION, *values)
        except Conflict as conflict:
            found = await self.get(record.sid) if conflict.what == "session" else None
            if found is None or not hmac.compare_digest(found.secret_hash, record.secret_hash):
                raise

    async def _has(self, sid: str, change: SessionChange, version: int) -> bool:
        """Whether the record says just this, and nobody has changed it since."""
        found = await self.get(sid)
        wanted = (version, *msgspec.structs.astuple(change))
        return (
            found is not None
            and (found.version, found.claims, found.issued_at, found.expires_at, found.forget_after) == wanted
        )


class PostgresCounterStore:
    """One number for each key; each attempt also forgets a few keys that have recovered."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        now = self._clock() * _SECOND
        step, latest = period * _SECOND // count, now + period * _SECOND
        values = {"key": key, "now": now, "step": step, "first": now + step, "latest": latest}
        ((counted, recovered_at),) = await self._pool.fetch(ask.TAKE, values)
        return None if counted else int(-(-(recovered_at + step - latest) // _SECOND))

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        await self._pool.fetch(ask.GIVE_BACK, {"which": key, "step": period * _SECOND // count})

    async def clear(self, key: str) -> None:
        await self._pool.fetch(ask.CLEAR, {"which": key})
