"""The code for tokens (RFC 6749 4.1.3, 5.1; RFC 7636 4.5; RFC 7523 2.2)."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Any, ClassVar, Final
from urllib.parse import quote_plus

from sojourn.errors import SignInRefused
from sojourn.models import Value
from sojourn.oauth.answers import error_code, json_object, json_value, number
from sojourn.oauth.authorization import VerifiedCallback
from sojourn.oauth.discovery import Metadata
from sojourn.oauth.steps import refuse
from sojourn.ports import TransportRequest, TransportResponse
from sojourn.providers.base import OAuthProvider, OIDCProvider

__all__ = ["ProviderTokens", "read", "request"]

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME: Final = 60
_TOKEN: Final = re.compile(r"[!-~]{1,16384}")  # goes into a header
_LONGEST_LIFE: Final = 10**9


class ProviderTokens(Value, frozen=True, kw_only=True):
    """What the provider handed out; the members that are known, and nothing else it may have said.

    `expires_at` is epoch seconds, `scope` blank-separated. `repr` shows no token.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"access_token", "refresh_token", "id_token"})
    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None
    scope: str | None = None
    expires_at: int | None = None


def request(callback: VerifiedCallback, metadata: Metadata, redirect_uri: str, now: int) -> TransportRequest:
    """Asks for the tokens, with the verifier always and as the client that this application is registered as."""
    form = [
        ("grant_type", "authorization_code"),
        ("code", callback.code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", callback.transaction.verifier),
    ]
    headers = {"Accept": "application/json"}
    provider = callback.provider
    match _method(provider, metadata):
        case "client_secret_basic":
            pair = f"{_form_encoded(provider.client_id)}:{_form_encoded(provider.client_secret or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        case "client_secret_post":
            form += [("client_id", provider.client_id), ("client_secret", provider.client_secret or "")]
        case "private_key_jwt":
            form += [
                ("client_id", provider.client_id),
                ("client_assertion", _assertion(provider, metadata, now)),
                ("client_assertion_type", _ASSERTION),
            ]
        case _:
            form.append(("client_id", provider.client_id))
    return TransportRequest(method="POST", url=metadata.token_endpoint, headers=headers, form=form)


def _method(provider: OAuthProvider | OIDCProvider, metadata: Metadata) -> str:
    known = metadata.token_endpoint_auth_methods
    # The same secret to the same host, in the one place where this provider reads it.
    if provider.token_endpoint_auth_method == "client_secret_basic" and known and "client_secret_basic" not in known:
        return "client_secret_post" if "client_secret_post" in known else "client_secret_basic"
    return provider.token_endpoint_auth_method


def _form_encoded(text: str) -> str:
    return quote_plus(text, safe="-_.!~*'()")  # RFC 6749 2.3.1, spelt as browsers do


def _assertion(provider: OAuthProvider | OIDCProvider, metadata: Metadata, now: int) -> str:
    from sojourn.oauth import jose
    from sojourn.providers import private_keys

    key, algorithm = private_keys.read(provider.private_key or "")
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": metadata.issuer or metadata.token_endpoint,
        "iat": now,
        "exp": now + _ASSERTION_LIFETIME,
        "jti": secrets.token_urlsafe(16),
    }
    return jose.sign(claims, key, algorithm)


def read(response: TransportResponse, now: int) -> ProviderTokens:
    """The tokens; an `error` member wins whatever the status (RFC 6749 5.2), and only Bearer is accepted."""
    if refused := _error(response):
        raise refused
    document = json_object(response, "token_endpoint")
    access_token = document.get("access_token")
    if not isinstance(access_token, str) or not _TOKEN.fullmatch(access_token):
        raise refuse("token_endpoint", "the answer has no access token that can be sent")
    token_type = document.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise refuse("token_type")
    return ProviderTokens(
        access_token=access_token,
        refresh_token=_text(document, "refresh_token"),
        id_token=_text(document, "id_token"),
        scope=_scope(document.get("scope")),
        expires_at=_expires_at(document.get("expires_in"), now),
    )


def _error(response: TransportResponse) -> SignInRefused | None:
    try:
        document = json_value(response.body)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("error") is None:
        return None
    return refuse("token_endpoint", f"the provider answered {error_code(document['error'])}")


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise refuse("token_endpoint", f"{name} is not a text")
    return value or None


def _scope(value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return " ".join(value)
    if value is not None and not isinstance(value, str):
        raise refuse("token_endpoint", "scope is not a text")
    return value


def _expires_at(value: object, now: int) -> int | None:
    if value is None:
        return None
    # Some providers send the number as a text.
    seconds = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else number(value)
    if seconds is None or not 0 <= seconds <= _LONGEST_LIFE:
        raise refuse("token_endpoint", "expires_in is no number of seconds")
    return now + int(seconds)
