"""joserfc as the oracle: it reads what we write, we read what it writes, whatever the claims."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from sojourn.claims import ClaimsCodec
from sojourn.keys import Keyring, SigningKeys
from sojourn.models import Claims
from sojourn.tokens import AuthJSV5, NextAuthV4
from sojourn.tokens.base64url import encode
from sojourn.tokens.signed import CompactJWS, HMACKey

NAME = "__Secure-authjs.session-token"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
payloads = st.binary(min_size=1, max_size=400)
CBC = ["dir", "A256CBC-HS512"]
GCM = ["dir", "A256GCM"]


class MyClaims(Claims):
    username: str | None = None
    is_sponsor: bool = False


claim_sets = st.builds(
    MyClaims,
    sub=texts,
    name=st.none() | texts,
    email=st.none() | texts,
    sid=texts,
    jti=texts,
    iat=st.integers(0, 2**40),
    exp=st.integers(1, 2**40),
    username=st.none() | texts,
    is_sponsor=st.booleans(),
)


def v4_key(secret: str, salt: str = "") -> OctKey:
    info = "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")
    return OctKey.import_key(Keyring([secret]).derive(info=info, salt=salt)[0])


def v5_key(secret: str, length: int = 64) -> tuple[OctKey, str]:
    info = f"Auth.js Generated Encryption Key ({NAME})"
    key = Keyring([secret]).derive(info=info, salt=NAME, length=length)[0]
    canonical = json.dumps({"k": encode(key), "kty": "oct"}, separators=(",", ":")).encode()
    return OctKey.import_key(key), encode(hashlib.new(f"sha{8 * length}", canonical).digest())


@given(secret=secrets, salt=texts, payload=payloads)
def test_v4_both_ways(secret: str, salt: str, payload: bytes) -> None:
    ours, key = NextAuthV4(Keyring([secret]), salt=salt), v4_key(secret, salt)
    assert jwe.decrypt_compact(ours.seal(payload), key, algorithms=GCM).plaintext == payload
    assert ours.open(jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, payload, key, algorithms=GCM)) == payload
    reordered = {"enc": "A256GCM", "kid": "k", "alg": "dir"}
    assert ours.open(jwe.encrypt_compact(reordered, payload, key, algorithms=GCM)) == payload


@given(secret=secrets, payload=payloads)
def test_v5_both_ways(secret: str, payload: bytes) -> None:
    ours, (key, kid) = AuthJSV5(Keyring([secret]), salt=NAME), v5_key(secret)
    assert jwe.decrypt_compact(ours.seal(payload), key, algorithms=CBC).plaintext == payload
    header = {"alg": "dir", "enc": "A256CBC-HS512", "kid": kid}
    assert ours.open(jwe.encrypt_compact(header, payload, key, algorithms=CBC)) == payload
    del header["kid"]
    assert ours.open(jwe.encrypt_compact(header, payload, key, algorithms=CBC)) == payload
    short, short_kid = v5_key(secret, 32)
    header = {"alg": "dir", "enc": "A256GCM", "kid": short_kid}
    assert ours.open(jwe.encrypt_compact(header, payload, short, algorithms=GCM)) == payload


PAIRS: dict[str, tuple[CompactJWS, Any]] = {}
for algorithm, private in (
    ("RS256", RSAKey.generate_key(2048)),
    ("ES256", ECKey.generate_key("P-256")),
    ("Ed25519", OKPKey.generate_key("Ed25519")),
):
    PAIRS[algorithm] = CompactJWS(algorithm, SigningKeys([private.as_pem(private=True)]).keys), private  # type: ignore[arg-type]
PAIRS["HS256"] = CompactJWS("HS256", [HMACKey(b"k" * 32)]), OctKey.import_key(b"k" * 32)


@given(algorithm=st.sampled_from(sorted(PAIRS)), payload=st.binary(max_size=400))
def test_signatures_both_ways(algorithm: str, payload: bytes) -> None:
    ours, key = PAIRS[algorithm]
    assert jws.deserialize_compact(ours.seal(payload), key, algorithms=[algorithm]).payload == payload
    for header in ({"alg": algorithm}, {"alg": algorithm, "typ": "JWT", "kid": key.thumbprint()}):
        assert ours.open(jws.serialize_compact(header, payload, key, algorithms=[algorithm])) == payload


@given(claims=claim_sets, secret=secrets)
def test_claims_go_round_through_every_sealed_format(claims: MyClaims, secret: str) -> None:
    codec, keyring = ClaimsCodec(MyClaims), Keyring([secret])
    for token_format in (NextAuthV4(keyring), AuthJSV5(keyring, salt=NAME)):
        assert codec.decode(token_format.open(token_format.seal(codec.encode(claims)))) == claims
