from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from sojourn.errors import SignInRefused
from sojourn.oauth import id_token, jose
from sojourn.providers import OIDCProvider
from tests.oauth.scripted import NOW, oidc

RSA = RSAKey.generate_key(2048)
P256, P384, P521 = (ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521"))
ED25519 = OKPKey.generate_key("Ed25519")
CLAIMS = {"iss": "https://op.example", "sub": "1", "aud": "me", "iat": NOW, "exp": NOW + 60, "nonce": "n"}
# The left half of the hash of "at", by the algorithm's own digest.
HALF_HASHES = {
    "256": "sda5G2fCr6XjIpiNlGJjjQ",
    "384": "4hulEO2T04y86FsZK2pA8fxDcRCCi6uc",
    "512": "dTR5nNqNrsxqjWP_lCTH2ESWpeTv9f1yZraJ_wsSjjE",
}


def token(key: Key, algorithm: str, **changes: object) -> str:
    return jose.sign({name: value for name, value in (CLAIMS | changes).items() if value is not None}, key, algorithm)


def published(key: RSAKey | ECKey | OKPKey, **members: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), **members}


def verify(
    text: str, provider: OIDCProvider, keys: list[dict[str, Any]], *, now: int = NOW, nonce: str | None = "n"
) -> dict[str, Any]:
    read = id_token.read(text, provider)
    return id_token.verify(read, provider, keys, nonce=nonce, access_token="at", code="c", now=now)


def step(
    text: str | None, provider: OIDCProvider, keys: list[dict[str, Any]], *, now: int = NOW, nonce: str | None = "n"
) -> str:
    with pytest.raises(SignInRefused) as caught:
        verify(text, provider, keys, now=now, nonce=nonce)  # type: ignore[arg-type]
    assert caught.value.code == "OAuthCallback"
    return caught.value.step


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (RSA, "RS384"),
        (RSA, "RS512"),
        (RSA, "PS256"),
        (RSA, "PS384"),
        (RSA, "PS512"),
        (P256, "ES256"),
        (P384, "ES384"),
        (P521, "ES512"),
        (ED25519, "EdDSA"),
    ],
)
def test_each_registered_algorithm(key: RSAKey | ECKey | OKPKey, algorithm: str) -> None:
    provider = oidc(id_token_signed_response_alg=algorithm)
    digest = "512" if algorithm == "EdDSA" else algorithm[2:]
    text = token(key, algorithm, at_hash=HALF_HASHES[digest])
    assert verify(text, provider, [published(P256 if key is not P256 else P384), published(key)])["sub"] == "1"
    assert step(token(key, algorithm, at_hash="AAAA"), provider, [published(key)]) == "id_token.at_hash"
    assert step(text, oidc(id_token_signed_response_alg="HS256"), [published(key)]) == "id_token.algorithm"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_client_secret_verifies_where_it_is_registered(algorithm: str) -> None:
    provider = oidc(id_token_signed_response_alg=algorithm)
    assert not id_token.needs_keys(provider)
    key = OctKey.import_key(str(provider.client_secret).encode())
    assert verify(token(key, algorithm), provider, [])["sub"] == "1"
    assert step(token(OctKey.generate_key(256), algorithm), provider, []) == "id_token.signature"


def test_missing_and_malformed() -> None:
    assert step(None, oidc(), []) == "id_token.missing"
    assert step("a.b", oidc(), []) == "id_token.form"
    assert step("a" * 9000 + ".b.c", oidc(), []) == "id_token.form"


@pytest.mark.parametrize("extra", [{"crit": ["exp"], "exp": 1}, {"b64": True}, {"kid": 5}])
def test_header_that_asks_for_more_than_a_signature(extra: dict[str, object]) -> None:
    header = base64.urlsafe_b64encode(msgspec.json.encode({"alg": "RS256", **extra})).rstrip(b"=").decode()
    assert step(f"{header}.e30.AA", oidc(), [published(RSA)]) == "id_token.form"


def test_signed_payload_that_is_no_object() -> None:
    signed = jws.serialize_compact({"alg": "RS256"}, b"[1]", RSA, registry=jose._OneAlgorithm("RS256"))
    assert step(signed, oidc(), [published(RSA)]) == "id_token.form"


def test_key_is_found_without_an_id() -> None:
    signed = jws.serialize_compact(
        {"alg": "RS256"}, msgspec.json.encode(CLAIMS), RSA, registry=jose._OneAlgorithm("RS256")
    )
    other = RSAKey.generate_key(2048)
    assert verify(signed, oidc(), [published(other), published(RSA)])["sub"] == "1"
    assert step(signed, oidc(), [published(other)]) == "id_token.signature"


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": 1},
        {"alg": "RS512"},
        {"alg": []},
        {"key_ops": ["sign"]},
        {"key_ops": 7},
        {"kty": "EC"},
        {"kty": []},
        {"n": None},
        {"n": ""},
        {"n": "\u20ac"},
        {"n": "AQ" * 2000},
        {"e": "AQ"},
        {"e": "Ag"},
        {"e": "AQAC"},
        {"kid": "other"},
        {"kid": 1},
    ],
)
def test_key_that_does_not_fit_is_no_key(members: dict[str, Any]) -> None:
    assert step(token(RSA, "RS256"), oidc(), [{**published(RSA), **members}]) == "id_token.key"


