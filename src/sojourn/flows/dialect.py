"""What NextAuth v4 and Auth.js v5 say differently: redirect mode, "no session", errors (nextauth.md 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec

from sojourn.errors import SignInRefused
from sojourn.http import Request, Response, json_response, redirect

__all__ = ["AuthJSV5", "Dialect", "NextAuthV4", "Outcome"]

INLINE_CODES = frozenset(
    {
        "Signin",
        "OAuthSignin",
        "OAuthCallback",
        "OAuthCreateAccount",
        "EmailCreateAccount",
        "Callback",
        "OAuthAccountNotLinked",
        "EmailSignin",
        "CredentialsSignin",
        "SessionRequired",
    }
)
"""Codes that v4 shows on the sign-in page (nextauth.md 1.2.8)."""

_V5_TYPES = {
    "OAuthCallback": "OAuthCallbackError",
    "Callback": "OAuthCallbackError",
    "OAuthAccountNotLinked": "OAuthAccountNotLinked",
    "CredentialsSignin": "CredentialsSignin",
    "AccessDenied": "AccessDenied",
    "Verification": "Verification",
    "RateLimited": "RateLimited",
}
_V5_SIGN_IN_PAGE = frozenset({"CredentialsSignin", "OAuthAccountNotLinked", "OAuthCallbackError", "RateLimited"})


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Where a flow sends the browser; `status` is what a client in JSON mode sees."""

    location: str
    status: int = 200


class Dialect(Protocol):
    """The receiving side's choice; `base` is origin plus base path."""

    no_session: bytes
    joined_csrf_hash: bool

    def answer(self, request: Request, fields: Mapping[str, Any], outcome: Outcome) -> Response:
        """A redirect, or its JSON form where the client asked for it."""
        ...

    def error(self, base: str, refused: SignInRefused) -> Outcome:
        """Where a refused sign-in leads."""
        ...

    def csrf_failure(self, base: str, action: str) -> Outcome:
        """Where a request without a good CSRF token leads."""
        ...

    def routes(self, action: str, rest: str) -> bool:
        """Whether this path shape is answered at all."""
        ...

    def unsupported(self, method: str) -> Response:
        """The answer to everything that is not a route."""
        ...

    def provider_type(self, kind: str) -> str:
        """How `GET /providers` names this kind of provider."""
        ...


class NextAuthV4:
    """next-auth 4: the body field `json` chooses JSON."""

    no_session = b"{}"
    joined_csrf_hash = False

    def answer(self, request: Request, fields: Mapping[str, Any], outcome: Outcome) -> Response:
        if fields.get("json") == "true":
            return json_response({"url": outcome.location}, outcome.status)
        return redirect(outcome.location)

    def error(self, base: str, refused: SignInRefused) -> Outcome:
        status = {"CredentialsSignin": 401, "AccessDenied": 403, "RateLimited": 429}.get(refused.code, 200)
        return Outcome(location=f"{base}/error?{urlencode((('error', refused.code), *refused.params))}", status=status)

    def csrf_failure(self, base: str, action: str) -> Outcome:
        # v4 answers 200 without an error, which its own client takes for success (nextauth.md 10.4 row 31).
        page = "signout" if action == "signout" else "signin"
        return Outcome(location=f"{base}/{page}?csrf=true&error=MissingCSRF", status=403)

    def routes(self, action: str, rest: str) -> bool:
        return True

    def unsupported(self, method: str) -> Response:
        # A made-up method is no text to repeat.
        shown = method if method.isascii() and method.isalpha() else "?"
        text = f"Error: This action with HTTP {shown} is not supported by NextAuth.js"
        return Response(status=400, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=text.encode())

    def provider_type(self, kind: str) -> str:
        return "oauth" if kind == "oidc" else kind


class AuthJSV5:
    """Auth.js 5: the header `X-Auth-Return-Redirect` chooses JSON, always with status 200."""

    no_session = b"null"
    joined_csrf_hash = True

    def answer(self, request: Request, fields: Mapping[str, Any], outcome: Outcome) -> Response:
        if "x-auth-return-redirect" in request.headers:
            status = outcome.status if outcome.status == 429 else 200
            return json_response({"url": outcome.location}, status, (("Location", outcome.location),))
        return redirect(outcome.location)

    def error(self, base: str, refused: SignInRefused) -> Outcome:
        kind = _V5_TYPES.get(refused.code, "Configuration")
        page = "signin" if kind in _V5_SIGN_IN_PAGE else "error"
        more = (("code", "credentials"),) if kind == "CredentialsSignin" else ()
        status = 429 if kind == "RateLimited" else 200
        return Outcome(location=f"{base}/{page}?{urlencode((('error', kind), *more))}", status=status)

    def csrf_failure(self, base: str, action: str) -> Outcome:
        return Outcome(location=f"{base}/signin?error=MissingCSRF")

    def routes(self, action: str, rest: str) -> bool:
        if action == "_log" or "/" in rest:
            return False
        return not rest or action in ("signin", "callback", "backchannel-logout", "sessions")

    def unsupported(self, method: str) -> Response:
        return json_response("Bad request.", 400)

    def provider_type(self, kind: str) -> str:
        return kind
