"""The profile document (OIDC Core 5.3, and what plain OAuth 2 providers have in its place)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.oauth.answers import json_object
from sojourn.oauth.steps import refuse
from sojourn.ports import TransportRequest, TransportResponse
from sojourn.providers.base import OIDCProvider

__all__ = ["is_wanted", "read", "request"]


def is_wanted(claims: Mapping[str, Any], provider: OIDCProvider) -> bool:
    """Whether the scope asked for what the ID token does not say."""
    scopes = provider.scope.split(" ")
    if "email" in scopes and "email" not in claims:
        return True
    return "profile" in scopes and not {"name", "nickname", "preferred_username"} & set(claims)


def request(url: str, access_token: str) -> TransportRequest:
    """Asks who the access token speaks for."""
    headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
    return TransportRequest(method="GET", url=url, headers=headers)


def read(response: TransportResponse, *, subject: str | None = None) -> dict[str, Any]:
    """The document; with `subject`, only if it is about the one of the ID token (OIDC Core 5.3.2)."""
    document = json_object(response, "userinfo")
    if subject is not None and document.get("sub") != subject:
        raise refuse("userinfo.subject")
    return document
