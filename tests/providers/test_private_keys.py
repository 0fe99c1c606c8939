from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from sojourn.providers import private_keys

KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "ES512": ECKey.generate_key("P-521"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_algorithm_follows_from_the_key(algorithm: str) -> None:
    key = KEYS[algorithm]
    for source in (key.as_pem(private=True).decode(), json.dumps(key.as_dict(private=True))):
        read, found = private_keys.read(source)
        assert found == algorithm
        assert read.thumbprint() == key.thumbprint()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (KEYS["RS256"].as_pem(private=False).decode(), "no private key"),
        (json.dumps(KEYS["ES256"].as_dict(private=False)), "no private key"),
        (OKPKey.generate_key("X25519").as_pem(private=True).decode(), "curve"),
        (json.dumps(OctKey.generate_key(256).as_dict(private=True)), "neither"),
        ("hunter2", "neither"),
        ("{hunter2", "not a JSON object"),
        ('{"kty": "RSA", "n": 1}', "neither"),
    ],
)
def test_refuses_without_showing(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        private_keys.read(source)
    assert "hunter2" not in str(caught.value)


def test_refuses_a_small_rsa_key() -> None:
    pem = rsa.generate_private_key(public_exponent=65537, key_size=1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="2048"):
        private_keys.read(pem.decode())
