"""What the pages say: per code what happened and what to do. Codes that are not here become the default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = ["ErrorText", "PageText", "error_page", "sign_in_error", "sign_out_error"]


class ErrorText(msgspec.Struct, frozen=True):
    """An error on the sign-in or sign-out page: what happened, and what to do."""

    what: str
    do: str


class PageText(msgspec.Struct, frozen=True):
    """An error page. `action` labels the button to the sign-in page; without it the button leads to the site."""

    code: str
    status: int
    title: str
    what: str
    do: str
    action: str | None = None


_AGAIN = "Try again. If it keeps happening, choose another way to sign in."

_SIGN_IN: Final = {
    "Signin": ErrorText("You could not be signed in.", "Try again, or choose another way to sign in."),
    "OAuthSignin": ErrorText(
        "The sign-in service could not be reached.", "Wait a moment and try again, or choose another way to sign in."
    ),
    "OAuthCallback": ErrorText(
        "The answer of the sign-in service could not be accepted.",
        f"{_AGAIN} A sign-in must finish in the browser where it began, within 15 minutes.",
    ),
    "OAuthCreateAccount": ErrorText("No account could be made from what the sign-in service sent.", _AGAIN),
    "EmailCreateAccount": ErrorText(
        "No account could be made for this address.", "Check the address and ask for a new link."
    ),
    "Callback": ErrorText(
        "The sign-in was cancelled or could not be completed.", "Try again, or choose another way to sign in."
    ),
    "OAuthAccountNotLinked": ErrorText(
        "An account with this address exists already.", "Sign in the way you did the first time."
    ),
    "EmailSignin": ErrorText("The sign-in link could not be sent.", "Check the address and try again."),
    "CredentialsSignin": ErrorText("That user name and password do not match.", "Check both and try again."),
    "SessionRequired": ErrorText("This page is for people who are signed in.", "Sign in to go on."),
    "RateLimited": ErrorText("There were too many failed attempts.", "Wait a few minutes, then try again."),
    "MissingCSRF": ErrorText(
        "The form had expired, so nothing was sent.",
        "It is fresh now: try again. Cookies must be allowed for this site.",
    ),
}
_ALIASES: Final = {
    "OAuthCallbackError": "Callback",
    "AccountNotLinked": "OAuthAccountNotLinked",
}
_SIGN_IN_DEFAULT: Final = ErrorText("You could not be signed in.", "Try again, or choose another way to sign in.")
_SIGN_OUT_FAILED: Final = ErrorText(
    "You are still signed in: the form had expired.", "It is fresh now: sign out once more."
)

_PAGES: Final = {
    "configuration": PageText(
        "Configuration",
        500,
        "Sign-in is out of order",
        "The server is not set up correctly, so nobody can sign in here right now.",
        "There is nothing you can do about it. The people who run this site find the reason in its log.",
    ),
    "accessdenied": PageText(
        "AccessDenied",
        403,
        "No access",
        "You proved who you are, but this account may not enter here.",
        "Sign in with another account, or ask the people who run this site to let you in.",
        "Sign in with another account",
    ),
    "verification": PageText(
        "Verification",
        403,
        "This link no longer works",
        "It was used already, or it is too old.",
        "Ask for a new link and open it soon, only once.",
        "Get a new link",
    ),
    "ratelimited": PageText(
        "RateLimited",
        429,
        "Too many attempts",
        "Signing in failed too often, so it is paused for this account.",
        "Wait a few minutes, then try again.",
        "Back to sign-in",
    ),
    "unavailable": PageText(
        "Unavailable",
        503,
        "Back in a moment",
        "A part of this site does not answer right now. If you were signed in, you still are.",
        "Wait a moment, then load the page again.",
    ),
}
_PAGE_DEFAULT: Final = PageText(
    "Default",
    200,
    "Something went wrong",
    "You could not be signed in.",
    "Try again. If it keeps happening, tell the people who run this site.",
    "Back to sign-in",
)


def sign_in_error(code: str | None, methods: Sequence[str] = ()) -> ErrorText | None:
    """The text for a code on the sign-in page, `None` without a code; `methods` are names of ways that lead in."""
    if not code:
        return None
    name = _ALIASES.get(code, code)
    text = _SIGN_IN.get(name, _SIGN_IN_DEFAULT)
    if name == "OAuthAccountNotLinked" and methods:
        return ErrorText(text.what, f"Sign in with {' or '.join(methods)}, as you did before.")
    return text


def sign_out_error(code: str | None) -> ErrorText | None:
    """The text for a code on the sign-out page; there, nothing but the form's expiry can have gone wrong."""
    return _SIGN_OUT_FAILED if code else None


def error_page(code: str | None) -> PageText:
    """The text for a code on the error page, compared without case."""
    return _PAGES.get((code or "").lower(), _PAGE_DEFAULT)
