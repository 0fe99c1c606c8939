"""Sealed tokens: the JWEs of NextAuth v4 and Auth.js v5 (RFC 7516, `dir` only), read and written.

Both receivers accept a fixed list of forms. A header that is byte for byte ours is not parsed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from sojourn.errors import TokenError
from sojourn.keys import Keyring
from sojourn.tokens.base64url import FILL, LAST, URL, decode, decode_aligned, encode, encode_padded
from sojourn.tokens.header import LONGEST_TOKEN, read_header

__all__ = ["AuthJSV5", "NextAuthV4"]

_MEMBERS: Final = frozenset({"alg", "enc", "kid", "typ"})
_IV: Final = 16  # characters of 12 bytes
_AFTER_IV: Final = 24  # a dot, and a dot and the 22 characters of 16 bytes at the end
# Iv and ciphertext end in the middle of a group of three bytes, four characters. Zero bytes complete it, so that one
# call codes them together with the tag.
_ZEROS: Final = (b"", b"\0\0", b"\0")  # by the payload's length modulo 3
# Slices are made once, too: one costs as much as what it cuts.
_IV_BYTES, _SEALED_BYTES, _TAG_BYTES = slice(0, 12), slice(12, None), slice(-16, None)
_CIPHERTEXT_BYTES: Final = (_SEALED_BYTES, _SEALED_BYTES, slice(12, -18), slice(12, -17))  # by characters modulo 4
_BEFORE_TAG: Final = slice(0, -16)
_IV_TEXT, _TAG_TEXT = slice(0, _IV), slice(-24, -2)  # of a text that ends in 22 characters and `==`
_CIPHERTEXT_TEXT: Final = (slice(_IV, -24), slice(_IV, -26), slice(_IV, -25))  # by the payload's length modulo 3
_Decrypt = Callable[[bytes, bytes, bytes], bytes]
_Open = Callable[[str], bytes]
_NO_KEY: Final = "no key of this server opens it: made with a secret this server never had, or altered"


class NextAuthV4:
    """`dir` and A256GCM under a derived key (nextauth.md 3.1); `salt` is empty or a check cookie's name.

    The format names no key, so every secret is tried, newest first.
    """

    name: Final = "nextauth-v4"
    _HEADER: Final = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"  # {"alg":"dir","enc":"A256GCM"}

    def __init__(self, keyring: Keyring, *, salt: str = "") -> None:
        info = "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")
        ciphers = [AESGCM(key) for key in keyring.derive(info=info, salt=salt)]
        self._encrypt = ciphers[0].encrypt
        self._decrypts = tuple(cipher.decrypt for cipher in ciphers)
        self._aad = self._HEADER.encode()
        self._start = self._HEADER + ".."
        self.open: Final = _gcm_opener(self._HEADER, self._decrypts, self._open_other)
        """The payload; raises `TokenError`: "form", "header" or "key"."""

    def _open_other(self, token: str) -> bytes:
        text, header = _read_jwe_header(token)
        if header.get("enc") != "A256GCM":
            raise TokenError("header", "enc is not A256GCM")
        return _gcm_opener(text, self._decrypts, self.open)(token)

    def seal(self, payload: bytes, entropy: bytes | None = None) -> str:
        """The token. `entropy`: `os.urandom`'s, whose first 16 bytes nothing else uses; drawn here when absent."""
        iv = os.urandom(12) if entropy is None else entropy[_IV_BYTES]
        sealed = self._encrypt(iv, payload, self._aad)
        over = len(payload) % 3
        if over:
            sealed = sealed[_BEFORE_TAG] + _ZEROS[over] + sealed[_TAG_BYTES]
        text = encode_padded(iv + sealed, URL)
        return f"{self._start}{text[_IV_TEXT]}.{text[_CIPHERTEXT_TEXT[over]]}.{text[_TAG_TEXT]}"


