"""Following the log of endings: what any process ended is known to this one a moment later, or known to be unknown.

Nothing is missed: reading goes by position, and being told is only a reason to read. Nothing harms: `EndedSessions`
takes an ending twice or late as it takes it once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal, assert_never

from sojourn.errors import StoreUnavailable
from sojourn.events import Event, RevocationFeed
from sojourn.flows.failures import store_failed
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, RevocationLog
from sojourn.settings import OnStale

__all__ = ["Follower"]

logger: logging.Logger = logging.getLogger("sojourn")

_WAIT: Final = 1.0
"""Seconds after which the log is read though nobody said that there is anything."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts in an outage."""

_BREATH: Final = 1000
"""Entries taken in before others get their turn."""


class Follower:
    """Keeps `ended` up to date, and says until when it may be trusted: `limit` seconds after the last reading began.

    From then on, `on_stale` says what `make_sure` does: ask the log, refuse, or (`accept`) nothing, as `ended` is
    trusted for ever. A log that cannot be read at the start counts as read then, but with `refuse`.
    """

    def __init__(
        self,
        *,
        log: RevocationLog,
        ended: EndedSessions,
        limit: int,
        on_stale: OnStale,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._ended = ended
        self._limit = limit
        self._on_stale = on_stale
        self._clock = clock
        self._emit = emit
        self._pause = pause
        self._position = 0
        self._cut = False
        self._down = False
        self._stale = False
        self._reading: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self.known_at: int = 0
        self._know(0)

    async def start(self) -> None:
        """Take over what ended before, and go on in the background; raises `StoreUnavailable`, and still goes on."""
        if self._on_stale != "refuse":
            self._know(self._clock())
        try:
            await self.catch_up()
        except StoreUnavailable:
            self._down = True  # the caller tells
            raise
        finally:
            loop = asyncio.get_running_loop()
            if self._running is None or self._running.get_loop() is not loop:
                self._running = loop.create_task(self.run())

    async def aclose(self) -> None:
        """Follow no longer."""
        loop = asyncio.get_running_loop()  # what ran in another ended with it
        tasks = {task for task in (self._running, self._reading) if task is not None and task.get_loop() is loop}
        self._running = self._reading = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def make_sure(self) -> None:
        """For a request that came when `ended` may miss something; raises `StoreUnavailable` if nobody can tell."""
        match self._on_stale:
            case "check":
                await self.catch_up()
            case "refuse":
                detail = f"what ended elsewhere was last known {self._clock() - self.known_at} s ago"
                raise StoreUnavailable("revocations", detail)
            case "accept":
                pass
            case _:
                assert_never(self._on_stale)

    async def catch_up(self) -> None:
        """Take over what the log holds since the last time; who comes meanwhile waits for the same reading.

        Raises `StoreUnavailable`.
        """
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not loop:
            reading = self._reading = loop.create_task(self._read())
            reading.add_done_callback(_heard)
        await asyncio.shield(reading)

    async def run(self) -> None:
        """Follow until cancelled."""
        failures = 0
        while True:
            error = await self._step()
            if error is None:
                failures = 0
                continue
            await self._pause(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures) * random.uniform(0.5, 1))  # noqa: S311  no secret
            failures = min(failures + 1, 10)

    async def _step(self) -> Exception | None:
        """Wait, read, say what changed; what went wrong, if anything did."""
        failed: Exception | None = None
        try:
            try:
                await self._log.wait(self._position, _WAIT)
            except StoreUnavailable as error:
                failed, self._cut = error, True
            await self.catch_up()  # nobody need be told of a channel that broke as long as this works
        except StoreUnavailable as error:
            self._know(min(self.known_at, self._clock()))  # a clock that was set back must not prolong it
            if not self._down:
                self._down = True
                await self._emit(store_failed(error, at=self._clock()))
            if not self._stale and self._clock() >= self.known_at + self._limit:
                self._stale = True
                await self._emit(self._feed("stale"))
            return error
        except Exception as error:
            logger.exception("endings of other processes are not known for now")
            return error
        self._down = False
        if self._stale:
            self._stale = False
            await self._emit(self._feed("following"))
        self._ended.forget(self._clock())
        return failed

    def _feed(self, state: Literal["following", "stale"]) -> RevocationFeed:
        return RevocationFeed(at=self._clock(), state=state, known_at=self.known_at, on_stale=self._on_stale)

    async def _read(self) -> None:
        began = self._clock()
        # After a fail-over or a restore, what was lost may have left its positions to other endings.
        after = 0 if self._cut else self._position
        self._cut = False
        try:
            position, entries = await self._log.read(after)
        except BaseException:
            self._cut = True
            raise
        for number, entry in enumerate(entries, 1):
            self._ended.end(entry)
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        self._position = position
        self._know(began)

    def _know(self, at: int) -> None:
        """Everything that ended before then is in `ended`."""
        self.known_at = at
        if self._on_stale != "accept":
            self._ended.trusted_until = at + self._limit


def _heard(reading: asyncio.Task[None]) -> None:
    """All who waited may have gone; that is nothing to complain about."""
    if not reading.cancelled():
        reading.exception()
