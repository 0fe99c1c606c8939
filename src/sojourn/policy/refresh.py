"""Keep, refresh or reject: what a session's age calls for. Lifetimes and times in seconds."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sojourn.models import Lifetimes, Session

__all__ = ["KEEP", "Decision", "Keep", "Refresh", "Reject", "decide", "keep_until"]


class Keep(msgspec.Struct, frozen=True):
    """The session is good as it is."""


class Refresh(msgspec.Struct, frozen=True):
    """The session is to be extended up to `expires_at`."""

    expires_at: int


class Reject(msgspec.Struct, frozen=True):
    """The session is over; `step` is "absolute_age" or "expired"."""

    step: str


KEEP: Final = Keep()
Decision = Keep | Refresh | Reject


def keep_until(session: Session[Any], lifetimes: Lifetimes) -> int:
    """The second before which `decide` is sure to keep this session: valid, and not due."""
    return min(session.issued_at + lifetimes.update_age, session.expires_at, session.auth_time + lifetimes.absolute_age)


def decide(session: Session[Any], lifetimes: Lifetimes, now: int) -> Decision:
    """What to do with a session that opened.

    Rejected from `auth_time` + absolute age on, whatever else holds, and once its token's grace (and leeway) is over.
    Refreshed when its token expired within grace, and when the token is `update_age` old; never past the absolute age.
    """
    ends_at = session.auth_time + lifetimes.absolute_age
    if now >= ends_at:
        return Reject("absolute_age")
    if now >= session.expires_at + lifetimes.grace_period + lifetimes.leeway:
        return Reject("expired")
    due = now >= session.issued_at + lifetimes.update_age
    in_grace = now >= session.expires_at and lifetimes.grace_period > 0
    if due or in_grace:
        return Refresh(min(now + lifetimes.max_age, ends_at))
    return KEEP
