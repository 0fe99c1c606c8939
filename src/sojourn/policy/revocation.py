"""What ended and may still be held: the live set in memory, looked up at every check."""

from __future__ import annotations

from sojourn.ports import Revocation

__all__ = ["EndedSessions"]

_GROUP = 64  # seconds


class EndedSessions:
    """Ended session ids and per-user cut-offs; two dictionary lookups answer, and nothing waits.

    Entries are grouped by when they may be forgotten, so that forgetting touches only what goes.
    """

    def __init__(self) -> None:
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
                self._sessions[subject] = max(until, self._sessions.get(subject, until))
            case "user":
                at, known_until = self._users.get(subject, (revocation.at, until))
                self._users[subject] = (max(revocation.at, at), max(until, known_until))
            case _:
                raise ValueError(f"a revocation of kind {revocation.kind!r}")
        self._groups.setdefault(until // _GROUP, []).append(revocation)

    def is_ended(self, sid: str, user_id: str, issued_at: int) -> bool:
        """Whether this session ended: by its id, or by being issued no later than its user's cut-off."""
        if sid in self._sessions:
            return True
        cut_off = self._users.get(user_id)
        return cut_off is not None and issued_at <= cut_off[0]

    def forget(self, now: int) -> None:
        """Drop what no living token can need: whole groups whose last entry is due."""
        for number in [number for number in self._groups if (number + 1) * _GROUP <= now]:
            for revocation in self._groups.pop(number):
                subject = revocation.subject
                # A later entry for the same subject keeps it.
                if revocation.kind == "session":
                    if self._sessions.get(subject, now) < now:
                        del self._sessions[subject]
                elif self._users.get(subject, (0, now))[1] < now:
                    del self._users[subject]
