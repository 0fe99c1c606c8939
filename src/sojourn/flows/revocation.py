"""Ending sessions: first durably, then for whoever asks this process, so that no answer promises too much.

A session in a token ends in the log, and then leaves the list if there is one; one that a store keeps ends with its
record, and no log need repeat it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sojourn.errors import StoreUnavailable
from sojourn.events import Event, SessionEnded, SessionsEnded
from sojourn.flows.failures import store_failed
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, Revocation, RevocationLog, SessionStore
from sojourn.strategies import SessionName

__all__ = ["Revoker"]

# A token made elsewhere may live up to an hour longer than ours (TOK-17): an entry must outlive it too.
_MARGIN = 3600


class Named(Protocol):
    """A session, or what is known of one."""

    @property
    def sid(self) -> str: ...

    @property
    def user_id(self) -> str: ...


class Revoker:
    """Ends sessions for good and tells whoever listens.

    `sessions` is where they are records, if they are; `listed` is where those in tokens are listed, if they are.
    """

    def __init__(
        self,
        *,
        log: RevocationLog,
        sessions: SessionStore | None,
        listed: SessionStore | None = None,
        ended: EndedSessions,
        lifetimes: Lifetimes,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._log = log
        self._sessions = sessions
        self._listed = listed
        self._ended = ended
        self._clock = clock
        self._emit = emit
        self._longest = lifetimes.max_age + lifetimes.grace_period + lifetimes.leeway + _MARGIN
        self._position = 0
        self.caught_up: bool = sessions is not None

    async def catch_up(self) -> None:
        """Take over what the log holds since the last time; raises `StoreUnavailable`."""
        self._position, entries = await self._log.read(self._position)
        for entry in entries:
            self._ended.end(entry)
        self._ended.forget(self._clock())
        self.caught_up = True

    async def end(self, session: Named, reason: str) -> None:
        """End this session; every token of it, older or newer, is refused from here on.

        Raises `StoreUnavailable` when it could not be made durable.
        """
        if self._sessions is not None:
            if not await self._sessions.delete(session.sid):
                return  # it had ended before
        else:
            await self._append("session", session.sid)
            await self._unlist((session.sid,))
        await self._tell((session.sid,), session.user_id, reason)

    async def end_user(
        self, user_id: str, reason: str, *, but: str | None = None, listed: Sequence[str] = ()
    ) -> Sequence[str]:
        """End all of a user's sessions, or all `but` one; `listed` are those in tokens. The ids that are known.

        Raises `StoreUnavailable`; of several sessions in tokens some may have ended then, each of them for good.
        """
        if self._sessions is not None:
            gone = await self._sessions.delete_for_user(user_id, but=but)
            await self._tell(gone, user_id, reason)
        elif but is None:
            await self._append("user", user_id)
            # One by one: who signs in again at this moment keeps the record of that.
            await self._unlist(listed)
            await self._tell(gone := listed, user_id, reason)
        else:
            gone = [sid for sid in listed if sid != but]
            for sid in gone:
                await self.end(SessionName(sid, user_id), reason)
        if but is None:
            await self._emit(SessionsEnded(at=self._clock(), user_id=user_id, reason=reason))
        return gone

    async def _append(self, kind: str, subject: str) -> None:
        now = self._clock()
        revocation = Revocation(kind=kind, subject=subject, at=now, forget_after=now + self._longest)
        await self._log.append(revocation)
        self._ended.end(revocation)
        self._ended.forget(now)

    async def _unlist(self, sids: Sequence[str]) -> None:
        if self._listed is None:
            return
        try:
            for sid in sids:
                await self._listed.delete(sid)
        except StoreUnavailable as error:
            # They ended all the same, and a list leaves out what ended.
            await self._emit(store_failed(error, at=self._clock()))

    async def _tell(self, sids: Sequence[str], user_id: str, reason: str) -> None:
        for sid in sids:
            await self._emit(SessionEnded(at=self._clock(), sid=sid, user_id=user_id, reason=reason))