class AuthJSV5:
    """`dir` and A256CBC-HS512, or A256GCM when reading, under keys named by a thumbprint (nextauth.md 3.2).

    `salt` is the session cookie's name with its prefix and without a chunk's number. A token without `kid` is tried
    with the newest secret only, as Auth.js does.
    """

    name: Final = "authjs-v5"

    def __init__(self, keyring: Keyring, *, salt: str) -> None:
        info = f"Auth.js Generated Encryption Key ({salt})"
        keys = keyring.derive(info=info, salt=salt, length=64)
        self._cbc = {_thumbprint(key): key for key in reversed(keys)}
        self._newest = keys[0]
        gcm = keyring.derive(info=info, salt=salt, length=32)
        self._gcm = {_thumbprint(key): AESGCM(key) for key in gcm}
        self._newest_gcm = AESGCM(gcm[0])
        # What we write, per key: the header's text is enough to know the key.
        self._headers = {
            encode(f'{{"alg":"dir","enc":"A256CBC-HS512","kid":"{kid}"}}'.encode()): key
            for kid, key in self._cbc.items()
        }
        self._header = next(text for text, key in self._headers.items() if key == self._newest)

    def open(self, token: str) -> bytes:
        """The payload; raises `TokenError`: "form", "header", "key" or "signature"."""
        text, _, _ = token.partition("..")
        key = self._headers.get(text)
        if key is not None:
            return _open_cbc(token, text, key, "signature")
        text, header = _read_jwe_header(token)
        kid = header.get("kid")
        match header.get("enc"):
            case "A256CBC-HS512":
                key = self._newest if kid is None else self._cbc.get(kid)
                if key is None:
                    raise TokenError("key", "its kid names no key of this server")
                return _open_cbc(token, text, key, "key" if kid is None else "signature")
            case "A256GCM":
                cipher = self._newest_gcm if kid is None else self._gcm.get(kid)
                if cipher is None:
                    raise TokenError("key", "its kid names no key of this server")
                step = "key" if kid is None else "signature"
                return _gcm_opener(text, (cipher.decrypt,), self.open, step)(token)
            case _:
                raise TokenError("header", "enc is neither A256CBC-HS512 nor A256GCM")

    def seal(self, payload: bytes, entropy: bytes | None = None) -> str:
        """The token. `entropy`: `os.urandom`'s, whose first 16 bytes nothing else uses; drawn here when absent."""
        iv = os.urandom(16) if entropy is None else entropy[:16]
        padder = PKCS7(128).padder()
        encryptor = Cipher(AES(self._newest[32:]), CBC(iv)).encryptor()
        ciphertext = encryptor.update(padder.update(payload) + padder.finalize()) + encryptor.finalize()
        tag = _cbc_tag(self._newest, self._header, iv, ciphertext)
        return f"{self._header}..{encode(iv)}.{encode(ciphertext)}.{encode(tag)}"


def _read_jwe_header(token: str) -> tuple[str, dict[str, str]]:
    text, header = read_header(token, parts=5, members=_MEMBERS)
    if header.get("alg") != "dir":
        raise TokenError("header", "alg is not dir")
    if not token.startswith("..", len(text)):
        raise TokenError("form", "an encrypted key where `dir` has none")
    return text, header


def _gcm_opener(header: str, decrypts: tuple[_Decrypt, ...], others: _Open, step: str = "key") -> _Open:
    """What opens `dir` tokens with A256GCM (RFC 7518 5.3) under one header; every key is tried.

    `others` opens those with another header. A closure, so that what the header fixes is worked out only once.
    """
    aad = header.encode()
    start = header + ".."
    middle = len(start) + _IV
    iv_text, ciphertext, tag = slice(len(start), middle), slice(middle + 1, -23), slice(-22, None)
    around = middle + _AFTER_IV
    longest = around + LONGEST_TOKEN

    def open_gcm(token: str) -> bytes:
        if not token.startswith(start):
            return others(token)
        size = len(token)
        rest = size - around & 3
        if (
            not around < size < longest
            or token[middle] != "."
            or token[-23] != "."
            or token[-24] not in LAST[rest]
            or token[-1] not in "AQgw"
            or "+" in token
            or "/" in token
        ):
            raise TokenError("form", "iv, ciphertext or tag is not canonical base64url of its length")
        try:
            data = decode_aligned(f"{token[iv_text]}{token[ciphertext]}{FILL[rest]}{token[tag]}==", URL, True)
        except ValueError:
            raise TokenError("form", "iv, ciphertext or tag is not base64url") from None
        iv = data[_IV_BYTES]
        sealed = data[_CIPHERTEXT_BYTES[rest]] + data[_TAG_BYTES] if rest else data[_SEALED_BYTES]
        for decrypt in decrypts:
            try:
                return decrypt(iv, sealed, aad)
            except InvalidTag:
                continue
        raise TokenError(step, _NO_KEY)

    return open_gcm


def _open_cbc(token: str, header: str, key: bytes, step: str) -> bytes:
    """The payload of a `dir` token with A256CBC-HS512 (RFC 7518 5.2.5): the tag first, the padding after."""
    pieces = token.split(".", 5)
    if len(token) > LONGEST_TOKEN or len(pieces) != 5:
        raise TokenError("form", "not 5 parts")
    try:
        iv, ciphertext, tag = decode(pieces[2]), decode(pieces[3]), decode(pieces[4])
    except ValueError:
        raise TokenError("form", "iv, ciphertext or tag is not canonical base64url") from None
    if len(iv) != 16 or len(tag) != 32 or not ciphertext or len(ciphertext) % 16:
        raise TokenError("form", "iv, ciphertext or tag is not of its length")
    if not hmac.compare_digest(tag, _cbc_tag(key, header, iv, ciphertext)):
        raise TokenError(step, _NO_KEY if step == "key" else "the authentication tag does not fit")
    decryptor = Cipher(AES(key[32:]), CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise TokenError("signature", "the padding is wrong under a right tag") from None


def _cbc_tag(key: bytes, header: str, iv: bytes, ciphertext: bytes) -> bytes:
    aad = header.encode()
    bits = (8 * len(aad)).to_bytes(8, "big")
    return hmac.digest(key[:32], aad + iv + ciphertext + bits, "sha512")[:32]


def _thumbprint(key: bytes) -> str:
    """RFC 7638 over the symmetric key, with a hash of eight times the key's length, as Auth.js names keys."""
    text = f'{{"k":"{encode(key)}","kty":"oct"}}'
    return encode(hashlib.new(f"sha{8 * len(key)}", text.encode()).digest())
