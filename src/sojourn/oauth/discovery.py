"""What a provider says of itself: its metadata (OIDC Discovery 4, RFC 8414) and its keys (RFC 7517)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sojourn.oauth.answers import json_object
from sojourn.oauth.steps import refuse
from sojourn.ports import TransportRequest, TransportResponse
from sojourn.providers import urls
from sojourn.providers.base import OAuthProvider, OIDCProvider

__all__ = ["Metadata", "configured", "keys_request", "read", "read_keys", "request"]

_MOST_KEYS: Final = 100


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's endpoints, all checked. `sends_issuer`: it promises `iss` in every answer (RFC 9207 3)."""

    issuer: str | None
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None = None
    jwks_uri: str | None = None
    sends_issuer: bool = False
    token_endpoint_auth_methods: tuple[str, ...] = ()


def configured(provider: OAuthProvider) -> Metadata:
    """The metadata of a provider that publishes none."""
    return Metadata(
        issuer=provider.issuer,
        authorization_endpoint=provider.authorize_url,
        token_endpoint=provider.token_url,
        userinfo_endpoint=provider.userinfo_url,
    )


def request(provider: OIDCProvider) -> TransportRequest:
    """Asks for the metadata."""
    url = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    return TransportRequest(method="GET", url=url, headers={"Accept": "application/json"})


def read(provider: OIDCProvider, response: TransportResponse) -> Metadata:
    """The metadata; its issuer must be the configured one to the character (OIDC Discovery 4.3)."""
    document = json_object(response, "discovery")
    if document.get("issuer") != provider.issuer:
        raise refuse("discovery", "the metadata names another issuer than the configured one")
    methods = document.get("token_endpoint_auth_methods_supported")
    return Metadata(
        issuer=provider.issuer,
        authorization_endpoint=_endpoint(provider, document, "authorization_endpoint"),
        token_endpoint=_endpoint(provider, document, "token_endpoint"),
        userinfo_endpoint=_endpoint(provider, document, "userinfo_endpoint")
        if "userinfo_endpoint" in document
        else None,
        jwks_uri=_endpoint(provider, document, "jwks_uri"),
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        token_endpoint_auth_methods=tuple(str(method) for method in methods) if isinstance(methods, list) else (),
    )


def _endpoint(provider: OIDCProvider, document: dict[str, Any], name: str) -> str:
    url = document.get(name)
    if urls.check(url) is not None or not isinstance(url, str):
        raise refuse("discovery", f"{name} is missing or no address that may be used")
    # A provider elsewhere has no business on this machine: plain http is for an issuer that is here itself.
    if urls.is_plain(url) and not urls.is_plain(provider.issuer):
        raise refuse("discovery", f"{name} is plain http")
    return url


def keys_request(metadata: Metadata) -> TransportRequest:
    """Asks for the keys."""
    return TransportRequest(method="GET", url=str(metadata.jwks_uri), headers={"Accept": "application/json"})


def read_keys(response: TransportResponse) -> Sequence[dict[str, Any]]:
    """The JSON Web Keys as published; which of them may be used is judged with each token."""
    keys = json_object(response, "jwks").get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise refuse("jwks", "the key set is no list of at most 100 keys")
    return tuple(key for key in keys if isinstance(key, dict))
