"""Signed tokens: one algorithm, known keys, exact issuer and audience."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring, SigningKeys
from sojourn.tokens import Algorithm, SignedJWT
from sojourn.tokens.base64url import decode, encode
from sojourn.tokens.signed import CompactJWS, HMACKey

ISSUER, AUDIENCE = "https://app.example", "https://app.example/api"
RSA, EC, ED = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
NEWEST: dict[str, Any] = {"RS256": RSA, "ES256": EC, "Ed25519": ED}
OLDER: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
PAYLOAD = b'{"sub":"1","exp":1800000000}'
ALGORITHMS: tuple[Algorithm, ...] = ("HS256", "EdDSA", "Ed25519", "ES256", "RS256")


def keys_for(algorithm: Algorithm, *, older: bool = False) -> Keyring | SigningKeys:
    if algorithm == "HS256":
        return Keyring(["new", "old"]) if older else Keyring(["new"])
    family = "Ed25519" if algorithm == "EdDSA" else algorithm
    newest = NEWEST[family]
    keys = [newest, OLDER[family]] if older else [newest]
    return SigningKeys([key.as_pem(private=True) for key in keys])


def make(
    algorithm: Algorithm, keys: Keyring | SigningKeys | None = None, issuer: str = ISSUER, audience: str = AUDIENCE
) -> SignedJWT:
    return SignedJWT(algorithm, keys or keys_for(algorithm), issuer=issuer, audience=audience)


def refused(token_format: SignedJWT | CompactJWS, token: str) -> str:
    with pytest.raises(TokenError) as error:
        token_format.open(token)
    return error.value.step


every = pytest.mark.parametrize("algorithm", ALGORITHMS)


@every
def test_round_trip_with_issuer_and_audience(algorithm: Algorithm) -> None:
    ours = make(algorithm)
    token = ours.seal(PAYLOAD, b"entropy is not needed")
    assert json.loads(ours.open(token)) == {"sub": "1", "exp": 1800000000, "iss": ISSUER, "aud": AUDIENCE}
    header = json.loads(decode(token.split(".")[0]))
    assert header["alg"] == ours.name == algorithm
    assert header["typ"] == "JWT"
    assert header["kid"]


@every
def test_what_the_claims_say_of_iss_and_aud_is_overwritten(algorithm: Algorithm) -> None:
    ours = make(algorithm)
    opened = ours.open(ours.seal(b'{"iss":"evil","sub":"1","aud":["evil"]}'))
    assert opened == json.dumps({"iss": ISSUER, "sub": "1", "aud": AUDIENCE}, separators=(",", ":")).encode()


@every
def test_older_keys_verify_and_removed_keys_do_not(algorithm: Algorithm) -> None:
    both = keys_for(algorithm, older=True)
    old_only: Keyring | SigningKeys = Keyring(["old"])
    if isinstance(both, SigningKeys):
        old_only = SigningKeys([OLDER["Ed25519" if algorithm == "EdDSA" else algorithm].as_pem(private=True)])
    made_with_old = make(algorithm, old_only).seal(PAYLOAD)
    assert make(algorithm, both).open(made_with_old)
    assert make(algorithm).open(make(algorithm, both).seal(PAYLOAD))
    assert refused(make(algorithm), made_with_old) == "key"


@every
def test_issuer_and_audience_are_exact(algorithm: Algorithm) -> None:
    token = make(algorithm).seal(PAYLOAD)
    for other in (ISSUER[:-1], ISSUER + "/", ISSUER.upper(), ""):
        assert refused(make(algorithm, issuer=other), token) == "audience"
    for other in (AUDIENCE[:-1], AUDIENCE + "x", ""):
        assert refused(make(algorithm, audience=other), token) == "audience"


@pytest.mark.parametrize(
    ("claims", "step"),
    [
        ({"iss": ISSUER, "aud": [AUDIENCE]}, None),
        ({"iss": ISSUER, "aud": [AUDIENCE, "other"]}, "audience"),
        ({"iss": ISSUER, "aud": []}, "audience"),
        ({"iss": ISSUER}, "audience"),
        ({"aud": AUDIENCE}, "audience"),
        ({"iss": None, "aud": AUDIENCE}, "audience"),
        ({"iss": [ISSUER], "aud": AUDIENCE}, "claims"),
        ({"iss": ISSUER, "aud": {"x": 1}}, "claims"),
        ([], "claims"),
        ("text", "claims"),
    ],
    ids=str,
)
def test_parties_of_a_token_made_elsewhere(claims: Any, step: str | None) -> None:
    token = CompactJWS("HS256", [HMACKey(Keyring(["new"]).derive(info="Sojourn JWS HS256")[0])]).seal(
        json.dumps(claims).encode()
    )
    if step is None:
        assert make("HS256").open(token)
    else:
        assert refused(make("HS256"), token) == step


def test_a_depth_bomb_is_a_refusal() -> None:
    bomb = b'{"x":' + b"[" * 9000 + b"]" * 9000 + b"}"
    signer = CompactJWS("HS256", [HMACKey(Keyring(["new"]).derive(info="Sojourn JWS HS256")[0])])
    assert refused(make("HS256"), signer.seal(bomb)) in {"form", "claims"}


def test_both_names_of_ed25519_are_read() -> None:
    for written in ("EdDSA", "Ed25519"):
        for read in ("EdDSA", "Ed25519"):
            assert make(read).open(make(written).seal(PAYLOAD))


@every
def test_no_algorithm_stands_in_for_another(algorithm: Algorithm) -> None:
    keys = SigningKeys([key.as_pem(private=True) for key in (RSA, EC, ED)])
    for other in ALGORITHMS:
        names = {algorithm, other}
        if algorithm == other or names == {"EdDSA", "Ed25519"}:
            continue
        token = make(other, None if other == "HS256" else keys).seal(PAYLOAD)
        assert refused(make(algorithm, None if algorithm == "HS256" else keys), token) == "header"


def signed_by_hand(header: dict[str, Any], secret: bytes, payload: bytes = PAYLOAD) -> str:
    data = f"{encode(json.dumps(header).encode())}.{encode(payload)}"
    return f"{data}.{encode(hmac.digest(secret, data.encode(), 'sha256'))}"


def test_a_public_key_is_never_hmac_material() -> None:
    for algorithm, key in (("RS256", RSA), ("ES256", EC)):
        pem = key.as_pem(private=False)
        token = signed_by_hand({"alg": "HS256", "kid": key.thumbprint()}, pem)
        assert refused(make(algorithm), token) == "header"  # type: ignore[arg-type]


KEY = HMACKey(b"k" * 32, "mine")
HS256 = CompactJWS("HS256", [KEY, HMACKey(b"o" * 32, "old")])


@pytest.mark.parametrize(
    ("header", "step"),
    [
        ({"alg": "HS256", "kid": "mine"}, None),
        ({"kid": "mine", "alg": "HS256", "typ": "JWT"}, None),
        ({"alg": "HS256"}, None),
        ({"alg": "HS256", "kid": "old"}, "signature"),
        ({"alg": "HS256", "kid": "other"}, "key"),
        ({"alg": "HS256", "kid": ""}, "key"),
        ({"alg": "HS256", "kid": ["mine"]}, "header"),
        ({"alg": "none"}, "header"),
        ({"alg": "NONE", "kid": "mine"}, "header"),
        ({"alg": "hs256", "kid": "mine"}, "header"),
        ({"alg": "HS384", "kid": "mine"}, "header"),
        ({"kid": "mine"}, "header"),
        ({"alg": "HS256", "kid": "mine", "typ": "logout+jwt"}, "header"),
        ({"alg": "HS256", "kid": "mine", "b64": False, "crit": ["b64"]}, "header"),
        ({"alg": "HS256", "kid": "mine", "crit": []}, "header"),
        ({"alg": "HS256", "jwk": {"kty": "oct", "k": encode(b"k" * 32)}}, "header"),
        ({"alg": "HS256", "x5u": "http://127.0.0.1/"}, "header"),
    ],
    ids=str,
)
def test_headers(header: dict[str, Any], step: str | None) -> None:
    token = signed_by_hand(header, b"k" * 32)
    if step is None:
        assert HS256.open(token) == PAYLOAD
    else:
        assert refused(HS256, token) == step


def test_an_older_key_without_kid() -> None:
    assert HS256.open(signed_by_hand({"alg": "HS256"}, b"o" * 32)) == PAYLOAD
    assert refused(HS256, signed_by_hand({"alg": "HS256"}, b"x" * 32)) == "signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token.rpartition(".")[0],
        lambda token: token + "=",
        lambda token: token + " ",
        lambda token: token.replace(".", "..", 1),
        lambda token: token[:-1] + chr(ord(token[-1]) + 1),
        lambda token: token + "A" * 20_000,
        lambda token: json.dumps({"payload": token}),
    ],
)
def test_forms(change: Any) -> None:
    token = HS256.seal(b'{"a":1}')
    assert refused(HS256, change(token)) == "form"


def test_a_changed_signature() -> None:
    data, _, signature = HS256.seal(PAYLOAD).rpartition(".")
    changed = bytes([decode(signature)[0] ^ 1]) + decode(signature)[1:]
    assert refused(HS256, f"{data}.{encode(changed)}") == "signature"
    assert refused(HS256, f"{data}.") == "signature"
    assert refused(HS256, f"{data}.{signature[:-3]}") in {"form", "signature"}


def test_short_hmac_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="31 bytes"):
        HMACKey(b"k" * 31)
    key = b"k" * 32
    expected = hashlib.sha256(json.dumps({"k": encode(key), "kty": "oct"}, separators=(",", ":")).encode()).digest()
    assert HMACKey(key).kid == encode(expected) == OctKey.import_key(key).thumbprint()


@pytest.mark.parametrize(
    ("algorithm", "keys"),
    [
        ("HS512", Keyring(["x"])),
        ("none", Keyring(["x"])),
        ("RS256", Keyring(["x"])),
        ("HS256", SigningKeys([RSA.as_pem(private=True)])),
        ("ES256", SigningKeys([RSA.as_pem(private=True)])),
        ("RS256", SigningKeys([RSA.as_pem(private=False)])),
        ("RS256", SigningKeys([])),
    ],
)
def test_keys_that_do_not_fit(algorithm: Any, keys: Keyring | SigningKeys) -> None:
    with pytest.raises(ConfigError):
        make(algorithm, keys)


@pytest.mark.parametrize("algorithm", ["HS256", "Ed25519", "ES256", "RS256"])
def test_joserfc_verifies_ours(algorithm: Algorithm) -> None:
    keys: dict[str, Any] = {"RS256": RSA, "ES256": EC, "Ed25519": ED}
    keys["HS256"] = OctKey.import_key(Keyring(["new"]).derive(info="Sojourn JWS HS256")[0])
    token = make(algorithm).seal(PAYLOAD)
    assert jws.deserialize_compact(token, keys[algorithm], algorithms=[algorithm]).payload == make(algorithm).open(
        token
    )
