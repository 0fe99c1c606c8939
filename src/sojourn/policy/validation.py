"""The fixed sequence of checks that a session passes, whatever carried it."""

from __future__ import annotations

from typing import Any

from sojourn.models import Lifetimes, Session
from sojourn.policy.revocation import EndedSessions

__all__ = ["check"]


def check(session: Session[Any], *, now: int, lifetimes: Lifetimes, ended: EndedSessions) -> str | None:
    """The step that refuses this session, or None: "issued_in_future", "absolute_age", "expired", "ended".

    A token past `exp` but within grace passes: whether it is refreshed is for `refresh.decide`, and who cannot refresh
    (a bare verifier) judges `exp` itself. Expiry comes before ending, because what ended is forgotten once it expired.
    """
    if session.issued_at > now + lifetimes.leeway:
        return "issued_in_future"
    if now >= session.auth_time + lifetimes.absolute_age:
        return "absolute_age"
    if now >= session.expires_at + lifetimes.grace_period + lifetimes.leeway:
        return "expired"
    if ended.is_ended(session.sid, session.user_id, session.auth_time):
        return "ended"
    return None
