"""Runs coroutines in every order in which they could meet: who goes on is decided at each point where one waits.

A *trial* is a few coroutines, its actors, and what must hold when all of them ended. `explore` plays it again and
again, each time in another order, and raises `Violation` with the order in which something did not hold; `replay` plays
that one again. Nothing else decides: the same trial and seed give the same schedules in the same order. No time passes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from sojourn.testing.stage import Make, ScheduleError, Stage, Violation

__all__ = ["Explored", "explore", "replay"]

_PATIENCE: Final = 10.0


class Explored(msgspec.Struct, frozen=True, kw_only=True):
    """What `explore` did: `schedules` are all different, the longest has `steps` steps; `exhaustive` says that no other
    is possible, within `switches` if that was given."""

    schedules: int
    steps: int
    exhaustive: bool


class _Branch:
    """A step of the schedule that is being varied: what was possible, and which of it is taken."""

    __slots__ = ("options", "possible", "taken")

    def __init__(self, possible: Sequence[str], options: Sequence[str]) -> None:
        self.possible = possible
        self.options = options
        self.taken = 0


class _DepthFirst:
    """Every schedule once, beginning with the one in which nobody is interrupted."""

    def __init__(self, switches: int | None) -> None:
        self._switches = switches
        self._branches: list[_Branch] = []
        self._depth = 0
        self._left = 0
        self._last = ""

    def begin(self) -> None:
        self._depth = 0
        self._left = -1 if self._switches is None else self._switches
        self._last = ""

    def choose(self, possible: Sequence[str]) -> str:
        own = [label for label in possible if _actor_of(label) == self._last]
        others = [label for label in possible if _actor_of(label) != self._last]
        if self._depth == len(self._branches):
            self._branches.append(_Branch(possible, own if own and self._left == 0 else own + others))
        branch = self._branches[self._depth]
        if branch.possible != possible:
            raise ScheduleError(
                f"step {self._depth + 1} could be {_list(branch.possible)} and now {_list(possible)}: something waits "
                "that the stage does not see, or decides by chance"
            )
        label = branch.options[branch.taken]
        if own and label not in own:
            self._left -= 1
        self._depth += 1
        self._last = _actor_of(label)
        return label

    def advance(self) -> bool:
        """Turn to the next schedule; False if there is none."""
        del self._branches[self._depth :]
        while self._branches:
            branch = self._branches[-1]
            branch.taken += 1
            if branch.taken < len(branch.options):
                return True
            self._branches.pop()
        return False


async def explore(
    make: Make, *, schedules: int = 10_000, samples: int = 1000, switches: int | None = None, seed: int = 0
) -> Explored:
    """Play what `make` makes in at most `schedules` orders, depth first, and then, if there are more, `samples` times
    in an order that is drawn from `seed`.

    `switches` bounds how often somebody is interrupted who could have gone on: with 2 or 3 of them most faults show,
    and what is too large for every order can be played in every such order. It does not bound the samples.
    Raises `Violation` for the first schedule in which an actor raised, `check` raised, or nobody could go on; and
    `ScheduleError` for a trial that is not the same every time.
    """
    walk = _DepthFirst(switches)
    seen: set[int] = set()
    longest = 0
    more = True
    for _ in range(schedules):
        walk.begin()
        played = await _play(make, walk.choose)
        seen.add(hash(played))
        longest = max(longest, len(played))
        more = walk.advance()
        if not more:
            break
    for number in range(samples if more else 0):
        draw = random.Random(f"{seed} {number}")  # noqa: S311 -- to be repeated, not to be secret
        played = await _play(make, draw.choice)
        seen.add(hash(played))
        longest = max(longest, len(played))
    return Explored(schedules=len(seen), steps=longest, exhaustive=not more)


async def replay(make: Make, schedule: Sequence[str]) -> tuple[str, ...]:
    """Play one schedule, as `Violation.schedule` has it; after its end the first who can goes on. What was played.

    Raises as `explore` does, and `ScheduleError` if the schedule does not fit the trial.
    """
    left = iter(enumerate(schedule, 1))

    def choose(possible: Sequence[str]) -> str:
        number, wanted = next(left, (0, possible[0]))
        if wanted not in possible:
            raise ScheduleError(f"step {number} is {wanted!r}, and only {_list(possible)} can be next")
        return wanted

    return await _play(make, choose)


async def _play(make: Make, choose: Callable[[Sequence[str]], str]) -> tuple[str, ...]:
    stage = Stage(_PATIENCE)
    async with make(stage) as trial:
        tasks = [asyncio.ensure_future(stage.enter(name, act)) for name, act in trial.actors.items()]
        stage.running.update(tasks)
        played: list[str] = []
        try:
            while possible := await stage.settled(played):
                label = choose(possible)
                played.append(label)
                stage.release(label)
        finally:
            await _end(tasks)
        for name, task in zip(trial.actors, tasks, strict=True):
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                raise Violation(f"{name} failed with {error!r}", played) from error
        try:
            await trial.check()
        except Exception as error:
            raise Violation(str(error) or repr(error), played) from error
    return tuple(played)


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _actor_of(label: str) -> str:
    return label.partition(": ")[0]


def _list(labels: Sequence[str]) -> str:
    return " or ".join(repr(label) for label in labels) or "nothing"
