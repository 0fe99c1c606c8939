"""Sessions and counts in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from sojourn.errors import Conflict
from sojourn.models import User
from sojourn.ports import Clock, SessionChange, SessionRecord
from sojourn.stores import postgres_statements as ask
from sojourn.stores.postgres_terms import Pool
from sojourn.stores.statements import read_session, read_session_with_user, storable

__all__ = ["PostgresCounterStore", "PostgresSessionStore"]

_SECOND: Final = 1_000_000


class PostgresSessionStore:
    """Sessions in a table, beside the users' that they belong to."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def insert(self, record: SessionRecord) -> None:
        await self._pool.fetch(ask.INSERT_SESSION, msgspec.structs.asdict(record))

    async def get(self, sid: str) -> SessionRecord | None:
        if not storable(sid):
            return None
        rows = await self._pool.fetch(ask.GET_SESSION, {"session_id": sid})
        return read_session(rows[0]) if rows else None

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        if not storable(sid):
            return None
        rows = await self._pool.fetch(ask.GET_SESSION_WITH_USER, {"session_id": sid})
        return read_session_with_user(rows[0]) if rows else None

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        values = {f"new_{name}": value for name, value in msgspec.structs.asdict(change).items()}
        values |= {"session_id": sid, "expected_version": expected_version}
        if not await self._pool.fetch(ask.REPLACE_SESSION, values):
            raise Conflict("session")

    async def delete(self, sid: str) -> bool:
        return bool(storable(sid) and await self._pool.fetch(ask.DELETE_SESSION, {"session_id": sid}))

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
