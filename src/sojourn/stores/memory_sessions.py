"""Sessions and counts in dictionaries, gone with the process; each method is one step to every other task."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter

import msgspec

from sojourn.errors import Conflict
from sojourn.models import User
from sojourn.policy.rate_limit import SECOND, Deny, Rate, decide
from sojourn.ports import Clock, SessionChange, SessionRecord, UserStore, system_clock

__all__ = ["MemoryCounterStore", "MemorySessionStore"]

_MOST_KEYS = 100_000


class MemorySessionStore:
    """Sessions by id, and the ids of each user; `users` where their rows are kept beside them."""

    def __init__(self, clock: Clock = system_clock, users: UserStore | None = None) -> None:
        self._clock = clock
        self._users = users
        self._records: dict[str, SessionRecord] = {}
        self._of_user: dict[str, set[str]] = {}

    async def insert(self, record: SessionRecord) -> None:
        if self._users is not None and await self._users.get(record.user_id) is None:
            raise Conflict("user")
        if record.sid in self._records:
            raise Conflict("session")
        self._records[record.sid] = record
        self._of_user.setdefault(record.user_id, set()).add(record.sid)

    async def get(self, sid: str) -> SessionRecord | None:
        return self._records.get(sid)

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        record = self._records.get(sid)
        if record is None:
            return None
        return record, await self._users.get(record.user_id) if self._users is not None else None

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        record = self._records.get(sid)
        if record is None or record.version != expected_version:
            raise Conflict("session")
        changes = msgspec.structs.asdict(change)
        self._records[sid] = msgspec.structs.replace(record, **changes, version=record.version + 1)

    async def delete(self, sid: str) -> bool:
        record = self._records.pop(sid, None)
        if record is None:
            return False
        of_user = self._of_user[record.user_id]
        of_user.discard(sid)
        if not of_user:
            del self._of_user[record.user_id]
        return True

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        now = self._clock()
        own = [self._records[sid] for sid in self._of_user.get(user_id, ())]
        living = [record for record in own if record.forget_after >= now]
        return sorted(living, key=attrgetter("auth_time", "sid"), reverse=True)

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        gone = [sid for sid in self._of_user.get(user_id, ()) if sid != but]
        for sid in gone:
            await self.delete(sid)
        return gone

    async def purge(self, *, limit: int = 1000) -> int:
        now = self._clock()
        due = [sid for sid, record in self._records.items() if record.forget_after < now][:limit]
        for sid in due:
            await self.delete(sid)
        return len(due)


class MemoryCounterStore:
    """When each key will have recovered, in microseconds."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._recovered_at: dict[str, int] = {}

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        now = self._clock() * SECOND
        decision = decide(self._recovered_at.get(key, 0), now, Rate(count, period))
        if isinstance(decision, Deny):
            return decision.retry_after
        if len(self._recovered_at) > _MOST_KEYS:
            self._forget(now)
        self._recovered_at[key] = decision.recovered_at
        return None

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        if key in self._recovered_at:
            self._recovered_at[key] -= Rate(count, period).step

    async def clear(self, key: str) -> None:
        self._recovered_at.pop(key, None)

    def _forget(self, now: int) -> None:
        self._recovered_at = {key: at for key, at in self._recovered_at.items() if at > now}
        if len(self._recovered_at) > _MOST_KEYS // 2:
            # Only a flood of made-up accounts fills this with live keys. Those that failed least make room, so that a
            # flood does not wash away the count of the one account that is being guessed at.
            by_count = sorted(self._recovered_at.items(), key=itemgetter(1))
            self._recovered_at = dict(by_count[-(_MOST_KEYS // 2) :])
