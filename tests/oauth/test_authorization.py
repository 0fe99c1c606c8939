from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sojourn.errors import SignInRefused
from sojourn.oauth import authorization, transaction
from sojourn.oauth.authorization import VerifiedCallback
from sojourn.oauth.discovery import Metadata, configured
from sojourn.providers import OAuthProvider, OIDCProvider
from tests.oauth.scripted import NOW, REDIRECT_URI, oauth, oidc

METADATA = Metadata(
    issuer="https://op.example",
    authorization_endpoint="https://op.example/auth",
    token_endpoint="https://op.example/token",
)
FIXED = {
    "client_id",
    "scope",
    "response_type",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
}


def query_of(
    provider: OAuthProvider | OIDCProvider, metadata: Metadata, extra: dict[str, str] | None = None
) -> list[tuple[str, str]]:
    begun = transaction.begin(provider, "/", NOW)
    url = authorization.url(provider, metadata, begun, REDIRECT_URI, extra or {})
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def test_url_says_everything_in_the_usual_order() -> None:
    provider = oidc()
    begun = transaction.begin(provider, "/", NOW)
    url = authorization.url(provider, METADATA, begun, REDIRECT_URI, {"prompt": "login"})
    assert url.startswith("https://op.example/auth?client_id=me&scope=openid%20profile%20email&")
    assert parse_qsl(urlsplit(url).query) == [
        ("client_id", "me"),
        ("scope", "openid profile email"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("prompt", "login"),
        ("state", begun.state),
        ("code_challenge", challenge(begun.verifier)),
        ("code_challenge_method", "S256"),
        ("nonce", begun.nonce),
    ]


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def test_url_of_plain_oauth_has_no_nonce_and_only_configured_scopes() -> None:
    provider = oauth()
    names = [name for name, _ in query_of(provider, configured(provider))]
    assert "nonce" not in names
    assert "scope" not in names
    assert dict(query_of(oauth(scope="a b"), configured(provider)))["scope"] == "a b"


def test_url_keeps_the_endpoints_own_query_but_not_against_us() -> None:
    metadata = replace(METADATA, authorization_endpoint="https://op.example/auth?p=policy&state=x&request=y&e=")
    query = query_of(oidc(), metadata)
    assert query[:2] == [("p", "policy"), ("e", "")]
    assert len([1 for name, _ in query if name == "state"]) == 1
    assert "request" not in dict(query)


@given(st.dictionaries(st.sampled_from([*sorted(FIXED), "hd", "request", "x", "response_mode"]), st.text(max_size=20)))
def test_browser_replaces_nothing(extra: dict[str, str]) -> None:
    provider = oidc(authorization_params={"hd": "corp.example"})
    query = query_of(provider, METADATA, extra)
    values = dict(query)
    assert len(values) == len(query)
    assert values.keys() == FIXED | {"hd"}
    assert values["hd"] == "corp.example"
    assert (values["client_id"], values["redirect_uri"], values["response_type"]) == ("me", REDIRECT_URI, "code")
    assert values["code_challenge_method"] == "S256"


def test_browser_hints_are_short() -> None:
    assert "login_hint" in dict(query_of(oidc(), METADATA, {"login_hint": "x" * 512}))
    assert "login_hint" not in dict(query_of(oidc(), METADATA, {"login_hint": "x" * 513}))


def test_lone_surrogate_in_a_hint_is_no_error() -> None:
    assert dict(query_of(oidc(), METADATA, {"login_hint": "\udcff"}))["login_hint"] == "?"


def callback(
    *pairs: tuple[str, str], provider: OAuthProvider | OIDCProvider | None = None, metadata: Metadata = METADATA
) -> VerifiedCallback:
    begun = replace(transaction.begin(oidc(), "/", NOW), state="mine")
    return authorization.read_callback(pairs, begun, provider or oidc(), metadata)


def step(
    *pairs: tuple[str, str], provider: OAuthProvider | OIDCProvider | None = None, metadata: Metadata = METADATA
) -> str:
    with pytest.raises(SignInRefused) as caught:
        callback(*pairs, provider=provider, metadata=metadata)
    return caught.value.step


def test_callback_yields_its_code() -> None:
    assert callback(("state", "mine"), ("code", "c")).code == "c"
    assert callback(("state", "mine"), ("code", "c"), ("iss", "https://op.example"), ("x", "1"), ("x", "2")).code == "c"
    assert "c0de" not in repr(callback(("state", "mine"), ("code", "c0de")))


def test_callback_refuses_by_name() -> None:
    assert step(("state", "mine"), ("code", "c"), ("code", "c")) == "duplicate_parameter"
    assert step(("error", "access_denied"), ("state", "mine"), ("code", "c")) == "provider_error"
    assert step(("code", "c")) == "state"
    assert step(("code", "c"), ("state", "")) == "state"
    assert step(("code", "c"), ("state", "other")) == "state"
    assert step(("code", "c"), ("state", "mine"), provider=oidc(id="other")) == "provider_mismatch"
    assert step(("code", "c"), ("state", "mine"), ("iss", "https://OP.example")) == "iss"
    assert step(("code", "c"), ("state", "mine"), metadata=replace(METADATA, sends_issuer=True)) == "iss"
    assert step(("code", "c"), ("state", "mine"), ("iss", ""), metadata=replace(METADATA, issuer=None)) == "iss"
    assert step(("state", "mine")) == "code"
    assert step(("state", "mine"), ("code", "x" * 4097)) == "code"


def test_provider_error_names_harmless_words_only() -> None:
    for error, shown in (("access_denied", "access_denied"), ("<b>", "no plain name"), ("x" * 65, "no plain name")):
        with pytest.raises(SignInRefused) as caught:
            authorization.read_state([("error", error), ("error_description", "<script>")])
        assert caught.value.code == "Callback"
        assert shown in caught.value.detail
        assert "<" not in caught.value.detail


def test_read_state() -> None:
    assert authorization.read_state([("state", "abc"), ("code", "c")]) == "abc"
