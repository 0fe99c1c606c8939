"""base64url without padding, where one value has one text (RFC 7515 2, RFC 4648 3.5).

Decoders forgive what RFC 7515 does not: padding, the other alphabet, spaces, bits set in the unused part of the last
character. Each would give a token a second text, and whatever is keyed by the text would miss it.
"""

from __future__ import annotations

import binascii
from typing import Final

__all__ = ["LAST", "decode", "decode_aligned", "encode"]

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

LAST: Final = (frozenset(_ALPHABET), frozenset[str](), frozenset("AQgw"), frozenset("AEIMQUYcgkosw048"))
"""By length modulo 4: the last characters that leave no unused bit set."""

_PADDING: Final = ("", "", "==", "=")

try:
    from pybase64 import b64decode as _fast_decode
    from pybase64 import b64encode_as_string as _fast_encode

    def decode_aligned(text: str) -> bytes:
        """The bytes of a text whose padding was added; the caller has refused `+`, `/` and bad last characters.

        Raises `ValueError` for anything else outside the alphabet.
        """
        return _fast_decode(text, b"-_", True)  # by position: keywords cost as much as decoding

    def encode(data: bytes) -> str:
        """`data` as text, unpadded."""
        return _fast_encode(data, b"-_").rstrip("=")

except ImportError:

    def decode_aligned(text: str) -> bytes:
        """The bytes of a text whose padding was added; the caller has refused `+`, `/` and bad last characters.

        Raises `ValueError` for anything else outside the alphabet.
        """
        return binascii.a2b_base64(text.replace("-", "+").replace("_", "/"), strict_mode=True)

    def encode(data: bytes) -> str:
        """`data` as text, unpadded."""
        text = binascii.b2a_base64(data, newline=False).decode()
        return text.rstrip("=").replace("+", "-").replace("/", "_")


def decode(text: str) -> bytes:
    """The bytes that `text` alone spells; raises `ValueError` for every other spelling."""
    if not text:
        return b""
    rest = len(text) & 3
    if text[-1] not in LAST[rest] or "+" in text or "/" in text or "=" in text:
        raise ValueError("not base64url")
    return decode_aligned(text + _PADDING[rest])
