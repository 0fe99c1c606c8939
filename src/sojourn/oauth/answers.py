"""Reading what a provider answered, whatever it is."""

from __future__ import annotations

import hmac
import re
from typing import Any, Final

import msgspec

from sojourn.oauth.steps import Step, refuse
from sojourn.ports import TransportResponse

__all__ = ["error_code", "json_object", "json_value", "number", "same"]

# RFC 6749 5.2 allows more; a known word needs no more, and this has no markup in it.
_ERROR: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def json_value(body: bytes) -> Any:
    """The decoded document; `ValueError` for anything that is none, also for one nested too deep."""
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise ValueError("nested too deep") from None


def json_object(response: TransportResponse, step: Step) -> dict[str, Any]:
    """The JSON object of a 200 answer, or the refusal at `step`."""
    if response.status != 200:
        raise refuse(step, f"the provider answered with status {response.status}")
    try:
        document = json_value(response.body)
    except ValueError:
        raise refuse(step, "the provider's answer is not JSON") from None
    if not isinstance(document, dict):
        raise refuse(step, "the provider's answer is not a JSON object")
    return document


def error_code(value: object) -> str:
    """A provider's error code if it is a harmless word, else a neutral text."""
    return value if isinstance(value, str) and _ERROR.fullmatch(value) else "an error that has no plain name"


def number(value: object) -> int | float | None:
    """A JSON number, or `None`; true and false are none."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def same(ours: str, theirs: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))
