"""Tidying up behind sessions that nobody needs any more: now and then, in small batches."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from sojourn.errors import StoreUnavailable
from sojourn.events import Event
from sojourn.flows.failures import store_failed
from sojourn.ports import Clock, SessionStore

__all__ = ["BATCH", "SECONDS", "Housekeeper", "keep_tidy"]

logger: logging.Logger = logging.getLogger("sojourn")

SECONDS: Final = 300
BATCH: Final = 1000
_BREATH: Final = 0.1
"""Seconds between two batches, for whoever waits to write."""


async def keep_tidy(
    sessions: SessionStore,
    clock: Clock,
    emit: Callable[[Event], Awaitable[None]],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Drop expired records of sessions until cancelled; a store that does not answer is asked the next time."""
    while True:
        # Processes that were started together need not come at the same moment.
        await pause(SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  no secret
        try:
            while await sessions.purge(limit=BATCH) == BATCH:
                await pause(_BREATH)
        except StoreUnavailable as error:
            await emit(store_failed(error, at=clock()))
        except Exception:
            logger.exception("expired sessions stay for now")


class Housekeeper:
    """Keeps tidy in the background, in the event loop that started it last."""

    def __init__(self, sessions: SessionStore, clock: Clock, emit: Callable[[Event], Awaitable[None]]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._emit = emit
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun in this event loop; one that has ended took its tasks with it."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.get_loop() is not loop:
            self._task = loop.create_task(keep_tidy(self._sessions, self._clock, self._emit))

    async def aclose(self) -> None:
        """End it."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
