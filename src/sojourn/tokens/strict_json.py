"""JSON read strictly, for what strangers wrote: one member, one name; finite numbers; no more than 32 levels."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from json import JSONDecoder

__all__ = ["MOST_LEVELS", "read_object"]

MOST_LEVELS: Final = 32
_LONGEST_INTEGER: Final = 20  # digits and sign of anything that fits 64 bits
_TEXTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS: Final = re.compile(r"[][{}]")


def read_object(data: bytes) -> dict[str, Any]:
    """The object that `data` spells in UTF-8 (RFC 8259).

    Raises `ValueError` for anything else, and for what readers disagree on: a member named twice at any depth, a byte
    order mark, lone surrogates, NaN and infinities, integers beyond 64 bits, more than 32 levels.
    """
    text = data.decode()
    _check_depth(text)
    value = _decoder().decode(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if "\\u" in text:
        # An escape can spell half a character, which is no Unicode text: encoding refuses it.
        from json import dumps

        dumps(value, ensure_ascii=False).encode()
    return value


def _check_depth(text: str) -> None:
    level = 0
    for bracket in _BRACKETS.findall(_TEXTS.sub("", text)):
        level += 1 if bracket in "[{" else -1
        if level > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS} levels")


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise ValueError("a member named twice")
    return unique


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError("an integer beyond 64 bits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def _constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


@cache
def _decoder() -> JSONDecoder:
    from json import JSONDecoder  # only for what strangers wrote

    return JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant)
