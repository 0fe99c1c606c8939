"""Tokens by hand: any claims, any secret, for `sojourn token` and for whoever must talk to a NextAuth application."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring
from sojourn.tokens.sealed import AuthJSV5, NextAuthV4
from sojourn.tokens.strict_json import read_object

__all__ = ["open_token", "seal_token"]

_LEEWAY: Final = 15
_LARGEST: Final = 2**53  # beyond it JavaScript's numbers are no longer whole
_HALVES: Final = re.compile("[\ud800-\udfff]")


def open_token(
    token: str, secrets: Sequence[str | bytes], *, compat: str = "nextauth-v4", salt: str = "", now: int
) -> dict[str, Any]:
    """The claims of a NextAuth v4 or Auth.js v5 token, judged for form, key and times (15 s leeway).

    `salt` is the cookie's name in v5; in v4 a check cookie's name, empty for the session. How far ahead `exp` lies is
    not judged. Raises `TokenError` with the step that refused.
    """
    payload = _format(compat, secrets, salt).open(token)
    try:
        claims = read_object(payload)
    except ValueError as error:
        raise TokenError("claims", str(error)) from None
    times = {name: _time(claims, name) for name in ("exp", "nbf", "iat") if name in claims}
    if "exp" not in times:
        raise TokenError("claims", "exp is missing")
    if times["exp"] <= now - _LEEWAY:
        raise TokenError("expired", f"{now - times['exp']} s ago")
    if times.get("nbf", now) > now + _LEEWAY:
        raise TokenError("not_yet_valid", f"valid in {times['nbf'] - now} s")
    if times.get("iat", now) > now + _LEEWAY:
        raise TokenError("issued_in_future", f"{times['iat'] - now} s ahead of this clock")
    if times.get("iat", 0) > times["exp"]:
        raise TokenError("lifetime", "iat is after exp")
    return claims


def seal_token(
    claims: Mapping[str, Any],
    secrets: Sequence[str | bytes],
    *,
    compat: str = "nextauth-v4",
    salt: str = "",
    now: int,
    max_age: int = 2_592_000,
) -> str:
    """A token of these claims as NextAuth's `encode` makes it: `iat`, `exp`, `jti` overwritten in place or appended.

    `max_age` is in seconds. Raises `TokenError("claims")` for values that JSON cannot say.
    """
    sealed = {**claims, "iat": now, "exp": now + max_age, "jti": str(uuid.uuid4())}
    try:
        text = json.dumps(_as_javascript(sealed), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TokenError("claims", str(error)) from None
    text = _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    return _format(compat, secrets, salt).seal(text.encode())


def _format(compat: str, secrets: Sequence[str | bytes], salt: str) -> NextAuthV4 | AuthJSV5:
    match compat:
        case "nextauth-v4":
            return NextAuthV4(Keyring(secrets), salt=salt)
        case "authjs-v5":
            return AuthJSV5(Keyring(secrets), salt=salt)
        case _:
            raise ConfigError("compat", repr(compat), "Choose nextauth-v4 or authjs-v5.")


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims[name]
    # bool is an int to Python, and 1.8e9 one to nobody who counts seconds
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        raise TokenError("claims", f"{name} is not a whole number of seconds")
    return value


def _as_javascript(value: Any) -> Any:
    """`value` with whole floats as integers, as JSON.stringify writes them."""
    match value:
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
        case Mapping():
            return {name: _as_javascript(item) for name, item in value.items()}
        case list() | tuple():
            return [_as_javascript(item) for item in value]
        case _:
            return value
