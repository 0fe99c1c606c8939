"""How failed sign-ins are counted: where, by which keys, and through outages of the store that counts."""

from __future__ import annotations

import anyio
import pytest

from sojourn.events import Event, StoreFailed
from sojourn.flows.limits import SignInLimiter, Taken
from sojourn.stores.memory_sessions import MemoryCounterStore
from sojourn.testing import DrivenClock
from tests.flows.flaky_counters import DOWN, FlakyCounters


class Bench:
    """A limiter of three a minute on a store that can go down."""

    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.store = FlakyCounters(self.clock)
        self.fallback = MemoryCounterStore(self.clock)
        self.events: list[Event] = []
        self.limiter = SignInLimiter(3, 60, store=self.store, fallback=self.fallback, clock=self.clock, emit=self._emit)

    async def _emit(self, event: Event) -> None:
        self.events.append(event)

    async def taken(self, account: str | None = "ada", network: str = "office") -> Taken:
        taken = await self.limiter.take(account, network)
        assert isinstance(taken, Taken)
        return taken

    async def allowed(self, times: int, account: str | None = "ada", network: str = "office") -> int:
        """How many of so many attempts are allowed."""
        told = [await self.limiter.take(account, network) for _ in range(times)]
        return sum(isinstance(one, Taken) for one in told)

    def told(self) -> int:
        assert all(isinstance(event, StoreFailed) for event in self.events)
        return len(self.events)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- what is counted ---------------------------------------------------------------------------------------------------


async def test_an_account_and_ten_times_as_generously_a_network_are_counted(bench: Bench) -> None:
    assert await bench.allowed(3) == 3
    assert await bench.limiter.take("ada", "elsewhere") == 20
    assert sum([await bench.allowed(1, f"user{number}") for number in range(40)]) == 27
    assert await bench.limiter.take("somebody", "office") == 2
    assert await bench.allowed(1, "somebody", "elsewhere") == 1


async def test_a_form_without_a_name_counts_for_its_network_alone(bench: Bench) -> None:
    assert await bench.allowed(40, None) == 30
    assert await bench.allowed(1, None, "elsewhere") == 1
    await bench.limiter.succeeded(await bench.taken(None, "elsewhere"))
    assert {key for _, key in bench.store.asked} == {"sign-in:network:office", "sign-in:network:elsewhere"}


async def test_a_denied_attempt_costs_neither_count(bench: Bench) -> None:
    assert await bench.allowed(100) == 3
    assert sum([await bench.allowed(1, f"user{number}") for number in range(40)]) == 27
    bench.store.asked.clear()
    assert await bench.allowed(5, "grace") == 0
    assert [what for what, key in bench.store.asked if key == "sign-in:account:grace"] == []
    assert await bench.allowed(4, "grace", "elsewhere") == 3


async def test_success_clears_the_account_and_gives_the_network_one_back(bench: Bench) -> None:
    for _ in range(30):
        await bench.taken()
        await bench.limiter.succeeded(await bench.taken(network="home"))
    assert await bench.allowed(40, None, "home") == 30
    assert await bench.allowed(1, None) == 0


async def test_an_attempt_that_nobody_could_judge_costs_nothing(bench: Bench) -> None:
    for _ in range(50):
        await bench.limiter.give_back(await bench.taken())
        await bench.limiter.give_back(await bench.taken(None))
    assert await bench.allowed(4) == 3
    assert await bench.allowed(40, None) == 27


# -- outages -----------------------------------------------------------------------------------------------------------


async def test_a_flood_during_an_outage_is_limited_and_told_once(bench: Bench) -> None:
    bench.store.down = DOWN
    assert await bench.allowed(60) == 3
    assert bench.told() == 1
    assert len(bench.store.asked) == 1


async def test_a_store_that_is_down_is_asked_again_after_a_rest_by_one_attempt_at_a_time(bench: Bench) -> None:
    bench.store.down = DOWN
    await bench.allowed(5)
    bench.clock.advance(1)
    await bench.allowed(5)
    assert len(bench.store.asked) == 1
    bench.clock.advance(1)
    hanging, release = anyio.Event(), anyio.Event()

    async def hang() -> None:
        hanging.set()
        await release.wait()

    bench.store.hook = hang
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.allowed, 1)
            await hanging.wait()
            await bench.allowed(5)
            assert len(bench.store.asked) == 2
            release.set()


