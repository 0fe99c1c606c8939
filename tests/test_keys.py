"""Secrets become keys, keys become kids and JWKS; weak and foreign ones are refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sojourn.errors import ConfigError
from sojourn.keys import MOST_KEYS, Keyring, SigningKey, SigningKeys

RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
ED = OKPKey.generate_key("Ed25519")
FAMILIES: dict[str, RSAKey | ECKey | OKPKey] = {"RS256": RSA, "ES256": EC, "Ed25519": ED}


def text_of(key: RSAKey | ECKey | OKPKey, **more: Any) -> str:
    return json.dumps({**key.as_dict(private=True), **more})


def test_one_key_per_secret_newest_first() -> None:
    keyring = Keyring(["new", b"old"])
    assert keyring.secrets == (b"new", b"old")
    expected = tuple(HKDF(hashes.SHA256(), 64, b"salt", b"Sojourn test").derive(secret) for secret in (b"new", b"old"))
    assert keyring.derive(info="Sojourn test", salt="salt", length=64) == expected


def test_keys_are_derived_once_and_differ_by_purpose() -> None:
    keyring = Keyring(["secret"])
    assert keyring.derive(info="Sojourn a") is keyring.derive(info="Sojourn a")
    assert len({keyring.derive(info=info, salt=salt) for info in ("a", "b") for salt in ("", "c")}) == 4


@pytest.mark.parametrize(
    ("secrets", "seen"),
    [
        ([], "0 secrets"),
        (["x"] * (MOST_KEYS + 1), "6 secrets"),
        ("one text", "one text"),
        (b"one text", "one text"),
        ([""], "an empty secret"),
        (["\ud800"], "not Unicode"),
    ],
)
def test_secrets_that_cannot_work(secrets: Any, seen: str) -> None:
    with pytest.raises(ConfigError, match=seen) as refused:
        Keyring(secrets)
    assert refused.value.key == "secrets"


def test_reprs_show_no_secret() -> None:
    assert "hunter2" not in repr(Keyring(["hunter2"]))
    assert repr(SigningKeys([text_of(ED)])) == f"<SigningKeys {ED.thumbprint()}>"
    assert repr(SigningKey(text_of(ED))) == f"<SigningKey Ed25519 {ED.thumbprint()}>"


@pytest.mark.parametrize("family", FAMILIES)
def test_pem_and_jwk_are_one_key_with_the_thumbprint_as_kid(family: str) -> None:
    key = FAMILIES[family]
    from_jwk, from_pem = SigningKey(text_of(key)), SigningKey(key.as_pem(private=True))
    public = SigningKey(key.as_pem(private=False).decode())
    assert from_jwk.kid == from_pem.kid == public.kid == key.thumbprint()
    assert (from_jwk.family, from_jwk.can_sign, public.can_sign) == (family, True, False)
    signature = from_pem.sign(b"data")
    assert public.verify(b"data", signature)
    assert not public.verify(b"date", signature)
    assert not public.verify(b"data", signature[:-1])
    assert not public.verify(b"data", signature + b"\0")


def test_a_stated_kid_is_kept() -> None:
    assert SigningKey(text_of(EC, kid="mine")).kid == "mine"
    assert SigningKey(text_of(EC, kid="")).kid == EC.thumbprint()


def test_the_published_set_holds_public_halves_only() -> None:
    stated = {"alg": "EdDSA", "key_ops": ["sign"]}
    jwks = SigningKeys([text_of(RSA), text_of(EC, use="sig", alg="ES256"), text_of(ED, **stated)]).public_jwks()
    rsa_jwk, ec_jwk, ed_jwk = jwks["keys"]
    assert set(rsa_jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert set(ec_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert set(ed_jwk) == {"kty", "crv", "x", "kid", "use"}
    assert (rsa_jwk["alg"], ec_jwk["alg"], ed_jwk["use"]) == ("RS256", "ES256", "sig")
    assert SigningKeys([]).public_jwks() == {"keys": []}


def small_rsa() -> str:
    key = rsa.generate_private_key(65537, 1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def other_curve() -> bytes:
    return (
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "no key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "no key"),
        ('{"kty":"oct","k":"AAAA"}', "kty 'oct'"),
        ("{}", "kty None"),
        ("{", "cannot be read"),
        ('{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}', "cannot be read"),
        (small_rsa(), "1024 bits"),
        (other_curve(), "P-384"),
        (text_of(EC, use="enc"), "not for signatures"),
        (text_of(EC, key_ops=["deriveKey"]), "not for signatures|cannot be read"),
        (text_of(EC, alg="ES384"), "alg 'ES384'"),
        (text_of(RSA, alg="PS256"), "alg 'PS256'"),
    ],
)
def test_keys_that_cannot_sign_a_session(text: str | bytes, seen: str) -> None:
    with pytest.raises(ConfigError, match=seen) as refused:
        SigningKey(text)
    assert refused.value.key == "signing_keys"


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        ("one text", "one text"),
        ([text_of(ED)] * 6, "6 keys"),
        ([text_of(ED), text_of(ED)], "one kid"),
    ],
)
def test_lists_that_cannot_work(texts: Any, seen: str) -> None:
    with pytest.raises(ConfigError, match=seen):
        SigningKeys(texts)


def test_a_refused_key_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as refused:
        SigningKey('{"kty":"RSA","n":"c2VjcmV0","e":"AQAB","d":"hunter2"}')
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
