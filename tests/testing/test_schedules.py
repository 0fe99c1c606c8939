"""The explorer sees every order once, finds what only one of them shows, and can play that one again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import comb

import pytest

from sojourn.testing import Make, ScheduleError, Stage, Trial, Violation, explore, replay


class Cell:
    """A store of one number."""

    def __init__(self) -> None:
        self.value = 0

    async def get(self) -> int:
        return self.value

    async def set(self, value: int) -> None:
        self.value = value

    async def fail(self) -> None:
        raise LookupError("nothing there")

    def peek(self) -> int:
        return self.value


def of(*actors: Callable[[Cell, Stage], Awaitable[object]], wanted: int | None = None) -> Make:
    """A trial of these actors on one cell, which must hold `wanted` in the end."""

    @asynccontextmanager
    async def make(stage: Stage) -> AsyncIterator[Trial]:
        cell = Cell()
        store = stage.watched(cell, "cell")

        async def check() -> None:
            assert wanted is None or await store.get() == wanted, f"the cell holds {cell.value}"

        def bound(act: Callable[[Cell, Stage], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
            return lambda: act(store, stage)

        yield Trial(actors={f"actor {number}": bound(act) for number, act in enumerate(actors, 1)}, check=check)

    return make


async def count_up(cell: Cell, stage: Stage) -> None:
    await cell.set(await cell.get() + 1)


async def read(cell: Cell, stage: Stage) -> None:
    await cell.get()


async def callback(cell: Cell, stage: Stage) -> None:
    await stage.reach("the callback")


async def test_every_order_of_two_is_played_once() -> None:
    # Each has three steps: it starts, its call takes effect, its call returns.
    explored = await explore(of(read, read))
    assert (explored.schedules, explored.steps, explored.exhaustive) == (comb(6, 3), 6, True)


async def test_every_order_of_three_is_played_once() -> None:
    explored = await explore(of(read, callback, callback))
    assert (explored.schedules, explored.exhaustive) == (210, True)  # 7! / (3! 2! 2!)


async def test_a_lost_update_is_found_and_played_again() -> None:
    make = of(count_up, count_up, wanted=2)
    with pytest.raises(Violation, match="the cell holds 1") as caught:
        await explore(make)
    schedule = caught.value.schedule
    first_write = schedule.index("actor 1: cell.set")
    assert schedule.index("actor 2: cell.get") < first_write
    assert " 1. actor 1: starts" in str(caught.value)
    for _ in range(3):
        with pytest.raises(Violation) as again:
            await replay(make, schedule)
        assert again.value.schedule == schedule
        assert again.value.reason.startswith("the cell holds 1")


async def test_samples_find_it_too_and_are_the_same_for_the_same_seed() -> None:
    make = of(count_up, count_up, wanted=2)
    found = []
    for _ in range(2):
        with pytest.raises(Violation) as caught:
            await explore(make, schedules=0, samples=100, seed=4)
        found.append(caught.value.schedule)
    assert found[0] == found[1]


async def test_samples_differ_between_seeds_and_only_different_ones_count() -> None:
    played: list[tuple[str, ...]] = []

    def noting(make: Make) -> Make:
        @asynccontextmanager
        async def noted(stage: Stage) -> AsyncIterator[Trial]:
            steps: list[str] = []
            release = stage.release

            def note(label: str) -> None:
                steps.append(label)
                release(label)

            stage.release = note  # type: ignore[method-assign]
            async with make(stage) as trial:
                yield trial
            played.append(tuple(steps))

        return noted

    for seed in (1, 1, 2):
        await explore(noting(of(count_up, count_up)), schedules=0, samples=10, seed=seed)
    assert played[:10] == played[10:20]
    assert played[:10] != played[20:]
    explored = await explore(of(read, read), schedules=0, samples=500)
    assert (explored.schedules, explored.exhaustive) == (20, False)


async def test_a_bound_on_switches_bounds_the_schedules() -> None:
    # Without a switch one goes before the other; with one, the first is left at any of its two inner points as well.
    for switches, schedules in ((0, 2), (1, 6), (9, 20)):
        explored = await explore(of(read, read), switches=switches)
        assert (explored.schedules, explored.exhaustive) == (schedules, True)
    with pytest.raises(Violation):
        await explore(of(count_up, count_up, wanted=2), switches=1, samples=0)


async def test_what_is_too_large_is_sampled() -> None:
    explored = await explore(of(count_up, count_up, count_up), schedules=50, samples=50)
    assert explored.exhaustive is False
    assert 90 < explored.schedules <= 100


async def test_an_exception_of_an_actor_is_a_violation() -> None:
    async def fail(cell: Cell, stage: Stage) -> None:
        await cell.fail()

    with pytest.raises(Violation, match="actor 2 failed with LookupError") as caught:
        await explore(of(read, fail))
    assert isinstance(caught.value.__cause__, LookupError)
    assert "actor 2: cell.fail raised" in caught.value.schedule


async def test_who_waits_for_another_actor_does_not_hold_everybody_up() -> None:
    lock = asyncio.Lock()

    async def alone(cell: Cell, stage: Stage) -> None:
        async with lock:
            await count_up(cell, stage)

    explored = await explore(of(alone, alone, wanted=2))
    assert explored.exhaustive
    assert explored.schedules > 2


async def test_an_actor_may_wait_for_several_things_at_once() -> None:
    async def both(cell: Cell, stage: Stage) -> None:
        await asyncio.gather(cell.get(), cell.get())

    explored = await explore(of(both))
    assert (explored.schedules, explored.exhaustive) == (comb(4, 2), True)


async def test_a_store_that_works_elsewhere_is_awaited_to_its_end() -> None:
    class Far(Cell):
        async def get(self) -> int:
            return await asyncio.to_thread(lambda: self.value)

        async def set(self, value: int) -> None:
            await asyncio.to_thread(super().__setattr__, "value", value)

    @asynccontextmanager
    async def make(stage: Stage) -> AsyncIterator[Trial]:
        cell = Far()
        store = stage.watched(cell, "cell")

        async def check() -> None:
            assert cell.peek() == store.peek() == 2

        yield Trial(actors={one: lambda: count_up(store, stage) for one in "ab"}, check=check)

    with pytest.raises(Violation) as caught:
        await explore(make)
    with pytest.raises(Violation):
        await replay(make, caught.value.schedule)


async def test_nobody_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.testing.schedules._PATIENCE", 0.01)

    async def wait(cell: Cell, stage: Stage) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Violation, match="nobody can go on") as caught:
        await explore(of(read, wait))
    assert "actor 1: cell.get" in caught.value.schedule


async def test_a_trial_that_is_not_the_same_every_time_is_refused() -> None:
    turns = count()

    async def fickle(cell: Cell, stage: Stage) -> None:
        await stage.reach(f"turn {next(turns)}")

    with pytest.raises(ScheduleError, match="that the stage does not see"):
        await explore(of(fickle, read))


async def test_a_schedule_that_does_not_fit_is_refused_and_a_part_of_one_goes_on() -> None:
    with pytest.raises(ScheduleError, match="step 1 is 'actor 3: starts', and only 'actor 1: starts' or"):
        await replay(of(read, read), ["actor 3: starts"])
    played = await replay(of(read, read), ["actor 2: starts", "actor 2: cell.get"])
    assert played[:2] == ("actor 2: starts", "actor 2: cell.get")
    assert len(played) == 6


def test_a_step_names_its_actor_up_to_the_first_colon() -> None:
    wait = asyncio.Event().wait
    with pytest.raises(ValueError, match="colon"):
        Trial(actors={"a: b": wait}, check=wait)
