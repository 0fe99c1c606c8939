"""Signed tokens: compact JWS with HS256, Ed25519, ES256 or RS256 (RFC 7515), with `kid`, `typ`, `iss` and `aud`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol, get_args

import msgspec

from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring, SigningKeys
from sojourn.tokens.base64url import decode, encode
from sojourn.tokens.header import LONGEST_TOKEN, read_header

__all__ = ["Algorithm", "CompactJWS", "HMACKey", "SignedJWT"]

Algorithm = Literal["HS256", "EdDSA", "Ed25519", "ES256", "RS256"]

_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
# One signature, two names: RFC 9864 says Ed25519 where RFC 8037 said EdDSA of several curves.
_ED25519: Final = ("Ed25519", "EdDSA")


class JWSKey(Protocol):
    """A key of one algorithm."""

    @property
    def kid(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...

    def verify(self, data: bytes, signature: bytes) -> bool: ...


class HMACKey:
    """An HS256 key of at least 32 bytes (RFC 7518 3.2); `kid` is its thumbprint unless given."""

    def __init__(self, key: bytes, kid: str | None = None) -> None:
        if len(key) < 32:
            raise ConfigError("secrets", f"an HS256 key of {len(key)} bytes", "HS256 takes 32 bytes or more.")
        self._key: Final = key
        self.kid: Final = kid or encode(hashlib.sha256(f'{{"k":"{encode(key)}","kty":"oct"}}'.encode()).digest())

    def sign(self, data: bytes) -> bytes:
        """HMAC-SHA256 over `data`."""
        return hmac.digest(self._key, data, "sha256")

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `data`; constant time."""
        return hmac.compare_digest(signature, hmac.digest(self._key, data, "sha256"))


class CompactJWS:
    """The signature alone: three parts, one algorithm, known keys, newest first."""

    def __init__(self, algorithm: Algorithm, keys: Sequence[JWSKey]) -> None:
        self._accepted: Final = _ED25519 if algorithm in _ED25519 else (algorithm,)
        self._by_kid: Final = {key.kid: key for key in keys}
        self._keys: Final = tuple(keys)
        # What we write, per key: the header's text is enough to know the key.
        self._known: Final = {_header(algorithm, key.kid): key for key in keys}
        self._header: Final = _header(algorithm, keys[0].kid)

    def open(self, token: str) -> bytes:
        """The payload; raises `TokenError`: "form", "header", "key" or "signature"."""
        if len(token) > LONGEST_TOKEN:
            raise TokenError("form", f"longer than {LONGEST_TOKEN} characters")
        signed, _, signature_text = token.rpartition(".")
        header_text, dot, payload_text = signed.partition(".")
        if not dot:
            raise TokenError("form", "not 3 parts")
        key = self._known.get(header_text)
        candidates = (key,) if key is not None else self._candidates(token)
        try:
            payload, signature = decode(payload_text), decode(signature_text)
        except ValueError:
            raise TokenError("form", "payload or signature is not canonical base64url") from None
        data = signed.encode()
        if any(candidate.verify(data, signature) for candidate in candidates):
            return payload
        raise TokenError("signature", "the signature does not fit")

    def seal(self, payload: bytes) -> str:
        """The token, signed with the newest key."""
        data = f"{self._header}.{encode(payload)}"
        return f"{data}.{encode(self._keys[0].sign(data.encode()))}"

    def _candidates(self, token: str) -> tuple[JWSKey, ...]:
        _, header = read_header(token, parts=3, members=_MEMBERS)
        if header.get("alg") not in self._accepted:
            raise TokenError("header", f"alg is not {self._accepted[0]}")
        kid = header.get("kid")
        if kid is None:
            return self._keys
        if kid not in self._by_kid:
            raise TokenError("key", "its kid names no key of this server")
        return (self._by_kid[kid],)


def _header(algorithm: str, kid: str) -> str:
    return encode(msgspec.json.encode({"alg": algorithm, "typ": "JWT", "kid": kid}))


class _Parties(msgspec.Struct):
    iss: str | None = None
    aud: str | list[str] | None = None


class SignedJWT:
    """A JWT of ours alone: `iss` and `aud` are written, and compared as exact texts when read (RFC 8725 3.9).

    HS256 keys are derived from a `Keyring`, all others are those of `SigningKeys` that fit the algorithm; the newest
    must be private. `EdDSA` and `Ed25519` are one algorithm: the one configured is written, both are read.
    """

    def __init__(self, algorithm: Algorithm, keys: Keyring | SigningKeys, *, issuer: str, audience: str) -> None:
        self.name: Final = algorithm
        self._jws: Final = CompactJWS(algorithm, _keys_for(algorithm, keys))
        self._issuer: Final = issuer
        self._audience: Final = audience
        self._parties: Final = msgspec.json.Decoder(_Parties)
        self._ours: Final = {
            "iss": msgspec.Raw(msgspec.json.encode(issuer)),
            "aud": msgspec.Raw(msgspec.json.encode(audience)),
        }

    def open(self, token: str) -> bytes:
        """The payload; raises `TokenError`: "form", "header", "key", "signature", "claims" or "audience"."""
        payload = self._jws.open(token)
        try:
            parties = self._parties.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise TokenError("claims", "not a JSON object with texts for iss and aud") from None
        if parties.iss != self._issuer:
            raise TokenError("audience", "iss is not ours")
        if parties.aud not in (self._audience, [self._audience]):
            raise TokenError("audience", "aud is not us, and us alone")
        return payload

    def seal(self, payload: bytes, entropy: bytes | None = None) -> str:
        """The token: `payload` with `iss` and `aud` overwritten or appended."""
        members: dict[str, Any] = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        return self._jws.seal(msgspec.json.encode(members | self._ours))


def _keys_for(algorithm: Algorithm, keys: Keyring | SigningKeys) -> Sequence[JWSKey]:
    if algorithm not in get_args(Algorithm):
        raise ConfigError("session.token", repr(algorithm), f"Choose one of {', '.join(get_args(Algorithm))}.")
    if isinstance(keys, Keyring):
        if algorithm != "HS256":
            raise ConfigError("signing_keys", "nothing", f"{algorithm} signs with a private key: list one.")
        return [HMACKey(key) for key in keys.derive(info="Sojourn JWS HS256")]
    family = "Ed25519" if algorithm in _ED25519 else algorithm
    fitting = [key for key in keys.keys if key.family == family]
    if not fitting or not fitting[0].can_sign:
        seen = f"no private key for {algorithm} in the first place"
        raise ConfigError("signing_keys", seen, "List one, newest first.")
    return fitting
