"""Claims ⇄ tokens: compact JWE and JWS, each receiver with a fixed list of forms; nothing else is ever tried."""

from __future__ import annotations

from typing import Protocol

from sojourn.tokens.sealed import AuthJSV5, NextAuthV4
from sojourn.tokens.signed import Algorithm, SignedJWT

__all__ = ["Algorithm", "AuthJSV5", "NextAuthV4", "SignedJWT", "TokenFormat"]


class TokenFormat(Protocol):
    """A way to turn a payload into one text and back."""

    @property
    def name(self) -> str:
        """What the format is called in settings and logs."""
        ...

    def open(self, token: str) -> bytes:
        """The payload's bytes; raises `TokenError`: "form", "header", "key", "signature" or, if signed, "audience"."""
        ...

    def seal(self, payload: bytes, entropy: bytes | None = None) -> str:
        """The token, under the newest key. `entropy`: `os.urandom`'s, whose first 16 bytes nothing else ever uses."""
        ...