async def test_an_outage_is_told_when_it_begins_and_once_a_minute(bench: Bench) -> None:
    bench.store.down = DOWN
    for _ in range(150):
        await bench.allowed(2)
        bench.clock.advance(1)
    assert bench.told() == 3
    bench.store.down = frozenset()
    bench.clock.advance(2)
    await bench.allowed(1)
    bench.store.down = DOWN
    await bench.allowed(5)
    assert bench.told() == 4


async def test_parallel_attempts_that_fail_together_are_one_outage(bench: Bench) -> None:
    bench.store.down = DOWN
    waiting = 0
    everybody = anyio.Event()

    async def hang() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 40:
            everybody.set()
        await everybody.wait()

    bench.store.hook = hang
    allowed: list[int] = []

    async def attempt() -> None:
        allowed.append(await bench.allowed(1))

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(attempt)
    assert sum(allowed) == 3
    assert bench.told() == 1


async def test_a_store_that_answers_again_counts_again_at_once(bench: Bench) -> None:
    assert await bench.allowed(3) == 3
    bench.store.down = DOWN
    assert await bench.allowed(5) == 3
    bench.store.down = frozenset()
    bench.clock.advance(2)
    assert await bench.limiter.take("ada", "office") == 18
    bench.store.asked.clear()
    assert await bench.allowed(3, "grace") == 3
    assert len(bench.store.asked) == 6


async def test_a_clock_set_back_during_an_outage_leaves_no_store_alone_for_longer(bench: Bench) -> None:
    bench.store.down = DOWN
    await bench.allowed(1)
    bench.clock.advance(-3600)
    await bench.allowed(1)
    assert len(bench.store.asked) == 2
    assert bench.told() == 2


async def test_denied_stays_denied_when_the_store_fails_while_it_gives_back(bench: Bench) -> None:
    await bench.allowed(3)
    bench.store.down = frozenset({"give_back"})
    assert await bench.limiter.take("ada", "office") == 20


@pytest.mark.parametrize("what", ["clear", "give_back"])
async def test_signing_in_does_not_fail_for_a_count_that_cannot_be_changed(bench: Bench, what: str) -> None:
    taken = await bench.taken()
    bench.store.down = frozenset({what})
    await bench.limiter.succeeded(taken)
    bench.clock.advance(2)
    await bench.limiter.give_back(taken)
    assert bench.told() >= 1


async def test_what_the_store_took_before_an_outage_is_not_given_back_elsewhere(bench: Bench) -> None:
    taken = await bench.taken()
    bench.store.down = DOWN
    assert await bench.allowed(30, None) == 30
    await bench.limiter.succeeded(taken)
    await bench.limiter.give_back(taken)
    assert await bench.allowed(1, None) == 0


async def test_what_was_taken_during_an_outage_is_given_back_here_and_the_account_starts_afresh_there(
    bench: Bench,
) -> None:
    assert await bench.allowed(3) == 3
    assert await bench.allowed(27, None) == 27
    bench.store.down = DOWN
    taken = await bench.taken()
    assert await bench.allowed(29, None) == 29
    bench.store.down = frozenset()
    bench.clock.advance(2)
    await bench.limiter.succeeded(taken)
    assert await bench.allowed(3, network="elsewhere") == 3
    assert await bench.allowed(5, None) == 1  # two seconds pay for one; nothing of the fallback's was given back there
    bench.store.down = DOWN
    assert await bench.allowed(5, None) == 2  # two seconds pay for one, and the owner's attempt came back


async def test_an_owner_is_never_shut_out_by_an_outage_in_between(bench: Bench) -> None:
    """Whatever goes down and comes back around each sign-in, the next one is at most one step away."""
    for number in range(60):
        bench.store.down = DOWN if number % 3 else frozenset()
        told = await bench.limiter.take("ada", "office")
        if isinstance(told, int):
            assert told <= 20
        else:
            bench.store.down = DOWN if number % 2 else frozenset()
            await bench.limiter.succeeded(told)
        bench.clock.advance(number % 4)
    bench.store.down = frozenset()
    bench.clock.advance(20)
    await bench.taken()
