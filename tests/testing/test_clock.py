"""The driven clock goes where it is told."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from sojourn.errors import ConfigError
from sojourn.ports import Clock
from sojourn.testing import DrivenClock


def test_it_stands_still() -> None:
    clock: Clock = DrivenClock(1000)
    assert [clock(), clock()] == [1000, 1000]


@pytest.mark.parametrize(
    ("duration", "then"), [("15m", 1900), (5, 1005), (-10, 990), (timedelta(hours=1), 4600), ("0s", 1000)]
)
def test_it_goes_on_by_a_duration(duration: str | int | timedelta, then: int) -> None:
    clock = DrivenClock(1000)
    assert clock.advance(duration) == then == clock()


def test_it_is_set() -> None:
    clock = DrivenClock()
    clock.set(7)
    assert clock() == 7


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(ConfigError):
        DrivenClock().advance("soon")


def test_importing_it_needs_no_test_runner() -> None:
    script = "import sys; sys.modules['pytest'] = None; import sojourn.testing"
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})
