"""Keep, refresh or reject, second by second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.models import Claims, Lifetimes, Session
from sojourn.policy.refresh import KEEP, Decision, Keep, Refresh, Reject, decide, keep_until

LIFETIMES = Lifetimes(max_age=1000, update_age=100, grace_period=50, absolute_age=5000)


def session(issued_at: int = 0, expires_at: int = 1000, auth_time: int = 0) -> Session[Claims]:
    return Session(
        claims=Claims(), sid="s", user_id="u", issued_at=issued_at, expires_at=expires_at, auth_time=auth_time
    )


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        (0, Keep()),
        (99, Keep()),
        (100, Refresh(1100)),
        (999, Refresh(1999)),
        (1000, Refresh(2000)),
        (1049, Refresh(2049)),
        (1064, Refresh(2064)),
        (1065, Reject("expired")),
        (4999, Reject("expired")),
        (5000, Reject("absolute_age")),
    ],
)
def test_the_life_of_a_token(now: int, decision: Decision) -> None:
    assert decide(session(), LIFETIMES, now) == decision


def test_no_refresh_passes_the_absolute_age() -> None:
    young = session(issued_at=4800, expires_at=5000)
    assert decide(young, LIFETIMES, 4899) == Keep()
    assert decide(young, LIFETIMES, 4900) == Refresh(5000)
    assert decide(young, LIFETIMES, 5000) == Reject("absolute_age")


def test_grace_refreshes_even_what_is_not_due() -> None:
    rare = Lifetimes(max_age=1000, update_age=2000, grace_period=50, absolute_age=5000)
    assert decide(session(), rare, 999) == Keep()
    assert decide(session(), rare, 1000) == Refresh(2000)


def test_without_grace_only_the_leeway_is_left() -> None:
    strict = Lifetimes(max_age=1000, update_age=2000, grace_period=0, absolute_age=5000)
    assert decide(session(), strict, 1014) == Keep()
    assert decide(session(), strict, 1015) == Reject("expired")


def test_update_age_zero_extends_at_every_read() -> None:
    always = Lifetimes(max_age=1000, update_age=0, grace_period=0, absolute_age=5000)
    assert decide(session(), always, 0) == Refresh(1000)


ages = st.integers(1, 10**6)


@given(
    lifetimes=st.builds(
        Lifetimes, max_age=ages, update_age=st.integers(0, 10**6), grace_period=st.integers(0, 10**6), absolute_age=ages
    ),
    auth_time=st.integers(0, 10**6),
    age=st.integers(0, 10**6),
    life=ages,
    later=st.integers(0, 10**7),
)
def test_no_decision_passes_the_absolute_age(
    lifetimes: Lifetimes, auth_time: int, age: int, life: int, later: int
) -> None:
    now = auth_time + later
    found = session(issued_at=auth_time + age, expires_at=auth_time + age + life, auth_time=auth_time)
    match decide(found, lifetimes, now):
        case Refresh(expires_at=expires_at):
            assert now < expires_at <= auth_time + lifetimes.absolute_age
            assert expires_at <= now + lifetimes.max_age
        case Keep():
            assert now < auth_time + lifetimes.absolute_age
            assert now < found.expires_at + lifetimes.leeway
        case Reject(step=step):
            assert step in {"absolute_age", "expired"}


TIME = st.integers(0, 6000)


@given(issued_at=TIME, expires_at=TIME, auth_time=TIME, before=st.integers(1, 3000))
def test_until_then_it_is_kept(issued_at: int, expires_at: int, auth_time: int, before: int) -> None:
    found = session(issued_at, expires_at, auth_time)
    assert decide(found, LIFETIMES, keep_until(found, LIFETIMES) - before) is KEEP


def test_and_no_longer() -> None:
    assert keep_until(session(), LIFETIMES) == 100
    assert keep_until(session(expires_at=50), LIFETIMES) == 50
    assert keep_until(session(issued_at=4990, expires_at=5990), LIFETIMES) == 5000
