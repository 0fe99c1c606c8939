"""base64url without padding, where one value has one text (RFC 7515 2, RFC 4648 3.5).

Decoders forgive what RFC 7515 does not: padding, the other alphabet, spaces, bits set in the unused part of the last
character. Each would give a token a second text, and whatever is keyed by the text would miss it.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Final

__all__ = ["FILL", "LAST", "URL", "decode", "decode_aligned", "encode", "encode_padded"]

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

LAST: Final = (frozenset(_ALPHABET), frozenset[str](), frozenset("AQgw"), frozenset("AEIMQUYcgkosw048"))
"""By length modulo 4: the last characters that leave no unused bit set."""

FILL: Final = ("", "", "AA", "A")
"""By length modulo 4: what completes a text's last group with zero bytes, so that another text can follow it."""

URL: Final = b"-_"
"""The second argument of `decode_aligned` and `encode_padded`."""

_PADDING: Final = ("", "", "==", "=")

# Called where every microsecond counts, so what is installed is called without a wrapper, and by position, because
# keywords cost as much as decoding.
decode_aligned: Callable[[str, bytes, bool], bytes]
"""`decode_aligned(text, URL, True)`: the bytes of a text whose padding was added.

The caller has refused `+`, `/` and bad last characters. `ValueError` for anything else outside the alphabet.
"""
encode_padded: Callable[[bytes, bytes], str]
"""`encode_padded(data, URL)`: the bytes as text with its padding."""

try:
    from pybase64 import b64decode as decode_aligned
    from pybase64 import b64encode_as_string as encode_padded

except ImportError:

    def decode_aligned(text: str, _alphabet: bytes, _strict: bool, /) -> bytes:
        return binascii.a2b_base64(text.replace("-", "+").replace("_", "/"), strict_mode=True)

    def encode_padded(data: bytes, _alphabet: bytes, /) -> str:
        return binascii.b2a_base64(data, newline=False).decode().replace("+", "-").replace("/", "_")


def encode(data: bytes) -> str:
    """`data` as text, unpadded."""
    return encode_padded(data, URL).rstrip("=")


def decode(text: str) -> bytes:
    """The bytes that `text` alone spells; raises `ValueError` for every other spelling."""
    if not text:
        return b""
    rest = len(text) & 3
    if text[-1] not in LAST[rest] or "+" in text or "/" in text or "=" in text:
        raise ValueError("not base64url")
    return decode_aligned(text + _PADDING[rest], URL, True)
