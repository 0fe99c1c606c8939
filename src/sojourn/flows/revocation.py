"""Ending sessions: first durably, then for whoever asks this process, so that no answer promises too much.

A session in a token ends in the log; one that a store keeps ends with its record, and no log need repeat it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from sojourn.events import Event, SessionEnded
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, Revocation, RevocationLog, SessionStore

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
    """Ends sessions for good and tells whoever listens; `sessions` is where they are records, if they are."""

    def __init__(
        self,
        *,
        log: RevocationLog,
        sessions: SessionStore | None,
        ended: EndedSessions,
        lifetimes: Lifetimes,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._log = log
        self._sessions = sessions
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
        now = self._clock()
        if self._sessions is not None:
            if not await self._sessions.delete(session.sid):
                return  # it had ended before
        else:
            revocation = Revocation(kind="session", subject=session.sid, at=now, forget_after=now + self._longest)
            await self._log.append(revocation)
            self._ended.end(revocation)
            self._ended.forget(now)
        await self._emit(SessionEnded(at=now, sid=session.sid, user_id=session.user_id, reason=reason))
