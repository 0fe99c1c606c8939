"""Signatures through joserfc: the one registered algorithm, and keys that fit it. Imported where it is needed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

__all__ = ["fitting", "secret_key", "sign", "verify"]

_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_SMALLEST, _LARGEST = 2048, 16384  # RSA bits: too weak below, too slow above
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


class _OneAlgorithm(jws.JWSRegistry):
    """Knows one algorithm and no other; header members that nobody uses are no reason to refuse."""

    max_header_length = 8192

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        # Not the inherited one: it warns of EdDSA, which providers go on calling by that name.
        if self.allowed != [name]:
            raise JoseError("another algorithm")
        return self.algorithms[name]


def fitting(keys: Sequence[Mapping[str, Any]], algorithm: str, kid: str | None) -> list[Key]:
    """The published keys that may verify `algorithm` under this id (RFC 8725 3.10); without an id, all fitting ones."""
    found = []
    for jwk in keys:
        if kid is not None and jwk.get("kid") != kid:
            continue
        if key := _public_key(jwk, algorithm):
            found.append(key)
    return found


def _public_key(jwk: Mapping[str, Any], algorithm: str) -> Key | None:
    if jwk.get("kty") != _KEY_TYPES[algorithm[:2]] or jwk.get("use", "sig") != "sig":
        return None
    if jwk.get("alg", algorithm) != algorithm or "verify" not in _list(jwk.get("key_ops", ["verify"])):
        return None
    try:
        match jwk:
            case {"kty": "RSA", "n": str(n), "e": str(e)}:
                # Judged before the import: such a key must not even become one.
                if not _SMALLEST <= _integer(n).bit_length() <= _LARGEST or _integer(e) < 3:
                    return None
                return RSAKey.import_key({"kty": "RSA", "n": n, "e": e})
            case {"kty": "EC", "crv": str(curve), "x": str(x), "y": str(y)} if curve == _CURVES[algorithm]:
                return ECKey.import_key({"kty": "EC", "crv": curve, "x": x, "y": y})
            case {"kty": "OKP", "crv": str(curve), "x": str(x)} if curve == _CURVES[algorithm]:
                return OKPKey.import_key({"kty": "OKP", "crv": curve, "x": x})
    except (JoseError, ValueError, TypeError, OverflowError):
        pass
    return None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _integer(value: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(f"{value}{'=' * (-len(value) % 4)}"))


def secret_key(secret: str) -> Key:
    """The client secret as a key, for a provider that registered HS256, HS384 or HS512."""
    return OctKey.import_key(secret.encode())


def verify(token: str, keys: Sequence[Key], algorithm: str) -> bool:
    """Whether one of these keys made this signature, with this algorithm."""
    for key in keys:
        try:
            jws.deserialize_compact(token, key, registry=_OneAlgorithm(algorithm))
        except (JoseError, ValueError, TypeError):
            continue
        return True
    return False


def sign(claims: Mapping[str, object], key: Key, algorithm: str) -> str:
    """A compact JWS of these claims, with the key's thumbprint as `kid` (RFC 7638)."""
    header = {"alg": algorithm, "kid": key.thumbprint(), "typ": "JWT"}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, registry=_OneAlgorithm(algorithm))
