from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from msgspec.structs import replace

from sojourn.errors import SignInRefused
from sojourn.oauth import token_endpoint, transaction
from sojourn.oauth.authorization import VerifiedCallback
from sojourn.oauth.discovery import Metadata
from sojourn.ports import TransportRequest
from sojourn.providers import OAuthProvider, OIDCProvider
from tests.oauth.scripted import NOW, REDIRECT_URI, answer, oidc

METADATA = Metadata(
    issuer="https://op.example",
    authorization_endpoint="https://op.example/auth",
    token_endpoint="https://op.example/token",
)
TRUTH = {"access_token": "at", "token_type": "Bearer"}


def request(provider: OAuthProvider | OIDCProvider, metadata: Metadata = METADATA) -> TransportRequest:
    begun = replace(transaction.begin(provider, "/", NOW), verifier="v" * 43)
    callback = VerifiedCallback(provider=provider, transaction=begun, code="c")
    return token_endpoint.request(callback, metadata, REDIRECT_URI, NOW)


def test_request_always_holds_the_verifier() -> None:
    sent = request(oidc())
    assert (sent.method, sent.url) == ("POST", "https://op.example/token")
    assert sent.form == [
        ("grant_type", "authorization_code"),
        ("code", "c"),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", "v" * 43),
    ]
    assert "v" * 43 not in repr(sent)


def test_client_secret_basic_is_form_encoded() -> None:
    sent = request(oidc(client_id="s e:c+r", client_secret="a~b*(c)&\u00e4"))
    assert base64.b64decode(sent.headers["Authorization"].removeprefix("Basic ")) == b"s+e%3Ac%2Br:a~b*(c)%26%C3%A4"


def test_client_secret_post() -> None:
    sent = request(oidc(token_endpoint_auth_method="client_secret_post", client_secret="x"))
    assert "Authorization" not in sent.headers
    assert dict(sent.form or ())["client_secret"] == "x"
    assert dict(sent.form or ())["client_id"] == "me"


def test_basic_gives_way_to_what_the_provider_takes() -> None:
    post_only = replace(METADATA, token_endpoint_auth_methods=("client_secret_post",))
    assert "client_secret" in dict(request(oidc(), post_only).form or ())
    both = replace(METADATA, token_endpoint_auth_methods=("client_secret_post", "client_secret_basic"))
    assert "Authorization" in request(oidc(), both).headers
    neither = replace(METADATA, token_endpoint_auth_methods=("tls_client_auth",))
    assert "Authorization" in request(oidc(), neither).headers


def test_public_client_sends_its_id_alone() -> None:
    sent = request(oidc(token_endpoint_auth_method="none", client_secret=None))
    assert "Authorization" not in sent.headers
    assert [name for name, _ in sent.form or ()][-1] == "client_id"


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-256"), "ES256")]
)
def test_private_key_jwt(key: RSAKey | ECKey, algorithm: str) -> None:
    pem = key.as_pem(private=True).decode()
    sent = request(oidc(token_endpoint_auth_method="private_key_jwt", private_key=pem, client_secret=None))
    form = dict(sent.form or ())
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assertion = jwt.decode(form["client_assertion"], key, algorithms=[algorithm])
    assert assertion.header["kid"] == key.thumbprint()
    jti = assertion.claims.pop("jti")
    assert len(jti) == 22
    assert assertion.claims == {"iss": "me", "sub": "me", "aud": "https://op.example", "iat": NOW, "exp": NOW + 60}


def test_read_keeps_known_members_only() -> None:
    document = TRUTH | {
        "token_type": "bEARER",
        "refresh_token": "rt",
        "id_token": "",
        "scope": ["a", "b"],
        "expires_in": "60",
        "provider": "github",
        "providerAccountId": "1",
    }
    tokens = token_endpoint.read(answer(document), NOW)
    assert tokens == token_endpoint.ProviderTokens(
        access_token="at", refresh_token="rt", scope="a b", expires_at=NOW + 60
    )
    assert "rt" not in repr(tokens)
    assert token_endpoint.read(answer(TRUTH | {"scope": "a", "expires_in": 1.5}), NOW).expires_at == NOW + 1


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"access_token": ""}, "token_endpoint"),
        ({"access_token": "a b"}, "token_endpoint"),
        ({"token_type": "DPoP"}, "token_type"),
        ({"token_type": None}, "token_type"),
        ({"refresh_token": 1}, "token_endpoint"),
        ({"scope": 1}, "token_endpoint"),
        ({"scope": [1]}, "token_endpoint"),
        ({"expires_in": "later"}, "token_endpoint"),
        ({"expires_in": True}, "token_endpoint"),
        ({"expires_in": -1}, "token_endpoint"),
        ({"error": "server_error"}, "token_endpoint"),
        ({"error": ["<b>"]}, "token_endpoint"),
    ],
)
def test_read_refuses(change: dict[str, Any], step: str) -> None:
    with pytest.raises(SignInRefused) as caught:
        token_endpoint.read(answer(TRUTH | change), NOW)
    assert (caught.value.code, caught.value.step) == ("OAuthCallback", step)
    assert "<" not in caught.value.detail


def test_read_names_the_providers_error_whatever_the_status() -> None:
    for status in (200, 400, 500):
        with pytest.raises(SignInRefused, match="invalid_grant"):
            token_endpoint.read(answer({"error": "invalid_grant"}, status), NOW)
    with pytest.raises(SignInRefused, match="status 502"):
        token_endpoint.read(answer(b"<h1>Bad gateway</h1>", 502), NOW)
    with pytest.raises(SignInRefused, match="status 201"):
        token_endpoint.read(answer(TRUTH, 201), NOW)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*TRUTH, "error", "scope", "expires_in", "refresh_token", "id_token"]), JSON))
def test_odd_types_are_refused_or_read(changes: dict[str, Any]) -> None:
    try:
        tokens = token_endpoint.read(answer(json.dumps(TRUTH | changes).encode()), NOW)
    except SignInRefused:
        return
    assert tokens.access_token
