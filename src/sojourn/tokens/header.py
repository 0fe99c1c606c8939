"""The cold path for protected headers: whatever is not byte for byte what we write (RFC 7515 4, RFC 7516 4)."""

from __future__ import annotations

from typing import Final

from sojourn.errors import TokenError
from sojourn.tokens.base64url import decode
from sojourn.tokens.strict_json import read_object

__all__ = ["LONGEST_TOKEN", "read_header"]

LONGEST_TOKEN: Final = 20_000
"""Characters: five chunks of 3936 and a margin. Anything longer is refused unread."""

_LONGEST_HEADER: Final = 2_000


def read_header(token: str, *, parts: int, members: frozenset[str]) -> tuple[str, dict[str, str]]:
    """The header's text as received, and its members, all of them texts.

    Only `members` are accepted, so that `zip`, `crit`, `b64`, `jwk`, `jku` and `x5u` are refused whatever they say.
    Raises `TokenError`: "form" for what is no compact serialisation of `parts` parts, "header" for the rest.
    """
    if len(token) > LONGEST_TOKEN:
        raise TokenError("form", f"longer than {LONGEST_TOKEN} characters")
    pieces = token.split(".", parts)
    if len(pieces) != parts:
        raise TokenError("form", f"not {parts} parts")
    text = pieces[0]
    if len(text) > _LONGEST_HEADER:
        raise TokenError("header", f"longer than {_LONGEST_HEADER} characters")
    try:
        data = decode(text)
    except ValueError:
        raise TokenError("form", "the header is not canonical base64url") from None
    try:
        header = read_object(data)
    except ValueError as error:
        raise TokenError("header", f"not one JSON object: {error}") from None
    for name, value in header.items():
        if name not in members:
            raise TokenError("header", f"member {name[:20]!a} is not accepted")
        if not isinstance(value, str):
            raise TokenError("header", f"member {name} is not a text")
    if header.get("typ", "JWT") != "JWT":
        raise TokenError("header", "typ is not JWT")
    return text, header
