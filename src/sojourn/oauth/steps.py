"""Every step at which a sign-in through a provider can be refused, with its cause and fix, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.errors import SignInRefused

__all__ = ["STEPS", "Explanation", "refuse"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a step refuses, and what helps."""

    cause: str
    fix: str


_RETRY: Final = "Start the sign-in again."
_PROVIDER: Final = "Ask the provider's operator; nothing was accepted."
_REGISTRATION: Final = "Compare the settings with the registration at the provider."

STEPS: Final[Mapping[str, Explanation]] = {
    # The browser's way there and back.
    "callback_url": Explanation("The page to return to has too long an address.", "Sign in from a shorter address."),
    "transaction_missing": Explanation(
        "This browser holds no cookie of the sign-in that the answer belongs to.",
        "Start again in the same browser; check that the callback has the host and scheme of base_url.",
    ),
    "transaction_forged": Explanation("The sign-in's cookie was not made by this application.", _RETRY),
    "transaction_expired": Explanation("The sign-in took longer than 15 minutes.", _RETRY),
    "transaction_spent": Explanation("The answer was used before.", _RETRY),
    "provider_mismatch": Explanation(
        "The answer came to another provider's address than the sign-in began with.", _RETRY
    ),
    "duplicate_parameter": Explanation("A parameter of the provider's answer is given twice.", _PROVIDER),
    "provider_error": Explanation("The provider refused, or the person did.", "Try again, or use another way in."),
    "state": Explanation("The answer's state is missing or belongs to another sign-in.", _RETRY),
    "iss": Explanation(
        "The answer names another issuer than the configured one.", "Set issuer to what the provider sends."
    ),
    "code": Explanation("The answer holds no usable code.", _PROVIDER),
    # What the provider says of itself.
    "unreachable": Explanation("The provider did not answer in time, or not at all.", "Try later; check the network."),
    "discovery": Explanation("The provider's metadata cannot be used.", "Check issuer, to the last character."),
    "jwks": Explanation("The provider's keys cannot be read.", _PROVIDER),
    # Tokens and the profile.
    "token_endpoint": Explanation("The provider did not exchange the code.", _REGISTRATION),
    "token_type": Explanation("The provider's token is not a Bearer token.", _PROVIDER),
    "id_token.missing": Explanation("The provider sent no ID token.", "Use OAuth instead of OIDC for plain OAuth 2."),
    "id_token.form": Explanation("The ID token is no signed token with a claim set.", _PROVIDER),
    "id_token.algorithm": Explanation(
        "The ID token is signed with another algorithm than the registered one.",
        "Set id_token_signed_response_alg to the one registered with the provider.",
    ),
    "id_token.key": Explanation("No published key of the provider fits the ID token.", _PROVIDER),
    "id_token.signature": Explanation("The ID token's signature is wrong.", _PROVIDER),
    "id_token.issuer": Explanation("The ID token is of another issuer.", "Check issuer, to the last character."),
    "id_token.subject": Explanation("The ID token has no usable subject.", _PROVIDER),
    "id_token.audience": Explanation(
        "The ID token is for another application, or for an unknown one too.", _REGISTRATION
    ),
    "id_token.authorized_party": Explanation("The ID token was issued to another application.", _REGISTRATION),
    "id_token.expired": Explanation("The ID token has expired, or names no expiry.", "Check both clocks."),
    "id_token.not_yet_valid": Explanation("The ID token is not valid yet.", "Check both clocks."),
    "id_token.issued_at": Explanation(
        "The ID token was issued in the future, or over an hour ago.", "Check both clocks."
    ),
    "id_token.nonce": Explanation("The ID token belongs to another sign-in.", _RETRY),
    "id_token.at_hash": Explanation("The ID token belongs to another access token.", _PROVIDER),
    "id_token.c_hash": Explanation("The ID token belongs to another code.", _PROVIDER),
    "userinfo": Explanation("The provider did not say who this is.", "Check scope and userinfo_url."),
    "userinfo.subject": Explanation("The profile is about somebody else than the ID token.", _PROVIDER),
    "profile": Explanation(
        "The provider's profile cannot be used.", "Check the profile function against the raw profile."
    ),
}


def refuse(step: str, detail: str = "", *, code: str = "OAuthCallback") -> SignInRefused:
    """The refusal at `step`, which is one of `STEPS`; `detail` holds neither a secret nor a provider's text."""
    return SignInRefused(code, step, detail or STEPS[step].cause)
