"""GCRA: how often is too often. Arithmetic only; who keeps the number is somebody else's concern.

One number per key says when the key will have recovered fully (the theoretical arrival time, ITU-T I.371). Each attempt
moves it by `period / count`; an attempt that would move it more than one period ahead is denied. Moments are whole
microseconds, so that every store computes the same.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["SECOND", "Allow", "Deny", "Rate", "decide"]

SECOND: Final = 1_000_000
"""In microseconds."""


class Rate(msgspec.Struct, frozen=True):
    """`count` attempts in `period` seconds, in one burst or spread out."""

    count: int
    period: int

    @property
    def step(self) -> int:
        """What one attempt costs, in microseconds."""
        return self.period * SECOND // self.count


class Allow(msgspec.Struct, frozen=True):
    """Go on; keep `recovered_at` for the key."""

    recovered_at: int


class Deny(msgspec.Struct, frozen=True):
    """Too many; the next attempt is allowed in `retry_after` whole seconds."""

    retry_after: int


def decide(recovered_at: int, now: int, rate: Rate) -> Allow | Deny:
    """Judge one attempt of a key that recovers at `recovered_at` (0 for a new key); moments in microseconds.

    No key recovers later than one period from now: where one does, the clock was set back, and it starts afresh.
    """
    latest = now + rate.period * SECOND
    after = (now if recovered_at > latest else max(recovered_at, now)) + rate.step
    excess = after - latest
    return Deny(-(-excess // SECOND)) if excess > 0 else Allow(after)
