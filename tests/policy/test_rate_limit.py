from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.policy.rate_limit import Allow, Deny, Rate, decide


def attempts(rate: Rate, times: list[float]) -> list[bool]:
    recovered_at = 0.0
    allowed = []
    for now in times:
        decision = decide(recovered_at, now, rate)
        allowed.append(isinstance(decision, Allow))
        if isinstance(decision, Allow):
            recovered_at = decision.recovered_at
    return allowed


def test_a_burst_of_the_whole_count_is_allowed_and_the_next_is_not() -> None:
    assert attempts(Rate(3, 60), [100.0] * 4) == [True, True, True, False]


def test_a_denial_says_how_long_to_wait_and_waiting_that_long_helps() -> None:
    rate = Rate(3, 60)
    recovered_at = 0.0
    for _ in range(3):
        decision = decide(recovered_at, 100.0, rate)
        assert isinstance(decision, Allow)
        recovered_at = decision.recovered_at
    denied = decide(recovered_at, 100.0, rate)
    assert denied == Deny(20)
    assert isinstance(decide(recovered_at, 119.0, rate), Deny)
    assert isinstance(decide(recovered_at, 120.0, rate), Allow)


@given(
    count=st.integers(1, 50),
    period=st.integers(1, 3600),
    gaps=st.lists(st.integers(0, 600), min_size=1, max_size=200),
)
def test_no_window_of_one_period_holds_more_than_twice_the_count(count: int, period: int, gaps: list[int]) -> None:
    times = [1000.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    allowed = [at for at, good in zip(times, attempts(Rate(count, period), times), strict=True) if good]
    for start in allowed:
        assert sum(start <= at < start + period for at in allowed) <= 2 * count


@pytest.mark.parametrize("count", [1, 3, 7, 10, 1000])
def test_rounding_never_takes_the_last_allowed_attempt_away(count: int) -> None:
    assert all(attempts(Rate(count, 300), [1_700_000_000.0] * count))
