"""Sending the browser to the provider, and reading what it brings back (RFC 6749 4.1, RFC 9207, OIDC Core 3.1.2)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from sojourn.models import Value
from sojourn.oauth.answers import error_code, same
from sojourn.oauth.discovery import Metadata
from sojourn.oauth.steps import refuse
from sojourn.oauth.transaction import Transaction
from sojourn.providers.base import FIXED_PARAMETERS, OAuthProvider, OIDCProvider

__all__ = ["BROWSER_PARAMETERS", "VerifiedCallback", "read_callback", "read_state", "url"]

BROWSER_PARAMETERS: Final = frozenset(
    {
        "acr_values",
        "allow_signup",
        "claims_locales",
        "connection",
        "display",
        "domain_hint",
        "hd",
        "kc_idp_hint",
        "login",
        "login_hint",
        "max_age",
        "organization",
        "prompt",
        "screen_hint",
        "ui_locales",
    }
)
"""What a sign-in request may add to the authorization request; nothing of it can weaken a check."""

_LONGEST: Final = 512
_ANSWER: Final = frozenset(
    {"code", "error", "error_description", "error_uri", "iss", "response", "session_state", "state"}
)
_CODE: Final = re.compile(r"[ -~]{1,4096}")  # RFC 6749 A.11


class VerifiedCallback(Value, frozen=True, kw_only=True):
    """A provider's answer that passed every check: made by `read_callback` alone, needed for the tokens."""

    hidden: ClassVar[frozenset[str]] = frozenset({"code"})
    provider: OAuthProvider | OIDCProvider
    transaction: Transaction
    code: str


def url(
    provider: OAuthProvider | OIDCProvider,
    metadata: Metadata,
    transaction: Transaction,
    redirect_uri: str,
    extra: Mapping[str, str],
) -> str:
    """Where to send the browser.

    `extra` comes from the browser: only `BROWSER_PARAMETERS` of it count, and never against a configured one.
    """
    parameters = {"client_id": provider.client_id}
    if provider.scope is not None:
        parameters["scope"] = provider.scope
    parameters |= {"response_type": "code", "redirect_uri": redirect_uri}
    parameters |= {key: value for key, value in extra.items() if key in BROWSER_PARAMETERS and len(value) <= _LONGEST}
    parameters |= provider.authorization_params
    parameters |= {
        "state": transaction.state,
        "code_challenge": _challenge(transaction.verifier),
        "code_challenge_method": "S256",
    }
    if transaction.nonce is not None:
        parameters["nonce"] = transaction.nonce
    parts = urlsplit(metadata.authorization_endpoint)
    own = parse_qsl(parts.query, keep_blank_values=True)
    pairs = [(key, value) for key, value in own if key not in parameters and key not in FIXED_PARAMETERS]
    query = urlencode([*pairs, *parameters.items()], quote_via=quote, safe="", errors="replace")
    return urlunsplit(parts._replace(query=query))


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_state(pairs: Sequence[tuple[str, str]]) -> str:
    """The state of an answer, which says which transaction it needs.

    Refuses what is wrong without knowing that transaction: `duplicate_parameter`, `provider_error` (code `Callback`;
    it wins over a code, RFC 6749 4.1.2.1) and a missing `state`.
    """
    names = [name for name, _ in pairs if name in _ANSWER]
    if len(names) != len(set(names)):
        raise refuse("duplicate_parameter")
    values = dict(pairs)
    if "error" in values:
        raise refuse("provider_error", f"the provider answered {error_code(values['error'])}", code="Callback")
    if not values.get("state"):
        raise refuse("state", "the provider's answer has no state")
    return values["state"]


def read_callback(
    pairs: Sequence[tuple[str, str]],
    transaction: Transaction,
    provider: OAuthProvider | OIDCProvider,
    metadata: Metadata,
) -> VerifiedCallback:
    """The answer, verified against its transaction; only a `code` is taken from it, never a token."""
    state = read_state(pairs)
    if transaction.provider != provider.id:
        raise refuse("provider_mismatch")
    if not same(transaction.state, state):
        raise refuse("state")
    values = dict(pairs)
    if "iss" in values:
        if values["iss"] != metadata.issuer:  # RFC 9207 2.4: simple string comparison
            raise refuse("iss")
    elif metadata.sends_issuer:
        raise refuse("iss", "the provider promises to name its issuer in every answer, and did not")
    code = values.get("code", "")
    if not _CODE.fullmatch(code):
        raise refuse("code")
    return VerifiedCallback(provider=provider, transaction=transaction, code=code)
