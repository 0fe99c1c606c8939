"""Checking and making a session token, beside the primitive under it and beside other libraries, in one run.

Rounds are interleaved, so that whatever slows the machine slows everybody. `SOJOURN_NODE` and `SOJOURN_JS` (a folder
with `node_modules`) add next-auth's own `decode`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sojourn import Claims
from sojourn.claims import ClaimsCodec
from sojourn.keys import Keyring
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import system_clock
from sojourn.strategies import JWTStrategy
from sojourn.tokens import NextAuthV4
from sojourn.tokens.raw import seal_token

ROUNDS: Final = 15
ROUND: Final = 0.01  # seconds of one measurement
SECRET: Final = "measured-with-this-secret-of-32-bytes"
HEADER: Final = b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"
BUDGETS: Final = {"verify, new token": 4.7 if find_spec("pybase64") else 5.5, "verify, seen token": 1.0, "issue": 4.5}
FASTER: Final = {
    "PyJWT HS256": 9.0,
    "joserfc JWE": 9.0,
    "python-jose JWE": 4.5,
    "next-auth decode (Node)": 10.0,
}

Call = Callable[[], Any]


class MyClaims(Claims):
    """The claims that most applications have."""

    username: str | None = None
    is_sponsor: bool = False


CLAIMS: Final = MyClaims(
    sub="5f1c2f0e7d7e4a52",
    name="Ada Lovelace",
    email="ada@example.com",
    picture="https://example.com/people/ada.png",
    username="ada",
)


def make_strategy() -> JWTStrategy[MyClaims]:
    return JWTStrategy(
        token_format=NextAuthV4(Keyring([SECRET])),
        codec=ClaimsCodec(MyClaims),
        lifetimes=Lifetimes(max_age=43_200, update_age=3600, grace_period=900, absolute_age=2_592_000),
        ended=EndedSessions(),
        clock=system_clock,
        budget=19_000,
    )


def ours() -> tuple[dict[str, Call], bytes]:
    """Our calls, and the payload that they carry; a new token is one that the strategy does not remember."""
    strategy, forgetful, remembering = make_strategy(), make_strategy(), make_strategy()
    forgetful._shareable = False
    token = strategy.issue(CLAIMS).token
    profile = {"name": CLAIMS.name, "email": CLAIMS.email, "picture": CLAIMS.picture, "sub": CLAIMS.sub}
    elsewhere = seal_token(profile, [SECRET], now=system_clock(), max_age=3600)
    calls: dict[str, Call] = {
        "verify, new token": lambda: forgetful.verify(token),
        "verify, new token made by NextAuth": lambda: forgetful.verify(elsewhere),
        "verify, seen token": lambda: remembering.verify(token),
        "issue": lambda: strategy.issue(CLAIMS),
    }
    return calls, NextAuthV4(Keyring([SECRET])).open(token)


def peers(payload: bytes) -> tuple[dict[str, Call], list[str]]:
    """Other libraries' ways from token to claims, each as its documentation says; and those that are not installed."""
    claims, key = json.loads(payload), os.urandom(32)
    found: dict[str, Call] = {}
    missing: list[str] = []
    for library, make in (
        ("joserfc", _joserfc),
        ("jwt", _pyjwt),
        ("jose", _python_jose),
        ("jwcrypto", _jwcrypto),
        ("authlib", _authlib),
    ):
        if find_spec(library) is None:
            missing.append(library)
        else:
            found |= make(claims, key)
    return found, missing


def _joserfc(claims: dict[str, Any], key: bytes) -> dict[str, Call]:
    from joserfc import jwe, jwt
    from joserfc.jwk import OctKey

    octets, registry = OctKey.import_key(key), jwt.JWTClaimsRegistry()
    sealers = jwe.JWERegistry(algorithms=["dir", "A256GCM"])
    sealed = jwt.encode({"alg": "dir", "enc": "A256GCM"}, claims, octets, registry=sealers)
    signed = jwt.encode({"alg": "HS256"}, claims, octets)
    return {
        "joserfc JWE": lambda: registry.validate(jwt.decode(sealed, octets, registry=sealers).claims),
        "joserfc HS256": lambda: registry.validate(jwt.decode(signed, octets, algorithms=["HS256"]).claims),
    }


def _pyjwt(claims: dict[str, Any], key: bytes) -> dict[str, Call]:
    jwt = import_module("jwt")
    signed = jwt.encode(claims, key, algorithm="HS256")
    return {"PyJWT HS256": lambda: jwt.decode(signed, key, algorithms=["HS256"])}


def _python_jose(claims: dict[str, Any], key: bytes) -> dict[str, Call]:
    jwe, jwt = import_module("jose.jwe"), import_module("jose.jwt")
    sealed = jwe.encrypt(json.dumps(claims), key, algorithm="dir", encryption="A256GCM")
    signed = jwt.encode(claims, key.hex(), algorithm="HS256")
    return {
        "python-jose JWE": lambda: json.loads(jwe.decrypt(sealed, key)),
        "python-jose HS256": lambda: jwt.decode(signed, key.hex(), algorithms=["HS256"]),
    }


