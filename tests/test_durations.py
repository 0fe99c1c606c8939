from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.durations import seconds, times_per
from sojourn.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"), [("0s", 0), ("30s", 30), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)]
)
def test_texts_with_a_unit(text: str, expected: int) -> None:
    assert seconds(text, "key") == expected


def test_timedelta() -> None:
    assert seconds(timedelta(hours=12, seconds=1), "key") == 43201


@pytest.mark.parametrize(
    "value",
    [43200, "12", "12 h", "-1s", "1.5h", "", "h", "١٢h", None, True, timedelta(seconds=-1), timedelta(milliseconds=1)],
)
def test_anything_else_is_refused_with_key_value_and_fix(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        seconds(value, "session.max_age")
    assert caught.value.key == "session.max_age"
    assert repr(value) in caught.value.seen
    assert "12h" in caught.value.fix


def test_rates() -> None:
    assert times_per("10/5m", "key") == (10, 300)


@pytest.mark.parametrize(
    "value", ["999999/1s", "10", "0/5m", "x/5m", "10/5", "10/0s", "", None, 10, "١/5m", "10000000/1s"]
)
def test_bad_rates(value: object) -> None:
    with pytest.raises(ConfigError):
        times_per(value, "rate_limit.sign_in")
