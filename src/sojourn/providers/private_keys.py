"""The application's own private key for `private_key_jwt` (RFC 7523): read, and matched with its algorithm."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

__all__ = ["read"]

PrivateKey = RSAKey | ECKey | OKPKey

_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


def read(source: str) -> tuple[PrivateKey, str]:
    """The key and its one algorithm, from a PEM or JWK text; a `ValueError` never says what was in it."""
    key = _import(source)
    if not key.is_private:
        raise ValueError("it is no private key")
    if isinstance(key, RSAKey):
        if key.raw_value.key_size < 2048:
            raise ValueError("an RSA key needs 2048 bits or more")
        return key, "RS256"
    algorithm = _BY_CURVE.get(key.curve_name)
    if algorithm is None:
        raise ValueError("its curve is not one of P-256, P-384, P-521, Ed25519")
    return key, algorithm


def _import(source: str) -> PrivateKey:
    try:
        value: Any = msgspec.json.decode(source) if source.lstrip().startswith("{") else source
    except ValueError:
        raise ValueError("it is no JWK: not a JSON object") from None
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a small key, which is refused
                return kind.import_key(value)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    raise ValueError("it is neither a PEM nor a JWK text that can be read")
