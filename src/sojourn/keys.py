"""Keys: secrets newest first → one derived key per purpose; signing keys newest first → kid, JWKS.

The newest seals and signs, all of them open and verify. A kid is looked up in a dict of known strings, never resolved
(RFC 8725 3.10).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sojourn.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from joserfc.jwk import ECKey, OKPKey, RSAKey

__all__ = ["MOST_KEYS", "Keyring", "SigningKey", "SigningKeys"]

MOST_KEYS: Final = 5
"""How many keys may be live at once: what one hostile token can cost in trials."""

Family = Literal["RS256", "ES256", "Ed25519"]
"""The one algorithm a key is for (RFC 8725 3.1)."""

# RFC 9864 names Ed25519 alone; keys and tokens made before it say EdDSA.
_JWK_ALGORITHMS: Final = {"RS256": ("RS256",), "ES256": ("ES256",), "Ed25519": ("Ed25519", "EdDSA")}
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class Keyring:
    """Secrets, newest first, and the keys derived from them, each derived once and kept."""

    def __init__(self, secrets: Sequence[str | bytes]) -> None:
        if isinstance(secrets, str | bytes):
            raise ConfigError("secrets", "one text", "Give a list of secrets, newest first.")
        if not 1 <= len(secrets) <= MOST_KEYS:
            fix = f"List 1 to {MOST_KEYS}, newest first; drop the oldest once no token made with it is alive."
            raise ConfigError("secrets", f"{len(secrets)} secrets", fix)
        self.secrets: Final = tuple(_as_bytes(secret) for secret in secrets)
        self._derived: dict[tuple[str, str, int], tuple[bytes, ...]] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.secrets)}>"

    def derive(self, *, info: str, salt: str = "", length: int = 32) -> tuple[bytes, ...]:
        """One key of `length` bytes for this purpose per secret, newest first (HKDF-SHA256, RFC 5869)."""
        purpose = (info, salt, length)
        if purpose not in self._derived:
            self._derived[purpose] = tuple(
                HKDF(hashes.SHA256(), length, salt.encode(), info.encode()).derive(secret) for secret in self.secrets
            )
        return self._derived[purpose]


def _as_bytes(secret: str | bytes) -> bytes:
    try:
        material = secret.encode() if isinstance(secret, str) else bytes(secret)
    except UnicodeEncodeError:
        raise ConfigError("secrets", "a secret that is not Unicode text", "Make one with `sojourn keys new`.") from None
    if not material:
        raise ConfigError("secrets", "an empty secret", "Make one with `sojourn keys new`.")
    return material


class SigningKey:
    """One asymmetric JWS key, parsed once: `family` names its only algorithm, `kid` is its name."""

    def __init__(self, text: str | bytes) -> None:
        key, stated = _parse(text)
        self.family: Final = _family(key)
        self._key: Final = key
        _check_use(stated, self.family)
        self.can_sign: Final = bool(key.is_private)
        kid = stated.get("kid")
        self.kid: Final[str] = kid if isinstance(kid, str) and kid else key.thumbprint()

    def __repr__(self) -> str:
        return f"<SigningKey {self.family} {self.kid}>"

    def public_jwk(self) -> dict[str, Any]:
        """The public half (RFC 7517). An Ed25519 key says no `alg`: both of its names are in use."""
        jwk: dict[str, Any] = {**self._key.as_dict(private=False), "kid": self.kid, "use": "sig"}
        jwk.pop("key_ops", None)
        jwk.pop("alg", None)
        if self.family != "Ed25519":
            jwk["alg"] = self.family
        return jwk

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over `data` (RFC 7518 3.3, 3.4; RFC 8037 3.1)."""
        # Only for asymmetric signatures, which take far longer than looking an imported module up.
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

        match self.family:
            case "RS256":
                return cast("RSAPrivateKey", self._key.private_key).sign(data, padding.PKCS1v15(), hashes.SHA256())
            case "ES256":
                private = cast("ec.EllipticCurvePrivateKey", self._key.private_key)
                r, s = utils.decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case _:
                return cast("Ed25519PrivateKey", self._key.private_key).sign(data)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` over `data`."""
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

        public = self._key.public_key
        try:
            match self.family:
                case "RS256":
                    cast("RSAPublicKey", public).verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
                case "ES256":
                    if len(signature) != 64:
                        return False
                    halves = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                    encoded = utils.encode_dss_signature(*halves)
                    cast("ec.EllipticCurvePublicKey", public).verify(encoded, data, ec.ECDSA(hashes.SHA256()))
                case _:
                    cast("Ed25519PublicKey", public).verify(signature, data)
        except InvalidSignature:
            return False
        return True


class SigningKeys:
    """Asymmetric JWS keys from PEM or JWK texts, newest first; the newest of the algorithm that signs is private."""

    def __init__(self, texts: Sequence[str | bytes]) -> None:
        if isinstance(texts, str | bytes) or len(texts) > MOST_KEYS:
            seen = "one text" if isinstance(texts, str | bytes) else f"{len(texts)} keys"
            raise _refusal(seen, f"List up to {MOST_KEYS} PEM or JWK texts, newest first.")
        self.keys: Final = tuple(SigningKey(text) for text in texts)
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise _refusal("two keys with one kid", "Give every key its own kid, or none at all.")

    def __repr__(self) -> str:
        return f"<SigningKeys {', '.join(key.kid for key in self.keys)}>"

    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The JWK set to publish (RFC 7517 5): public halves only."""
        return {"keys": [key.public_jwk() for key in self.keys]}


def _parse(text: str | bytes) -> tuple[RSAKey | ECKey | OKPKey, dict[str, Any]]:
    """The key, and what its JWK states beside it (nothing for a PEM)."""
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    data = text.encode() if isinstance(text, str) else text
    kinds: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weak keys, which `_family` refuses
        if data.lstrip().startswith(b"{"):
            with _unreadable():
                stated = msgspec.json.decode(data, type=dict[str, Any])
            kind = kinds.get(str(stated.get("kty")))
            if kind is None:
                fix = "HS256 keys are derived from `secrets`; give an RSA, P-256 or Ed25519 key."
                raise _refusal(f"kty {stated.get('kty')!r}", fix)
            with _unreadable():
                return kind.import_key(stated), stated
        for kind in kinds.values():
            with suppress(Exception):
                return kind.import_key(data), {}
    raise _refusal("a text that is no key", "Give an unencrypted PEM or a JWK of an RSA, P-256 or Ed25519 key.")


@contextmanager
def _unreadable() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- several libraries' own; their texts may quote the key
        raise _refusal(f"a key that cannot be read ({type(error).__name__})", "Give a valid JWK.") from None


def _refusal(seen: str, fix: str) -> ConfigError:
    return ConfigError("signing_keys", seen, fix)


def _family(key: RSAKey | ECKey | OKPKey) -> Family:
    """The one algorithm of this key (RFC 8725 3.1); refuses keys too weak to sign anything."""
    if key.key_type == "RSA":
        modulus = cast("RSAPublicKey", key.public_key).public_numbers().n  # of e < 3 there are no key objects
        if modulus.bit_length() < 2048:
            raise _refusal(f"an RSA key of {modulus.bit_length()} bits", "Make one of 2048 bits or more.")
        if _has_roca(modulus):
            raise _refusal("an RSA key that can be factored (CVE-2017-15361)", "Make a new one in software.")
        return "RS256"
    curve = cast("ECKey | OKPKey", key).curve_name
    match curve:
        case "P-256":
            return "ES256"
        case "Ed25519":
            return "Ed25519"
        case _:
            raise _refusal(f"a key on {curve}", "Signing keys are RSA, P-256 or Ed25519.")


def _has_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo each of these primes, as only the flawed generator's are."""
    return all(modulus % prime in {pow(65537, exponent, prime) for exponent in range(prime)} for prime in _ROCA_PRIMES)


def _check_use(stated: dict[str, Any], family: Family) -> None:
    algorithm = stated.get("alg", family)
    if algorithm not in _JWK_ALGORITHMS[family]:
        raise _refusal(f"alg {algorithm!r} on a key for {family}", f"Say {_JWK_ALGORITHMS[family][0]}, or nothing.")
    operations = stated.get("key_ops", ["sign"])
    if stated.get("use", "sig") != "sig" or not {"sign", "verify"} & set(operations):
        raise _refusal("a key that is not for signatures", 'Its "use" must be "sig", or absent.')
