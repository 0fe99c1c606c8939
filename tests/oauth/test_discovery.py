from __future__ import annotations

import pytest

from sojourn.errors import SignInRefused
from sojourn.oauth import discovery
from tests.oauth.scripted import answer, oauth, oidc

DOCUMENT = {
    "issuer": "https://op.example",
    "authorization_endpoint": "https://op.example/auth",
    "token_endpoint": "https://tokens.example/token",
    "jwks_uri": "https://op.example/keys",
}


def test_request_goes_below_the_issuer() -> None:
    for issuer, url in (
        ("https://op.example", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/", "https://op.example/.well-known/openid-configuration"),
        ("https://op.example/realms/a", "https://op.example/realms/a/.well-known/openid-configuration"),
    ):
        assert discovery.request(oidc(issuer=issuer)).url == url


def test_read_takes_what_is_needed() -> None:
    metadata = discovery.read(oidc(), answer(DOCUMENT))
    assert metadata.token_endpoint == "https://tokens.example/token"
    assert metadata.userinfo_endpoint is None
    assert not metadata.sends_issuer
    assert metadata.token_endpoint_auth_methods == ()
    more = {
        "userinfo_endpoint": "https://op.example/me",
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": ["client_secret_post", 1],
    }
    metadata = discovery.read(oidc(), answer(DOCUMENT | more))
    assert metadata.userinfo_endpoint == "https://op.example/me"
    assert metadata.sends_issuer
    assert metadata.token_endpoint_auth_methods == ("client_secret_post", "1")


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://op.example/"},
        {"issuer": None},
        {"token_endpoint": "http://op.example/token"},
        {"token_endpoint": "http://127.0.0.1/token"},  # an https issuer has no business on this machine
        {"token_endpoint": "https://user:pass@op.example/token"},
        {"jwks_uri": None},
        {"userinfo_endpoint": ["https://op.example/me"]},
    ],
)
def test_read_refuses(change: dict[str, object]) -> None:
    with pytest.raises(SignInRefused) as caught:
        discovery.read(oidc(), answer(DOCUMENT | change))
    assert caught.value.step == "discovery"


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[" * 50_000])
def test_read_refuses_no_object(body: bytes) -> None:
    with pytest.raises(SignInRefused):
        discovery.read(oidc(), answer(body))


def test_loopback_issuer_may_stay_plain() -> None:
    local = {name: value.replace("https://op.example", "http://localhost:1") for name, value in DOCUMENT.items()}
    assert discovery.read(oidc(issuer="http://localhost:1"), answer(local)).jwks_uri == "http://localhost:1/keys"


def test_configured_provider_needs_no_document() -> None:
    metadata = discovery.configured(oauth(issuer="https://plain.example"))
    assert metadata.issuer == "https://plain.example"
    assert metadata.userinfo_endpoint == "https://plain.example/me"
    assert metadata.jwks_uri is None


def test_keys() -> None:
    metadata = discovery.read(oidc(), answer(DOCUMENT))
    assert discovery.keys_request(metadata).url == "https://op.example/keys"
    assert discovery.read_keys(answer({"keys": [{"kty": "RSA"}, 1]})) == ({"kty": "RSA"},)
    documents: list[dict[str, object]] = [{}, {"keys": {}}, {"keys": [{}] * 101}]
    for document in documents:
        with pytest.raises(SignInRefused) as caught:
            discovery.read_keys(answer(document))
        assert caught.value.step == "jwks"
