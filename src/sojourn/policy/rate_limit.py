"""GCRA: how often is too often. Arithmetic only; who keeps the number is somebody else's concern.

One number per key says when the key will have recovered fully (the theoretical arrival time, ITU-T I.371). Each attempt
moves it by `period / count`; an attempt that would move it more than one period ahead is denied.
"""

from __future__ import annotations

import math

import msgspec

__all__ = ["Allow", "Deny", "Rate", "decide"]


class Rate(msgspec.Struct, frozen=True):
    """`count` attempts in `period` seconds, in one burst or spread out."""

    count: int
    period: int

    @property
    def step(self) -> float:
        """What one attempt costs, in seconds."""
        return self.period / self.count


class Allow(msgspec.Struct, frozen=True):
    """Go on; keep `recovered_at` for the key."""

    recovered_at: float


class Deny(msgspec.Struct, frozen=True):
    """Too many; the next attempt is allowed in `retry_after` whole seconds."""

    retry_after: int


def decide(recovered_at: float, now: float, rate: Rate) -> Allow | Deny:
    """Judge one attempt of a key that recovers at `recovered_at` (0 for a new key)."""
    after = max(recovered_at, now) + rate.step
    excess = after - now - rate.period
    # A float's rounding must not turn the last allowed attempt into a denied one.
    if excess > 1e-6:
        return Deny(max(1, math.ceil(excess)))
    return Allow(after)
