"""Every step at which a sign-in through a provider can be refused, in one place; `refusals` has their words."""

from __future__ import annotations

from typing import Final, Literal, get_args

from sojourn import refusals
from sojourn.errors import SignInRefused

__all__ = ["STEPS", "Step", "refuse"]

Step = Literal[
    # the browser's way there and back
    "callback_url",
    "transaction_missing",
    "transaction_forged",
    "transaction_expired",
    "transaction_spent",
    "provider_mismatch",
    "duplicate_parameter",
    "provider_error",
    "state",
    "iss",
    "code",
    # what the provider says of itself
    "unreachable",
    "discovery",
    "jwks",
    # tokens
    "token_endpoint",
    "token_type",
    "id_token.missing",
    "id_token.form",
    "id_token.algorithm",
    "id_token.key",
    "id_token.signature",
    "id_token.issuer",
    "id_token.subject",
    "id_token.audience",
    "id_token.authorized_party",
    "id_token.expired",
    "id_token.not_yet_valid",
    "id_token.issued_at",
    "id_token.nonce",
    "id_token.at_hash",
    "id_token.c_hash",
    # the profile
    "userinfo",
    "userinfo.subject",
    "profile",
]

STEPS: Final[tuple[Step, ...]] = get_args(Step)


def refuse(step: Step, detail: str = "", *, code: str = "OAuthCallback") -> SignInRefused:
    """The refusal at `step`; `detail` (the step's cause, unless given) holds neither a secret nor a provider's text."""
    return SignInRefused(code, step, detail or refusals.explain(step).cause)
