"""A clock that moves when it is told to."""

from __future__ import annotations

from sojourn.durations import Duration, seconds

__all__ = ["DrivenClock"]


class DrivenClock:
    """A `Clock` in epoch seconds for tests: `advance("15m")`, `advance(900)`, `set(1_700_000_000)`; it never sleeps."""

    def __init__(self, now: int = 1_700_000_000) -> None:
        self._now = now

    def __call__(self) -> int:
        return self._now

    def advance(self, duration: Duration | int) -> int:
        """Go on by seconds or by a duration, and say what time it is then; a negative number steps back."""
        self._now += duration if isinstance(duration, int) else seconds(duration, "duration")
        return self._now

    def set(self, now: int) -> None:
        """Go to this moment."""
        self._now = now