def _jwcrypto(claims: dict[str, Any], key: bytes) -> dict[str, Call]:
    jwk, jwt = import_module("jwcrypto.jwk"), import_module("jwcrypto.jwt")
    octets = jwk.JWK(kty="oct", k=jwk.base64url_encode(key))
    made = jwt.JWT(header={"alg": "dir", "enc": "A256GCM"}, claims=claims)
    made.make_encrypted_token(octets)
    sealed = made.serialize()
    return {"jwcrypto JWE": lambda: json.loads(jwt.JWT(jwt=sealed, key=octets, expected_type="JWE").claims)}


def _authlib(claims: dict[str, Any], key: bytes) -> dict[str, Call]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jose = import_module("authlib.jose")
    octets = jose.OctKey.import_key(key)
    sealer, signer = jose.JsonWebEncryption(), jose.JsonWebToken(["HS256"])
    sealed = sealer.serialize_compact({"alg": "dir", "enc": "A256GCM"}, json.dumps(claims).encode(), octets)
    signed = signer.encode({"alg": "HS256"}, claims, octets)
    return {
        "authlib JWE": lambda: json.loads(sealer.deserialize_compact(sealed, octets)["payload"]),
        "authlib HS256": lambda: signer.decode(signed, octets).validate(),
    }


def node_decode() -> float | None:
    """Microseconds of next-auth's own `decode`, or None without Node and the package."""
    node, folder = os.environ.get("SOJOURN_NODE"), os.environ.get("SOJOURN_JS")
    if not node or not folder or not (Path(folder) / "node_modules" / "next-auth").is_dir():
        return None
    token = seal_token({"sub": "1", "name": "Ada Lovelace", "email": "ada@example.com"}, [SECRET], now=system_clock())
    code = f"""
const {{ decode }} = require("next-auth/jwt");
(async () => {{
  const rounds = [];
  for (let round = 0; round < {ROUNDS}; round++) {{
    const began = process.hrtime.bigint();
    for (let i = 0; i < 500; i++) await decode({{ token: "{token}", secret: "{SECRET}" }});
    rounds.push(Number(process.hrtime.bigint() - began) / 500 / 1000);
  }}
  rounds.sort((a, b) => a - b);
  console.log(rounds[Math.floor(rounds.length / 2)]);
}})();
"""
    done = subprocess.run([node, "-e", code], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def once(call: Call, times: int) -> float:
    """Microseconds a call."""
    repeat = range(times)
    began = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - began) / times * 1e6


def measure(calls: dict[str, Call]) -> dict[str, float]:
    """Medians of interleaved rounds, in microseconds."""
    times = {name: max(20, int(ROUND * 1e6 / once(call, 200))) for name, call in calls.items()}
    rounds = [{name: once(call, times[name]) for name, call in calls.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) for name in calls}


def verdict(name: str, medians: dict[str, float], raw: float) -> str:
    """The budget, and whether it is met."""
    if name in BUDGETS:
        ratio, budget = medians[name] / raw, BUDGETS[name]
        return f"≤ {budget:g} x: {'met' if ratio <= budget else '**not met**'}"
    if name in FASTER:
        ratio, budget = medians[name] / medians["verify, new token"], FASTER[name]
        return f"ours ≥ {budget:g} times faster: {ratio:.1f}, {'met' if ratio >= budget else '**not met**'}"
    return ""


def main() -> str:
    """The section on tokens, in Markdown."""
    calls, payload = ours()
    others, missing = peers(payload)
    cipher, iv = AESGCM(os.urandom(32)), os.urandom(12)
    sealed = cipher.encrypt(iv, payload, HEADER)
    raw: dict[str, Call] = {
        "AES-256-GCM open, the primitive": lambda: cipher.decrypt(iv, sealed, HEADER),
        "AES-256-GCM seal, the primitive": lambda: cipher.encrypt(iv, payload, HEADER),
    }
    medians = measure(raw | calls | others)
    opening, sealing = (medians[name] for name in raw)
    if (node := node_decode()) is not None:
        medians["next-auth decode (Node)"] = node
    rows = [
        f"| {name} | {spent:.2f} | {spent / base:.2f} | {verdict(name, medians, base)} |"
        for name, spent in medians.items()
        for base in [sealing if name in {"issue", "AES-256-GCM seal, the primitive"} else opening]
    ]
    notes = [f"Payload {len(payload)} bytes; pybase64 {version('pybase64') if find_spec('pybase64') else 'absent'}."]
    if missing:
        notes.append(f"Not installed, so not measured: {', '.join(missing)}.")
    if node is None:
        notes.append("next-auth's own decode was not measured: SOJOURN_NODE and SOJOURN_JS are not set.")
    table = ["| work | µs | x primitive | budget |", "|---|--:|--:|---|", *rows]
    head = (
        "Medians of interleaved rounds in one process. `issue` is set against the primitive's seal, all else its open."
    )
    return "\n".join(["## Tokens", "", f"{head} {' '.join(notes)}", "", *table])


if __name__ == "__main__":
    print(main())
