"""The examples of RFC 7520, RFC 8037 and RFC 7797: those of our algorithms verify, all others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.errors import TokenError
from sojourn.keys import Keyring, SigningKeys
from sojourn.tokens import AuthJSV5, NextAuthV4
from sojourn.tokens.base64url import decode
from sojourn.tokens.signed import Algorithm, CompactJWS, HMACKey

FOLDER = Path(__file__).with_name("jose-vectors") / "rfc7520"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return found


def compact_of(name: str) -> str:
    return str(read(name)["output"]["compact"])


def test_hs256_figure_35() -> None:
    example = read("jws/4_4.hmac-sha2_integrity_protection.json")
    key = example["input"]["key"]
    verifier = CompactJWS("HS256", [HMACKey(decode(key["k"]), key["kid"])])
    assert verifier.open(example["output"]["compact"]).decode() == example["input"]["payload"]


@pytest.mark.parametrize(
    ("name", "algorithm"), [("jws/4_1.rsa_v15_signature.json", "RS256"), ("curve25519/jws.json", "EdDSA")]
)
def test_asymmetric_signatures(name: str, algorithm: Algorithm) -> None:
    example = read(name)
    keys = SigningKeys([json.dumps(example["input"]["key"])]).keys
    verifier = CompactJWS(algorithm, keys)
    assert verifier.open(example["output"]["compact"]).decode() == example["input"]["payload"]
    # PKCS#1 v1.5 and Ed25519 are deterministic: signing again gives the same signature.
    signed, _, signature = example["output"]["compact"].rpartition(".")
    assert keys[0].sign(signed.encode()) == decode(signature)


OTHERS = [
    name
    for name in sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json"))
    if "compact" in read(name).get("output", {})
    and name.split("/")[0] in {"jwe", "jws", "rfc7797"}
    and not name.startswith(("jws/4_1", "jws/4_4"))
]
ALL_KEYS = SigningKeys([json.dumps(read("jwk/3_4.rsa_private_key.json"))])
OCT = read("jwk/3_5.symmetric_key_mac_computation.json")


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_refused(name: str) -> None:
    token = compact_of(name)
    receivers: list[Any] = [
        CompactJWS("RS256", ALL_KEYS.keys),
        CompactJWS("HS256", [HMACKey(decode(OCT["k"]), OCT["kid"])]),
        NextAuthV4(Keyring(["secret"])),
        AuthJSV5(Keyring(["secret"]), salt="authjs.session-token"),
    ]
    for receiver in receivers:
        with pytest.raises(TokenError):
            receiver.open(token)


def test_there_are_others() -> None:
    assert len(OTHERS) >= 10
