"""Every refusal in plain English: what a step's refusal means and how to mend it, and what the outside may read.

Events, logs, `sojourn token open` and the doctor show `explain(step)`. Browsers and API clients see `public(code)`,
which says the same for every kind of damaged or forged token.
"""

from __future__ import annotations

from typing import Final

from sojourn.refusals.sessions import REQUEST, TOKEN
from sojourn.refusals.sign_in import OAUTH, SIGN_IN
from sojourn.refusals.words import CommonError, Explanation, PublicText

__all__ = ["COMMON_ERRORS", "CommonError", "Explanation", "PublicText", "explain", "public"]

COMMON_ERRORS: Final = {
    "invalid signature": CommonError("session_invalid", "signature"),
    "expired token": CommonError("session_expired", "expired"),
    "missing cookie": CommonError("session_missing", "missing"),
    "database failure": CommonError("unavailable", "store"),
    "provider error": CommonError("Callback", "provider_error"),
    "clock skew": CommonError("session_invalid", "issued_in_future"),
    "cookie domain mismatch": CommonError("session_missing", "host"),
}

_STEPS: Final = {**TOKEN, **REQUEST, **SIGN_IN, **OAUTH}
_UNKNOWN: Final = Explanation(
    "The request was refused.", "The event's step names the check; search the documentation for it."
)

_PUBLIC: Final = {
    "session_missing": PublicText(
        "Not signed in", "This needs a session, and the request carried none. Sign in and try again."
    ),
    "session_invalid": PublicText(
        "Session not accepted", "The session that came with the request is not valid here. Sign in again."
    ),
    "session_expired": PublicText("Session expired", "The session is too old. Sign in again."),
    "session_ended": PublicText("Session ended", "The session was ended before its time. Sign in again."),
    "rate_limited": PublicText("Too many attempts", "Wait as long as Retry-After says, then try again."),
    "unavailable": PublicText(
        "Temporarily unavailable",
        "It cannot be told right now who is signed in. Try again shortly; nobody was signed out.",
    ),
}


def explain(step: str) -> Explanation:
    """The cause and the fix of a refusing step; of `id_token.x` without words of its own, those of `id_token`."""
    return _STEPS.get(step) or _STEPS.get(step.partition(".")[0], _UNKNOWN)


def public(code: str) -> PublicText:
    """What the outside may read about a coarse code; an unknown code reads like `session_invalid`."""
    return _PUBLIC.get(code, _PUBLIC["session_invalid"])
