"""Durations and rates as people write them: `"12h"`, `timedelta(hours=12)`, `"10/5m"`. Converted once, at start."""

from __future__ import annotations

import re
from datetime import timedelta

from sojourn.errors import ConfigError

__all__ = ["Duration", "seconds", "times_per"]

Duration = str | timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TEXT = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")


def seconds(value: object, key: str) -> int:
    """Whole seconds of a duration; a number without a unit is refused, since nobody can tell what it means."""
    if isinstance(value, timedelta):
        if value < timedelta(0) or value.microseconds:
            raise ConfigError(
                key,
                f"{value!r} is not a whole number of seconds from 0 up",
                'Write it like "12h" or timedelta(hours=12).',
            )
        return value.days * 86400 + value.seconds
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(
            key, f"{value!r} is not a duration", 'Write a number with a unit, like "30s", "15m", "12h" or "30d".'
        )
    return int(match[1]) * _UNITS[match[2]]


_MOST_A_SECOND = 100_000


def times_per(value: object, key: str) -> tuple[int, int]:
    """`"10/5m"` as `(10, 300)`: how many times in how many seconds."""
    count, slash, period = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or not count.isascii() or not count.isdigit() or int(count) == 0 or len(count) > 6:
        raise ConfigError(key, f"{value!r} is not a rate", 'Write how many in how long, like "10/5m".')
    length = seconds(period, key)
    if length == 0:
        raise ConfigError(key, f"{value!r} has no length", 'Write how many in how long, like "10/5m".')
    if int(count) > length * _MOST_A_SECOND:
        raise ConfigError(key, f"{value!r} is no limit", f"At most {_MOST_A_SECOND} a second are told apart.")
    return int(count), length
