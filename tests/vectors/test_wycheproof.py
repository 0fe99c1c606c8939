"""Wycheproof: the primitives under our tokens, signatures we verify, and everything else refused in one way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring, SigningKey, SigningKeys
from sojourn.tokens import AuthJSV5, NextAuthV4, SignedJWT, sealed
from sojourn.tokens.base64url import decode, encode
from sojourn.tokens.signed import CompactJWS, HMACKey

FOLDER = Path(__file__).with_name("jose-vectors") / "wycheproof"


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["testGroups"]
    return found


def cases(name: str, **wanted: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (group, case)
        for group in groups(name)
        if all(group[key] == value for key, value in wanted.items())
        for case in group["tests"]
    ]


def unhex(case: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


# primitives, through our own formats where they reach them


def test_aes_gcm() -> None:
    found = cases("aes_gcm_test", keySize=256, ivSize=96, tagSize=128)
    assert len(found) == 66
    for _, case in found:
        key, iv, aad, message, text, tag = unhex(case, "key", "iv", "aad", "msg", "ct", "tag")
        if case["result"] == "valid":
            assert AESGCM(key).decrypt(iv, text + tag, aad) == message
            assert AESGCM(key).encrypt(iv, message, aad) == text + tag
        else:
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(iv, text + tag, aad)


def test_hkdf() -> None:
    for _, case in cases("hkdf_sha256_test"):
        secret, salt, info, expected = unhex(case, "ikm", "salt", "info", "okm")
        if case["result"] != "valid":
            assert case["size"] > 255 * 32
            continue
        try:
            texts = {"salt": salt.decode(), "info": info.decode()}
        except UnicodeDecodeError:
            continue  # our purposes are texts
        assert Keyring([secret]).derive(**texts, length=case["size"])[0] == expected


def test_a256cbc_hs512(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, case in cases("a256cbc_hs512_test"):
        key, iv, aad, message, text, tag = unhex(case, "key", "iv", "aad", "msg", "ct", "tag")
        header = aad.decode("latin-1")
        monkeypatch.setattr(
            "sojourn.tokens.sealed.hmac.digest",
            lambda mac, data, name, aad=aad, header=header: _hmac(mac, data, name, aad, header),
        )
        token = f"..{encode(iv)}.{encode(text)}.{encode(tag)}"
        if case["result"] == "valid":
            assert sealed._open_cbc(token, header, key, "signature") == message
        else:
            with pytest.raises(TokenError):
                sealed._open_cbc(token, header, key, "signature")


def _hmac(mac: bytes, data: bytes, name: str, aad: bytes, header: str) -> bytes:
    """The additional data of these vectors are bytes, a header is a text: put the bytes back before the MAC is made."""
    import hashlib
    import hmac

    as_text = header.encode()
    bits, expected = (8 * len(as_text)).to_bytes(8, "big"), (8 * len(aad)).to_bytes(8, "big")
    assert data.startswith(as_text)
    assert data.endswith(bits)
    return hmac.new(mac, aad + data[len(as_text) : -8] + expected, getattr(hashlib, name)).digest()


def test_hmac_sha256() -> None:
    for group, case in cases("hmac_sha256_test"):
        key, message, tag = unhex(case, "key", "msg", "tag")
        if len(key) < 32:
            with pytest.raises(ConfigError):
                HMACKey(key)
        elif group["tagSize"] == 256:
            assert HMACKey(key).verify(message, tag) == (case["result"] == "valid")
        else:  # a cut tag is no tag
            assert not HMACKey(key).verify(message, tag)


def test_ed25519() -> None:
    for group, case in cases("ed25519_test"):
        key = SigningKey(json.dumps({**group["publicKeyJwk"], "kid": "none"}))
        message, signature = unhex(case, "msg", "sig")
        assert key.verify(message, signature) == (case["result"] == "valid")
        assert isinstance(key._key.public_key, Ed25519PublicKey)


def test_ecdsa() -> None:
    for group, case in cases("ecdsa_secp256r1_sha256_p1363_test"):
        message, signature = unhex(case, "msg", "sig")
        assert SigningKey(group["publicKeyPem"]).verify(message, signature) == (case["result"] == "valid")


def test_rsa() -> None:
    for group, case in cases("rsa_signature_2048_sha256_test"):
        message, signature = unhex(case, "msg", "sig")
        if case["result"] != "acceptable":  # an old encoding that we need not take
            assert SigningKey(group["publicKeyPem"]).verify(message, signature) == (case["result"] == "valid")


# JOSE

# Marked wrongly where they come from: see jose-vectors/README.md.
SAME_AS_A_VALID_ONE = {367, 370}
MARKED_VALID_BUT_MALFORMED = {372, 373}
KEY_AND_TOKEN_DISAGREE = {346, 347, 350, 351}


def verifier(jwk: dict[str, Any]) -> CompactJWS:
    """What an application that trusts this key would configure; raises `ConfigError` for keys that nobody should."""
    if jwk["kty"] == "oct":
        if jwk.get("alg") != "HS256":
            raise ConfigError("secrets", "alg", "")
        return CompactJWS("HS256", [HMACKey(decode(jwk["k"]), jwk["kid"])])
    key = SigningKeys([json.dumps(jwk)]).keys[0]
    return CompactJWS(key.family, [key])


def opens(jwk: dict[str, Any], token: object) -> bool:
    try:
        verifier(jwk).open(token if isinstance(token, str) else json.dumps(token))
    except (TokenError, ConfigError):
        return False
    return True


def test_signatures() -> None:
    judged = 0
    for group in groups("json_web_signature_test"):
        jwk = group.get("public") or group["private"]
        for case in group["tests"]:
            number = case["tcId"]
            if number in SAME_AS_A_VALID_ONE:
                continue
            algorithms = {"HS256", "RS256", "ES256"}
            ours = jwk.get("alg", "RS256" if jwk["kty"] == "RSA" else "ES256") in algorithms
            wanted = (
                case["result"] == "valid" and ours and number not in MARKED_VALID_BUT_MALFORMED | KEY_AND_TOKEN_DISAGREE
            )
            assert opens(jwk, case["jws"]) == wanted, (number, case["comment"])
            judged += 1
    assert judged == 401 - len(SAME_AS_A_VALID_ONE)


def test_key_sets() -> None:
    for group in groups("json_web_key_test"):
        keys = (group.get("public") or group["private"])["keys"]
        kinds = {(key["kty"], key.get("alg")) for key in keys}
        for case in group["tests"]:
            if case["comment"] == "rejectsDuplicateKid":
                with pytest.raises(ConfigError, match="kid"):
                    SigningKeys([json.dumps(SAMPLE | {"kid": "one"}), json.dumps(OTHER | {"kid": "one"})])
                continue
            # A set with several kinds of keys is none of ours: one application has one algorithm.
            found = len(kinds) == 1 and any(opens(key, case["jws"]) for key in keys)
            wanted = case["result"] == "valid" and kinds <= {("oct", "HS256"), ("RSA", "RS256"), ("EC", "ES256")}
            assert found == wanted, (case["tcId"], case["comment"])


SAMPLE, OTHER = (
    {"kty": "OKP", "crv": "Ed25519", "x": group["publicKeyJwk"]["x"]} for group in groups("ed25519_test")[:2]
)
RECEIVERS: list[Any] = [
    NextAuthV4(Keyring(["secret"])),
    AuthJSV5(Keyring(["secret"]), salt="authjs.session-token"),
    SignedJWT("HS256", Keyring(["secret"]), issuer="i", audience="a"),
]


@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda receiver: receiver.name)
@pytest.mark.parametrize(("name", "count"), [("json_web_encryption_test", 139), ("json_web_crypto_test", 83)])
def test_every_other_algorithm_is_refused_at_once(receiver: Any, name: str, count: int) -> None:
    found = cases(name)
    assert len(found) == count
    for _, case in found:
        token = case.get("jwe", case.get("jws"))
        began = time.perf_counter()
        with pytest.raises(TokenError):
            receiver.open(token if isinstance(token, str) else json.dumps(token))
        assert time.perf_counter() - began < 0.5