@pytest.mark.parametrize(
    ("algorithm", "key", "members"),
    [
        ("ES256", P256, {"crv": "P-384"}),
        ("ES256", P256, {"x": "AAAA"}),
        ("ES256", P256, {"y": 1}),
        ("ES384", P256, {}),
        ("EdDSA", ED25519, {"crv": "X25519"}),
        ("EdDSA", ED25519, {"x": "AAAA"}),
        ("EdDSA", ED25519, {"x": None}),
    ],
)
def test_curve_must_be_the_algorithms_own(algorithm: str, key: ECKey | OKPKey, members: dict[str, Any]) -> None:
    assert not jose.fitting([{**published(key), **members}], algorithm, None)


def test_key_may_say_what_it_is_for() -> None:
    keys = [{**published(RSA), "use": "sig", "alg": "RS256", "key_ops": ["verify", "sign"]}]
    assert verify(token(RSA, "RS256"), oidc(), keys)["sub"] == "1"
    assert id_token.has_key(id_token.read(token(RSA, "RS256"), oidc()), oidc(), keys)


def test_times_have_ten_seconds_of_grace() -> None:
    keys = [published(RSA)]
    assert verify(token(RSA, "RS256", exp=NOW - 9), oidc(), keys)
    assert verify(token(RSA, "RS256", exp=NOW + 0.5), oidc(), keys)
    assert verify(token(RSA, "RS256", iat=NOW + 10, nbf=NOW + 10), oidc(), keys)
    assert verify(token(RSA, "RS256", iat=NOW - 3610), oidc(), keys)
    assert step(token(RSA, "RS256", exp=NOW - 10), oidc(), keys) == "id_token.expired"
    assert step(token(RSA, "RS256", iat=NOW + 11), oidc(), keys) == "id_token.issued_at"
    assert step(token(RSA, "RS256", iat=NOW - 3611), oidc(), keys) == "id_token.issued_at"
    assert step(token(RSA, "RS256", nbf=NOW + 11), oidc(), keys) == "id_token.not_yet_valid"


def test_audiences() -> None:
    keys = [published(RSA)]
    trusting = oidc(trusted_audiences=("api",))
    assert verify(token(RSA, "RS256", aud=["me"]), oidc(), keys)
    assert verify(token(RSA, "RS256", aud=["api", "me"], azp="me"), trusting, keys)
    assert step(token(RSA, "RS256", aud=["api", "me"], azp="me"), oidc(), keys) == "id_token.audience"
    assert step(token(RSA, "RS256", aud=["api"]), trusting, keys) == "id_token.audience"
    assert step(token(RSA, "RS256", aud=["api", "me"]), trusting, keys) == "id_token.authorized_party"
    assert step(token(RSA, "RS256", aud={"me": 1}), oidc(), keys) == "id_token.audience"


def test_nonce_is_never_optional() -> None:
    assert step(token(RSA, "RS256"), oidc(), [published(RSA)], nonce=None) == "id_token.nonce"
    assert step(token(RSA, "RS256", nonce="\u00e9"), oidc(), [published(RSA)]) == "id_token.nonce"


HONEST = token(RSA, "RS256")


@given(st.integers(0, len(HONEST) - 1), st.sampled_from("ABCDwxyz0189-_."))
def test_no_edit_is_believed(position: int, character: str) -> None:
    edited = HONEST[:position] + character + HONEST[position + 1 :]
    # The last character of a part has bits that no byte holds.
    if edited == HONEST or position == len(HONEST) - 1:
        return
    assert step(edited, oidc(), [published(RSA)]).startswith("id_token.")


JSON = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=5)
    | st.lists(st.text(max_size=3), max_size=2)
)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "azp", "nbf", "at_hash", "c_hash"]), JSON))
def test_odd_claims_are_refused_or_read(changes: dict[str, Any]) -> None:
    text = jose.sign(CLAIMS | changes, ED25519, "EdDSA")
    try:
        claims = verify(text, oidc(id_token_signed_response_alg="EdDSA"), [published(ED25519)])
    except SignInRefused:
        return
    assert isinstance(claims["sub"], str)


def test_the_registry_knows_one_algorithm() -> None:
    with pytest.raises(JoseError):
        jose._OneAlgorithm("RS256").get_alg("none")
