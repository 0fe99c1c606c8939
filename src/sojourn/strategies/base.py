"""What the flows ask of a strategy, wherever it keeps its sessions."""

from __future__ import annotations

from typing import ClassVar, Final, Generic, Protocol

import msgspec

from sojourn.errors import TokenError
from sojourn.models import ClaimsT, Session, Value

__all__ = ["RECORD_MARGIN", "Arrival", "Issued", "SessionName", "Strategy", "printable", "refusal"]

_LONGEST_NAME: Final = 400


class Issued(Value, Generic[ClaimsT], frozen=True):
    """A token that was just made or extended, and its session."""

    hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    token: str
    session: Session[ClaimsT]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-in came by: the provider's id, the network address, the browser's name for itself."""

    provider: str | None = None
    client: str | None = None
    user_agent: str | None = None


def refusal(session: Session[ClaimsT], step: str, now: int) -> TokenError:
    """That this step refuses the session; when it expired, how long ago."""
    return TokenError(step, f"{now - session.expires_at} s ago" if step == "expired" else "")


def printable(text: str | None) -> str | None:
    """What a list may show of a text from outside: 400 characters at most, without what does not print."""
    if text is None:
        return None
    return "".join(character for character in text[:_LONGEST_NAME] if character.isprintable()) or None


RECORD_MARGIN: Final = 60
"""Seconds that a record is kept beyond its session's last use, so that no two clocks can disagree about it."""


class SessionName(msgspec.Struct, frozen=True):
    """Which session a token belongs to, and whose that is."""

    sid: str
    user_id: str


class Strategy(Protocol[ClaimsT]):
    """Turns sessions into tokens and back. Whatever waits may raise `StoreUnavailable`."""

    async def find(self, token: str) -> Session[ClaimsT]:
        """The session of a token, also when it expired within its grace; raises `TokenError` with the step."""
        ...

    async def owned(self, token: str) -> SessionName | None:
        """The session that this token belongs to, whether it is good now or not; None if the token proves nothing.

        Whoever signs out ends that one: a session that is refused for a reason that passes would come back.
        """
        ...

    async def start(self, claims: ClaimsT, arrival: Arrival) -> Issued[ClaimsT]:
        """A new session with these claims.

        Raises `ClaimsTooLarge`; `TokenError("ended")` if all of the user's sessions ended in this second; and
        `Conflict("user")` if the user is gone.
        """
        ...

    def successor(self, token: str) -> Issued[ClaimsT] | None:
        """What `token` was extended into a moment ago, where that is another token."""
        ...

    async def extend(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """The same session with a later end, and other claims if given, unless it ended meanwhile.

        Raises `TokenError`, `ClaimsTooLarge`, and `Conflict("session")` if somebody else changed or ended it first.
        """
        ...
