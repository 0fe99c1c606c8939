"""Where one schedule is played: whoever is about to wait for a store stops here until it is their turn."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

import msgspec

__all__ = ["Make", "ScheduleError", "Stage", "Trial", "Violation"]

_StoreT = TypeVar("_StoreT")
_actor: ContextVar[str] = ContextVar("actor")

_CYCLES: Final = 30
"""Turns of the event loop in which nothing happens before somebody counts as waiting for somebody else."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What runs together, by name, and what must hold when all of it ended: `check` raises if it does not."""

    actors: Mapping[str, Callable[[], Awaitable[object]]]
    check: Callable[[], Awaitable[object]]

    def __post_init__(self) -> None:
        if any(": " in name for name in self.actors):
            raise ValueError("the name of an actor ends at the first colon of a step")


Make = Callable[["Stage"], AbstractAsyncContextManager[Trial]]
"""Makes the same trial anew, on a stage of its own, and tidies up after it."""


class ScheduleError(Exception):
    """A schedule cannot be played: it does not fit its trial, or the trial is not the same every time."""


class Violation(AssertionError):
    """Something did not hold; `schedule` is the order in which it happened, for `replay`, `reason` what it was."""

    def __init__(self, reason: str, schedule: Sequence[str]) -> None:
        self.reason: str = reason
        self.schedule: tuple[str, ...] = tuple(schedule)
        steps = "\n".join(f"  {number:2}. {label}" for number, label in enumerate(schedule, 1))
        super().__init__(f"{reason}\nin this order:\n{steps}")


class Stage:
    """Lets one actor at a time go on to its next point; what is called outside of an actor passes through."""

    def __init__(self, patience: float) -> None:
        self.running: set[asyncio.Future[Any]] = set()
        self._patience = patience
        self._gates: dict[str, tuple[asyncio.Future[None], asyncio.Future[Any] | None]] = {}
        self._calls = 0
        self._moves = 0
        self._moved = asyncio.Event()

    def watched(self, store: _StoreT, name: str) -> _StoreT:
        """The same store, each of whose `async def` methods is two points: before it takes effect, and after it.

        Between them runs nobody else: to all others a call is one step, as it must be.
        """
        return cast("_StoreT", _Watched(self, store, name))

    async def reach(self, point: str) -> None:
        """Wait for the actor's next turn; for callbacks, and for whatever else gives way to others."""
        actor = _actor.get("")
        if not actor:
            return
        label = name = f"{actor}: {point}"
        again = 1
        while label in self._gates:  # one actor may wait for several things at once
            again += 1
            label = f"{name} ({again})"
        task = asyncio.current_task()
        gate = asyncio.get_running_loop().create_future()
        self._gates[label] = gate, task
        if task is not None:
            self.running.discard(task)
        self._move()
        await gate

    async def call(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """What `function` returns, as one step named `name`."""
        if not _actor.get(""):
            return await function()
        await self.reach(name)
        try:
            result = await self._counted(function)
        except Exception:
            await self.reach(f"{name} raised")
            raise
        await self.reach(f"{name} returned")
        return result

    async def enter(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        """Act as `name`, from the first turn on."""
        _actor.set(name)
        try:
            await self.reach("starts")
            await act()
        finally:
            self._move()

    def release(self, label: str) -> None:
        """Let whoever waits at this point go on."""
        gate, task = self._gates.pop(label)
        if task is not None:
            self.running.add(task)
        gate.set_result(None)

    async def settled(self, played: Sequence[str]) -> Sequence[str]:
        """Wait until nobody moves; the points at which somebody waits, none if all actors ended.

        Raises `Violation` if actors wait for something that nobody on this stage will ever do.
        """
        while self._still_running():
            moved = await self._cycled() or ((self._calls > 0 or not self._gates) and await self._waited())
            if not moved and not self._gates:
                raise Violation("nobody can go on", played)
            if not moved:
                break  # who is at no point waits for somebody who is
        return sorted(self._gates)

    async def _counted(self, function: Callable[[], Awaitable[Any]]) -> Any:
        self._calls += 1
        try:
            return await function()
        finally:
            self._calls -= 1
            self._move()

    def _still_running(self) -> bool:
        self.running = {task for task in self.running if not task.done()}
        return bool(self.running)

    async def _cycled(self) -> bool:
        """Whether anything moved without waiting for the outside."""
        moves = self._moves
        for _ in range(_CYCLES):
            await asyncio.sleep(0)
            if moves != self._moves:
                return True
        return False

    async def _waited(self) -> bool:
        """Whether anything moved while there was patience: a store may do real work."""
        self._moved.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), self._patience)
            return True
        return False

    def _move(self) -> None:
        self._moves += 1
        self._moved.set()


class _Watched:
    """Passes everything on, and stops at each method that waits."""

    def __init__(self, stage: Stage, store: object, name: str) -> None:
        self._stage = stage
        self._store = store
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._store, attribute)
        if not inspect.iscoroutinefunction(found):
            return found

        async def watched(*arguments: Any, **named: Any) -> Any:
            return await self._stage.call(f"{self._name}.{attribute}", functools.partial(found, *arguments, **named))

        return watched
