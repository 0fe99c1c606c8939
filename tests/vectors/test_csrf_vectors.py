"""The CSRF pairs of both npm packages, checked and made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.policy.csrf import read_or_make, refuse

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
ORIGIN = "http://localhost:3000"

# Token of a vector -> why we answer otherwise than the package, which takes any text as a token.
DIFFERENT = {
    "not-hex": "a token is 64 lower-case hex digits, what every version of both packages makes",
    "": "an empty token is known to everybody",
}


def secrets_of(vector: dict[str, Any]) -> list[bytes]:
    return [text.encode() for text in vector.get("secrets") or [vector["secret"]]]


@pytest.mark.parametrize("vector", VECTORS["v4_csrf"] + VECTORS["v5_csrf"], ids=lambda vector: vector["token"][:8])
def test_pairs_are_read_and_made_alike(vector: dict[str, Any]) -> None:
    secrets = secrets_of(vector)
    assert read_or_make(vector["cookie_value"], secrets, str, joined_hash=True).verified_cookie
    made = read_or_make(None, secrets, lambda: vector["token"], joined_hash=True)
    assert made.cookie_value == vector["cookie_value"]


CHECKS = [(vector["secret"], check) for vector in VECTORS["v4_csrf"] for check in vector["checks"]]


@pytest.mark.parametrize(("secret", "check"), CHECKS)
def test_verdicts_of_next_auth(secret: str, check: dict[str, Any]) -> None:
    fresh = "0" * 64
    pair = read_or_make(check["cookie_value"], [secret.encode()], lambda: fresh, joined_hash=False)
    assert pair.verified_cookie is not check["new_cookie_issued"]
    passes = check["is_post"] and refuse(pair, check["body_value"], origin=ORIGIN, headers={}) is None
    assert passes is bool(check["verified"])


@pytest.mark.parametrize("vector", VECTORS["v4_csrf_fixed"], ids=lambda vector: vector["token"][:8])
def test_given_tokens(vector: dict[str, Any]) -> None:
    pair = read_or_make(f"{vector['token']}|{vector['hash']}", secrets_of(vector), str, joined_hash=False)
    assert pair.verified_cookie is (vector["accepted_by_package"] and vector["token"] not in DIFFERENT)
