"""What ended and may still be held: the live set in memory, looked up at every check."""

from __future__ import annotations

import math

from sojourn.ports import Revocation

__all__ = ["EndedSessions"]

_GROUP = 64  # seconds
_AT_ONCE = 10_000  # entries: nobody waits for more than a few milliseconds


class EndedSessions:
    """Ended session ids and per-user cut-offs; two dictionary lookups answer, and nothing waits.

    Entries are grouped by when they may be forgotten, so that forgetting touches only what goes. `trusted_until`, in
    epoch seconds, is when this may miss what others ended, unless whoever follows them moves it on.
    """

    def __init__(self) -> None:
        self.trusted_until: float = math.inf
        self._sessions: dict[str, int] = {}  # sid → forget_after
        self._users: dict[str, tuple[int, int]] = {}  # user id → cut-off, forget_after
        self._groups: dict[int, list[Revocation]] = {}

    def __len__(self) -> int:
        return len(self._sessions) + len(self._users)

    def end(self, revocation: Revocation) -> None:
        """Take in one ending; told twice, or in another order, it ends the same sessions."""
        subject, until = revocation.subject, revocation.forget_after
        match revocation.kind:
            case "session":
                if until <= self._sessions.get(subject, -1):
                    return
                self._sessions[subject] = until
            case "user":
                at, known_until = self._users.get(subject, (-1, -1))
                if revocation.at <= at and until <= known_until:
                    return
                self._users[subject] = (max(revocation.at, at), max(until, known_until))
            case _:
                raise ValueError(f"a revocation of kind {revocation.kind!r}")
        self._groups.setdefault(until // _GROUP, []).append(revocation)

    def is_ended(self, sid: str, user_id: str, began_at: int) -> bool:
        """Whether this session ended: by its id, or by having begun no later than its user's cut-off."""
        if sid in self._sessions:
            return True
        cut_off = self._users.get(user_id)
        return cut_off is not None and began_at <= cut_off[0]

    def forget(self, now: int) -> None:
        """Drop what no living token can need, of groups whose last entry is due; some of it if that is very much."""
        left = _AT_ONCE
        for number in [number for number in self._groups if (number + 1) * _GROUP <= now]:
            group = self._groups[number]
            going, group[-left:] = group[-left:], []
            left -= len(going)
            if not group:
                del self._groups[number]
            for revocation in going:
                subject = revocation.subject
                # A later entry for the same subject keeps it.
                if revocation.kind == "session":
                    if self._sessions.get(subject, now) < now:
                        del self._sessions[subject]
                elif self._users.get(subject, (0, now))[1] < now:
                    del self._users[subject]
            if not left:
                return
