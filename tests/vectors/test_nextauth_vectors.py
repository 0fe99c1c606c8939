"""Tokens of next-auth 4 and @auth/core, read and written byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.errors import TokenError
from sojourn.keys import Keyring
from sojourn.tokens import AuthJSV5, NextAuthV4
from sojourn.tokens.raw import open_token, seal_token

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
MADE = [*VECTORS["v4_jwe"], *VECTORS["v4_check_cookies"], *VECTORS["v5_jwe"], *VECTORS["v5_check_cookies"]]
CASES = [*VECTORS["v4_decode_cases"], *VECTORS["v5_decode_cases"]]

# What the packages accept and we refuse: the case's reason -> our step.
STRICTER = {
    "no exp at all: accepted, never expires": "claims",
    "alg dir, enc A128CBC-HS256 with the same 32-byte key: v4 has no algorithm allow-list": "header",
    "alg A256GCMKW": "header",
    "PBES2": "header",
    "zip DEF": "header",
}


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["id"])


def compat_of(vector: dict[str, Any]) -> str:
    return "nextauth-v4" if vector["id"].startswith("v4") else "authjs-v5"


def secrets_of(vector: dict[str, Any]) -> list[str | bytes]:
    if "secret_hex" in vector:
        return [bytes.fromhex(vector["secret_hex"])]
    return list(vector.get("decode_with") or vector.get("secrets") or [vector["secret"]])


def format_of(vector: dict[str, Any]) -> NextAuthV4 | AuthJSV5:
    keyring = Keyring(secrets_of(vector))
    if compat_of(vector) == "nextauth-v4":
        return NextAuthV4(keyring, salt=vector["salt"])
    return AuthJSV5(keyring, salt=vector["salt"])


@pytest.mark.parametrize("vector", MADE, ids=name_of)
def test_their_tokens_open(vector: dict[str, Any]) -> None:
    assert format_of(vector).open(vector["token"]) == vector["plaintext"].encode()
    claims = open_token(
        vector["token"], secrets_of(vector), compat=compat_of(vector), salt=vector["salt"], now=vector["made_at"]
    )
    assert claims == json.loads(vector["plaintext"])


@pytest.mark.parametrize("vector", MADE, ids=name_of)
def test_keys_are_derived_alike(vector: dict[str, Any]) -> None:
    salt = vector["salt"]
    info = {"nextauth-v4": "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")}
    text = info.get(compat_of(vector), f"Auth.js Generated Encryption Key ({salt})")
    length = len(vector["derived_key_hex"]) // 2
    derived = Keyring(secrets_of(vector)).derive(info=text, salt=salt, length=length)[0]
    assert derived.hex() == vector["derived_key_hex"]


@pytest.mark.parametrize("vector", [*VECTORS["v4_fixed_iv"], *VECTORS["v5_fixed_iv"]], ids=name_of)
def test_our_tokens_are_theirs_to_the_byte(vector: dict[str, Any]) -> None:
    iv = bytes.fromhex(vector["iv_hex"])
    assert format_of(vector).seal(vector["plaintext"].encode(), iv.ljust(16, b"\0")) == vector["token"]


@pytest.mark.parametrize("vector", MADE, ids=name_of)
def test_claims_are_written_as_they_write_them(vector: dict[str, Any]) -> None:
    """Same members, same order, same bytes, but for the random `jti`."""
    claims = json.loads(vector["plaintext"])
    token = seal_token(
        claims,
        secrets_of(vector),
        compat=compat_of(vector),
        salt=vector["salt"],
        now=vector["made_at"],
        max_age=vector["max_age"],
    )
    opened = format_of(vector).open(token).decode()
    assert opened.replace(json.loads(opened)["jti"], claims["jti"]) == vector["plaintext"]


@pytest.mark.parametrize("vector", CASES, ids=name_of)
def test_verdicts(vector: dict[str, Any]) -> None:
    def opened() -> dict[str, Any]:
        return open_token(
            vector["token"],
            secrets_of(vector),
            compat=compat_of(vector),
            salt=vector["salt"],
            now=vector["decoded_at"],
        )

    if vector["ok"] and vector["why"] not in STRICTER:
        assert opened() == vector["claims"]
    else:
        with pytest.raises(TokenError) as refused:
            opened()
        assert refused.value.step == STRICTER.get(vector["why"], refused.value.step)


def test_every_difference_is_in_the_vectors() -> None:
    assert set(STRICTER) <= {vector["why"] for vector in CASES if vector["ok"]}
