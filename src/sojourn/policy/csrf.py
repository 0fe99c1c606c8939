"""Who may change state: Fetch-Metadata and Origin first, then NextAuth's double-submit token.

The pair is NextAuth's to the byte: `token|sha256(token + secret)`. Where we differ on purpose:

- the token must be 64 lower-case hex digits; NextAuth takes any text, even none, with the right hash;
- with several secrets a pair of any of them is good; NextAuth v4 has one, and v5 only knows the joined list;
- hashes and tokens are compared in constant time;
- the browser's own word about where a request comes from is heard as well, because the pair is not bound to a session.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from sojourn.models import Value

__all__ = ["CSRFPair", "read_or_make", "refuse"]

# NextAuth ignores a third part, and so do we.
_PAIR: Final = re.compile(r"([0-9a-f]{64})\|([0-9a-f]{64})(?:\|.*)?", re.DOTALL)


class CSRFPair(Value, frozen=True, kw_only=True):
    """The token and its cookie. `verified_cookie` is False for a new pair, whose cookie must be set."""

    hidden: ClassVar[frozenset[str]] = frozenset({"token", "cookie_value"})
    token: str
    cookie_value: str
    verified_cookie: bool


def read_or_make(
    cookie_value: str | None, secrets: Sequence[bytes], new_token: Callable[[], str], *, joined_hash: bool
) -> CSRFPair:
    """The pair that the cookie holds, or a new one; `secrets` are newest first, `new_token` makes 64 hex digits.

    `joined_hash` is Auth.js v5's recipe for several secrets: they are joined with commas, and new pairs use that.
    """
    keys = [b",".join(secrets), *secrets] if joined_hash and len(secrets) > 1 else secrets
    if (pair := _PAIR.fullmatch(cookie_value or "")) and _is_ours(pair[1], pair[2], keys):
        return CSRFPair(token=pair[1], cookie_value=f"{pair[1]}|{pair[2]}", verified_cookie=True)
    token = new_token()
    return CSRFPair(token=token, cookie_value=f"{token}|{_hash(token, keys[0])}", verified_cookie=False)


def _hash(token: str, secret: bytes) -> str:
    return hashlib.sha256(token.encode() + secret).hexdigest()


def _is_ours(token: str, claimed: str, keys: Sequence[bytes]) -> bool:
    # All are compared: which secret fits must not show in the time.
    matches = [hmac.compare_digest(_hash(token, key), claimed) for key in keys]
    return any(matches)


def refuse(pair: CSRFPair, body_token: object, *, origin: str, headers: Mapping[str, str]) -> str | None:
    """The step that refuses this state change, or None: `fetch_metadata`, `origin`, `double_submit`.

    `headers` have lower-case names. A header that is absent decides nothing: the double submit alone then does.
    """
    sent_from = headers.get("origin")
    match headers.get("sec-fetch-site"):
        case None | "same-origin" | "none":
            pass
        case "same-site" if sent_from == origin:
            pass
        case _:
            return "fetch_metadata"
    if sent_from is not None and sent_from != origin:
        return "origin"
    if not pair.verified_cookie or not isinstance(body_token, str):
        return "double_submit"
    if not hmac.compare_digest(body_token.encode("utf-8", "replace"), pair.token.encode()):
        return "double_submit"
    return None
