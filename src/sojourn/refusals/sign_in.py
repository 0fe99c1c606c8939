"""Why somebody could not sign in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sojourn.refusals.words import Explanation

__all__ = ["OAUTH", "SIGN_IN"]

_PROVIDER_FAULT: Final = (
    "If it happens to everybody, compare the provider's settings with ours; for one person, let them try again."
)
_BEGIN_AGAIN: Final = "Begin the sign-in again, in one browser, and finish it within 15 minutes."
_BOTH_CLOCKS: Final = "Synchronise this server's clock with NTP, then ask the provider to do the same."

SIGN_IN: Final[Mapping[str, Explanation]] = {
    "provider_unknown": Explanation(
        "The sign-in was for a provider that is not configured.", "Use an id that `GET /api/auth/providers` lists."
    ),
    "credentials": Explanation(
        "The user is unknown or the password is wrong.", "Check both; `sojourn users add` makes a user."
    ),
    "authorize_callback": Explanation(
        "The application's authorize function raised an exception.",
        "Find its traceback in the application's log; return None for wrong credentials.",
    ),
    "sign_in_callback": Explanation(
        "The application's sign_in callback refused, or raised an exception.",
        "Let the callback return True for everybody who may enter.",
    ),
    "claims_callback": Explanation(
        "The application's claims callback raised an exception or returned something else than claims.",
        "Return claims.replace(...), with values of the fields' types.",
    ),
    "session_callback": Explanation(
        "The application's session callback raised an exception or returned something that is no JSON object.",
        "Return the mapping that it was given, or another one of plain values.",
    ),
    "passwords": Explanation(
        "More passwords were checked at once than this process has threads and places for, or memory ran out.",
        "If nobody is guessing at passwords, run more processes or give them more cores.",
    ),
    "claims_too_large": Explanation(
        "The claims do not fit the session's byte budget.", "Keep fewer or shorter claims, or raise session.max_chunks."
    ),
    "disabled": Explanation("The user's record is disabled.", "Enable the user, if that was not meant."),
    "email_taken": Explanation(
        "The address belongs to a user who signs in another way.",
        "Sign in that way first, then link; trust_email links at once where both sides verified the address.",
    ),
    "account_of_other_user": Explanation(
        "The account at the provider belongs to another user here.",
        "Sign out first, or sign in with the account that belongs to this user.",
    ),
}

OAUTH: Final[Mapping[str, Explanation]] = {
    "callback_url": Explanation(
        "The page to return to has an address too long for a cookie.",
        "Begin the sign-in from a page with a shorter address.",
    ),
    "transaction_missing": Explanation(
        "The browser brought no cookie of a sign-in that it began, or that sign-in is finished.",
        f"{_BEGIN_AGAIN} If it happens to everybody, base_url is not the URL that browsers use.",
    ),
    "transaction_forged": Explanation(
        "The cookie of this sign-in was not made with any secret of this application.",
        f"{_BEGIN_AGAIN} If it happens to everybody, compare the secrets of all servers.",
    ),
    "transaction_expired": Explanation("The sign-in took longer than 15 minutes.", _BEGIN_AGAIN),
    "transaction_spent": Explanation(
        "The provider's answer was used already, by a reload or by a second tab.",
        "Nothing to mend if the person is signed in; otherwise begin again.",
    ),
    "provider_mismatch": Explanation(
        "The answer came to another provider's callback than the sign-in began with.",
        f"{_BEGIN_AGAIN} Check that each provider has only its own redirect URI registered.",
    ),
    "duplicate_parameter": Explanation("The answer carried a parameter twice.", _PROVIDER_FAULT),
    "provider_error": Explanation(
        "The provider answered with an error, or the person cancelled.",
        "The detail holds its error code (RFC 6749 4.1.2.1): access_denied is a choice, others are settings.",
    ),
    "state": Explanation(
        "The answer's state is missing, doubled or not the one of this browser's sign-in.", _BEGIN_AGAIN
    ),
    "iss": Explanation(
        "The answer names another issuer than the provider that was asked (RFC 9207).",
        "Spell issuer exactly as the provider does; otherwise another provider answered in its place.",
    ),
    "code": Explanation("The answer carried no usable authorization code.", _PROVIDER_FAULT),
    "unreachable": Explanation(
        "The provider could not be reached, was too slow or said too much.",
        "Check that this server reaches the provider's host over the network, and the provider's status page.",
    ),
    "discovery": Explanation(
        "The provider's discovery document is missing, broken or names another issuer.",
        "Open {issuer}/.well-known/openid-configuration and set issuer exactly as it stands there.",
    ),
    "jwks": Explanation(
        "The provider's keys could not be read.",
        "Open the jwks_uri of its discovery document; it must be a JSON Web Key Set (RFC 7517).",
    ),
    "token_endpoint": Explanation(
        "The provider's token endpoint refused the code or gave an answer that breaks the protocol.",
        "Check client_id, client_secret, token_endpoint_auth_method and the registered redirect URI.",
    ),
    "token_type": Explanation("The provider's access token is not a Bearer token (RFC 6750).", _PROVIDER_FAULT),
    "id_token": Explanation(
        "The ID token failed a check, so it proves nothing.",
        "Check issuer and client_id; the step's second half names what failed.",
    ),
    "id_token.missing": Explanation(
        "The provider sent no ID token.",
        "Let scope contain openid, or configure it as OAuth if it speaks plain OAuth 2.",
    ),
    "id_token.form": Explanation("The ID token is not a signed token with a set of claims.", _PROVIDER_FAULT),
    "id_token.algorithm": Explanation(
        "The ID token is signed with another algorithm than the registered one.",
        "Set id_token_signed_response_alg to the one that the provider registered for this client.",
    ),
    "id_token.key": Explanation(
        "None of the provider's published keys fits the ID token.",
        "After a key rotation wait half a minute; otherwise check that issuer is the real provider.",
    ),
    "id_token.signature": Explanation(
        "The ID token's signature does not fit the provider's key.",
        "Nothing of it is believed. Check that issuer is the real provider.",
    ),
    "id_token.issuer": Explanation(
        "The ID token was made by another issuer.", "Set issuer exactly as the provider spells it, to the last slash."
    ),
    "id_token.subject": Explanation("The ID token does not say who it is about.", _PROVIDER_FAULT),
    "id_token.audience": Explanation(
        "The ID token was made for another client, or for an unknown one too.",
        "Set client_id exactly as the provider registered it.",
    ),
    "id_token.authorized_party": Explanation(
        "The ID token was handed to another client (azp).", "Set client_id exactly as the provider registered it."
    ),
    "id_token.expired": Explanation("The ID token had expired when it arrived, or names no expiry.", _BOTH_CLOCKS),
    "id_token.not_yet_valid": Explanation("The ID token says that it is not valid yet.", _BOTH_CLOCKS),
    "id_token.issued_at": Explanation(
        "The ID token was issued in this server's future, or over an hour ago.", _BOTH_CLOCKS
    ),
    "id_token.nonce": Explanation(
        "The ID token was made for another sign-in: its nonce is missing or differs.", _BEGIN_AGAIN
    ),
    "id_token.at_hash": Explanation("The ID token came with another access token than its own.", _PROVIDER_FAULT),
    "id_token.c_hash": Explanation("The ID token came with another code than its own.", _PROVIDER_FAULT),
    "userinfo": Explanation("The provider's userinfo could not be read.", "Check scope and userinfo_url."),
    "userinfo.subject": Explanation(
        "The provider's userinfo is about somebody else than the ID token.", _PROVIDER_FAULT
    ),
    "profile": Explanation(
        "No profile could be made of what the provider sent.",
        "Check the provider's profile function: it needs an id that is there for everybody.",
    ),
}
