"""Where somebody is signed in: their sessions listed, and ended one by one or all together."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.errors import ConfigError
from sojourn.flows.revocation import Revoker
from sojourn.models import Device, Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, SessionRecord, SessionStore
from sojourn.strategies import SessionName

__all__ = ["Devices"]


class Devices:
    """The sessions that have a record in `records`: those that checks read there, or those in tokens that are listed.

    A session in a token that no record names (made by `auth.issue`, by another program, or before there was a list)
    ends with `end_all` only, or by its name. Whatever waits may raise `StoreUnavailable`.
    """

    def __init__(
        self,
        *,
        records: SessionStore | None,
        revoker: Revoker,
        ended: EndedSessions,
        lifetimes: Lifetimes,
        clock: Clock,
    ) -> None:
        self._records = records
        self._revoker = revoker
        self._ended = ended
        self._late = lifetimes.grace_period + lifetimes.leeway
        self._absolute_age = lifetimes.absolute_age
        self._clock = clock

    @property
    def are_listed(self) -> bool:
        """Whether anything keeps a list."""
        return self._records is not None

    async def list(self, user_id: str) -> Sequence[Device]:
        """This user's living sessions, newest sign-in first; raises `ConfigError` where nothing lists them."""
        return [
            Device(
                sid=record.sid,
                created_at=record.auth_time,
                last_seen_at=record.issued_at,
                expires_at=record.expires_at,
                provider=record.provider,
                client=record.client,
                user_agent=record.user_agent,
            )
            for record in await self._living(user_id)
        ]

    async def end(self, user_id: str, sid: str, reason: str = "revoked") -> bool:
        """End one of this user's sessions; False, and nothing ends, if it is not theirs or not there."""
        record = await self._store().get(sid)
        if record is None or record.user_id != user_id:
            return False
        await self._revoker.end(SessionName(sid, user_id), reason)
        return True

    async def end_named(self, sid: str, reason: str = "revoked") -> bool:
        """End a session whoever's it is; whether a record names it. One in a token ends even if none does."""
        record = await self._records.get(sid) if self._records is not None else None
        await self._revoker.end(SessionName(sid, record.user_id if record is not None else ""), reason)
        return record is not None

    async def end_others(self, user_id: str, *, but: str, reason: str = "revoked") -> Sequence[str]:
        """End this user's listed sessions `but` that one; the ids that ended."""
        listed = [record.sid for record in await self._living(user_id)]
        return await self._revoker.end_user(user_id, reason, but=but, listed=listed)

    async def end_all(self, user_id: str, reason: str = "revoked") -> Sequence[str]:
        """End every session of this user, listed or not; the ids that a list had."""
        listed = [record.sid for record in await self._living(user_id)] if self.are_listed else []
        return await self._revoker.end_user(user_id, reason, listed=listed)

    def _store(self) -> SessionStore:
        if self._records is None:
            fix = "Nothing lists sessions in tokens here: set a lasting database, or redis."
            raise ConfigError("database", "nothing that lasts", fix)
        return self._records

    async def _living(self, user_id: str) -> Sequence[SessionRecord]:
        now = self._clock()
        return [record for record in await self._store().list_for_user(user_id) if self._is_living(record, now)]

    def _is_living(self, record: SessionRecord, now: int) -> bool:
        ends_at = min(record.expires_at + self._late, record.auth_time + self._absolute_age)
        return now < ends_at and not self._ended.is_ended(record.sid, record.user_id, record.auth_time)
