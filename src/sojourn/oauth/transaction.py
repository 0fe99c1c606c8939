"""One sign-in on its way: made at the start, sealed into its own cookie, opened once when the browser comes back."""

from __future__ import annotations

import hashlib
import secrets
from typing import ClassVar, Final, Protocol

import msgspec

from sojourn.errors import TokenError
from sojourn.models import Value
from sojourn.oauth.answers import same
from sojourn.oauth.steps import refuse
from sojourn.providers.base import OAuthProvider, OIDCProvider

__all__ = ["LIFETIME", "Seal", "Transaction", "begin", "id_of", "open", "seal"]

LIFETIME: Final = 900
"""Seconds between the start and the callback."""

_LONGEST_CALLBACK_URL: Final = 2048


class Seal(Protocol):
    """What encrypts a transaction: a token format whose key has this one purpose."""

    def seal(self, payload: bytes) -> str: ...

    def open(self, token: str) -> bytes: ...


class Transaction(Value, frozen=True, kw_only=True):
    """What a callback must match. `state`, `nonce` and `verifier` are secrets; `expires_at` is epoch seconds."""

    hidden: ClassVar[frozenset[str]] = frozenset({"state", "verifier", "nonce"})
    provider: str
    callback_url: str
    expires_at: int
    state: str
    verifier: str
    nonce: str | None = None

    @property
    def id(self) -> str:
        """The cookie's own part of its name."""
        return id_of(self.state)


def id_of(state: str) -> str:
    """16 hexadecimal digits, derived from the state so that the answer itself says which cookie it needs."""
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def begin(provider: OAuthProvider | OIDCProvider, callback_url: str, now: int) -> Transaction:
    """A new transaction: 256 random bits each for state, verifier (RFC 7636 4.1) and, with OpenID, nonce.

    Raises `SignInRefused` for a callback URL so long that browsers would drop the cookie without a word.
    """
    if len(callback_url.encode("utf-8", "surrogatepass")) > _LONGEST_CALLBACK_URL:
        raise refuse("callback_url", code="OAuthSignin")
    return Transaction(
        provider=provider.id,
        callback_url=callback_url,
        expires_at=now + LIFETIME,
        state=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32) if isinstance(provider, OIDCProvider) else None,
    )


def seal(transaction: Transaction, token_format: Seal) -> str:
    """The cookie's value."""
    return token_format.seal(msgspec.json.encode(transaction))


def open(value: str | None, token_format: Seal, *, state: str, provider: str, now: int) -> Transaction:  # noqa: A001
    """The transaction that this answer belongs to, or the refusal: `transaction_missing`, `transaction_forged`,
    `transaction_expired`, `provider_mismatch`, `state`."""
    if not value:
        raise refuse("transaction_missing")
    try:
        transaction = msgspec.json.decode(token_format.open(value), type=Transaction)
    except (TokenError, ValueError, RecursionError):
        raise refuse("transaction_forged") from None
    if transaction.provider != provider:
        raise refuse("provider_mismatch")
    if not same(transaction.state, state):
        raise refuse("state")
    if now >= transaction.expires_at:
        raise refuse("transaction_expired")
    return transaction
