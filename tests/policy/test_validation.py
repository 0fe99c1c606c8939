"""The checks come in one order, and each refuses by its own name."""

from __future__ import annotations

import pytest

from sojourn.models import Claims, Lifetimes, Session
from sojourn.policy.revocation import EndedSessions
from sojourn.policy.validation import check
from sojourn.ports import Revocation

LIFETIMES = Lifetimes(max_age=1000, update_age=100, grace_period=50, absolute_age=5000)


@pytest.mark.parametrize(
    ("now", "issued_at", "auth_time", "gone", "step"),
    [
        (500, 0, 0, False, None),
        (1064, 0, 0, False, None),
        (1065, 0, 0, False, "expired"),
        (500, 0, 0, True, "ended"),
        (1065, 0, 0, True, "expired"),
        (500, 515, 0, False, None),
        (500, 516, 0, False, "issued_in_future"),
        (500, 0, -4499, False, None),
        (500, 0, -4500, False, "absolute_age"),
        (500, 516, -4500, True, "issued_in_future"),
        (1065, 0, -4500, True, "absolute_age"),
    ],
)
def test_check(now: int, issued_at: int, auth_time: int, gone: bool, step: str | None) -> None:
    ended = EndedSessions()
    if gone:
        ended.end(Revocation(kind="session", subject="s", at=0, forget_after=9999))
    session = Session(claims=Claims(), sid="s", user_id="u", issued_at=issued_at, expires_at=1000, auth_time=auth_time)
    assert check(session, now=now, lifetimes=LIFETIMES, ended=ended) == step
