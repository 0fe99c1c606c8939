"""What commands say: text for people, JSON with `--json`, mistakes on one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn

import msgspec
from cyclopts import Parameter

__all__ = ["AsJSON", "Ignored", "counted", "fail", "not_yet", "say", "tell"]

AsJSON = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
# What a command that is not here yet will take: its refusal must not hide behind one of an argument.
Ignored = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def say(line: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(value: Any, text: Callable[[], str], *, as_json: bool) -> None:
    """The result: `value` as one line of JSON, or the text for people."""
    say(msgspec.json.encode(value).decode() if as_json else text())


def counted(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def fail(key: str, seen: str, fix: str, *, as_json: bool = False) -> NoReturn:
    """End with exit code 2 and one line on standard error: key, what was seen, the fix."""
    if as_json:
        line = msgspec.json.encode({"error": {"key": key, "seen": seen, "fix": fix}}).decode()
    else:
        line = _CONTROL.sub(" ", f"sojourn: {key}: {seen}. {fix}")
    sys.stderr.write(line + "\n")
    sys.exit(2)


def not_yet(command: str, today: str, *, as_json: bool) -> NoReturn:
    """Refuse a command that a later version brings, naming what works today."""
    fail(command, "not in this version", today, as_json=as_json)
