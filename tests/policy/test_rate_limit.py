from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.policy.rate_limit import SECOND, Allow, Deny, Rate, decide
from sojourn.stores.memory_sessions import MemoryCounterStore
from sojourn.testing import DrivenClock

START = 1_700_000_000 * SECOND
RATES = st.builds(Rate, st.integers(1, 50), st.integers(1, 3600))
GAPS = st.lists(st.integers(0, 600 * SECOND) | st.integers(0, 3 * SECOND) | st.just(0), min_size=1, max_size=200)


def attempts(rate: Rate, times: Sequence[int]) -> list[bool]:
    recovered_at = 0
    allowed = []
    for now in times:
        decision = decide(recovered_at, now, rate)
        allowed.append(isinstance(decision, Allow))
        if isinstance(decision, Allow):
            recovered_at = decision.recovered_at
    return allowed


def allowed_moments(rate: Rate, gaps: Sequence[int]) -> list[int]:
    times = [START]
    for gap in gaps:
        times.append(times[-1] + gap)
    return [at for at, good in zip(times, attempts(rate, times), strict=True) if good]


def test_a_burst_of_the_whole_count_is_allowed_and_the_next_is_not() -> None:
    assert attempts(Rate(3, 60), [START] * 4) == [True, True, True, False]


def test_a_denial_says_how_long_to_wait_and_waiting_that_long_helps() -> None:
    rate = Rate(3, 60)
    recovered_at = 0
    for _ in range(3):
        decision = decide(recovered_at, START, rate)
        assert isinstance(decision, Allow)
        recovered_at = decision.recovered_at
    assert decide(recovered_at, START, rate) == Deny(20)
    assert decide(recovered_at, START + 20 * SECOND - 1, rate) == Deny(1)
    assert decide(recovered_at, START + 20 * SECOND, rate) == Allow(recovered_at + rate.step)


@given(rate=RATES, gaps=GAPS)
def test_no_stretch_of_time_holds_more_than_its_share_and_one_burst(rate: Rate, gaps: list[int]) -> None:
    """The exact bound of GCRA: `n` allowed attempts cost `n` steps; time pays for one part, the burst for the rest."""
    allowed = allowed_moments(rate, gaps)
    for first, start in enumerate(allowed):
        for last, end in enumerate(allowed[first:], first):
            assert (last - first + 1) * rate.step <= end - start + rate.period * SECOND


@given(count=st.integers(1, 50), step=st.integers(1, 60), gaps=GAPS)
def test_no_window_of_one_period_holds_twice_the_count(count: int, step: int, gaps: list[int]) -> None:
    rate = Rate(count, count * step)
    window = rate.period * SECOND
    allowed = allowed_moments(rate, gaps)
    for start in allowed:
        assert sum(start <= at < start + window for at in allowed) <= 2 * count - 1


def test_one_less_than_twice_the_count_is_reached() -> None:
    """So the bound above cannot be told tighter."""
    assert attempts(Rate(3, 60), [START] * 3 + [START + 20 * SECOND, START + 40 * SECOND]) == [True] * 5


@pytest.mark.parametrize("count", [1, 3, 7, 10, 1000])
def test_rounding_never_takes_the_last_allowed_attempt_away(count: int) -> None:
    assert attempts(Rate(count, 300), [START] * (count + 1)) == [True] * count + [False]


@given(rate=RATES, before=st.integers(0, 2 * START), now=st.integers(START, 2 * START))
def test_wherever_the_clock_went_nobody_waits_longer_than_one_step(rate: Rate, before: int, now: int) -> None:
    decision = decide(before, now, rate)
    if isinstance(decision, Deny):
        assert 1 <= decision.retry_after <= -(-rate.step // SECOND)
        assert isinstance(decide(before, now + decision.retry_after * SECOND, rate), Allow)
    else:
        assert now + rate.step <= decision.recovered_at <= now + rate.period * SECOND


def test_a_clock_set_back_starts_afresh() -> None:
    rate = Rate(3, 60)
    assert decide(START + 3600 * SECOND, START, rate) == Allow(START + rate.step)
    assert decide(START + 60 * SECOND, START, rate) == Deny(20)


@given(
    rate=RATES,
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 2)),
            st.tuples(st.just("give_back"), st.integers(0, 2)),
            st.tuples(st.just("clear"), st.integers(0, 2)),
            st.tuples(st.just("wait"), st.integers(-120, 600)),
        ),
        max_size=100,
    ),
)
async def test_the_store_in_memory_keeps_these_numbers(rate: Rate, steps: list[tuple[str, int]]) -> None:
    clock = DrivenClock()
    store = MemoryCounterStore(clock)
    numbers: dict[str, int] = {}
    for step, number in steps:
        key = str(number)
        match step:
            case "take":
                decision = decide(numbers.get(key, 0), clock() * SECOND, rate)
                told = await store.take(key, count=rate.count, period=rate.period)
                assert told == (decision.retry_after if isinstance(decision, Deny) else None)
                if isinstance(decision, Allow):
                    numbers[key] = decision.recovered_at
            case "give_back":
                await store.give_back(key, count=rate.count, period=rate.period)
                if key in numbers:
                    numbers[key] -= rate.step
            case "clear":
                await store.clear(key)
                numbers.pop(key, None)
            case _:
                clock.advance(number)
