"""What can happen to a session, as one table: the rules follow it, and the picture is drawn from it.

Rows with a `verdict` are decisions of `validation.check` and `refresh.decide`; a test provokes each of them.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["STATES", "TABLE", "Transition", "Verdict", "mermaid"]

Verdict = Literal["keep", "refresh", "issued_in_future", "absolute_age", "expired", "ended"]
"""What the policy says of a session: two ways to go on, four steps that refuse."""


class Transition(msgspec.Struct, frozen=True):
    """In `state`, on `event`, if `guard` holds: do `effect`, be in `next_state`.

    `steps` are the boxes of the session flow chart that this row carries out, parted by `·`.
    """

    state: str
    event: str
    guard: str
    effect: str
    next_state: str
    steps: str = ""
    verdict: Verdict | None = None


STATES: Final = {
    "signed_out": "Signed out",
    "starting": "Sign-in asked for",
    "at_provider": "At the provider",
    "identified": "Person identified",
    "issuing": "Token being made",
    "request": "Request with a cookie",
    "opened": "Token opened",
    "signed_in": "Signed in",
    "grace": "Expired, within grace",
    "page": "Page in the browser",
    "hidden": "Page in the background",
}
"""Every state, and what people call it."""

# A table reads in rows.
# fmt: off
TABLE: Final = (
    # Signing in
    Transition("signed_out", "POST /signin or /callback/credentials", "CSRF pair and Origin fit",
               "count the attempt", "starting",
               "User Login · NextAuth SignIn · Session Security · Check Type · Verify Token · CSRF Protection"),
    Transition("signed_out", "POST without a fitting CSRF pair", "", "refuse, change nothing", "signed_out",
               "Verify Token · CSRF Protection"),
    Transition("signed_in", "POST /signin or /callback/credentials", "CSRF pair and Origin fit",
               "count the attempt, end this session once the new one is made", "starting"),
    Transition("starting", "attempt counted", "too many", "429, Retry-After, sign_in_failed", "signed_out",
               "Session Creation · Check Rate · Too Many? · Block & Log"),
    Transition("starting", "attempt counted", "allowed, password fits", "read the profile", "identified",
               "Check Rate · Too Many? · Allow Creation · Profile Data"),
    Transition("starting", "attempt counted", "allowed, password does not fit", "refuse, sign_in_failed",
               "signed_out"),
    Transition("starting", "attempt counted", "allowed, provider chosen",
               "seal state, nonce and verifier, redirect", "at_provider",
               "Allow Creation · HTTP-Only Cookies · No JS Access"),
    Transition("at_provider", "callback", "state and nonce fit, unspent",
               "spend them, code for tokens, read the profile", "identified",
               "OAuth Callback · Profile Data · Check Nonce · One-Time Use"),
    Transition("at_provider", "callback", "spent, foreign or refused", "error page with cause and fix", "signed_out",
               "OAuth Callback · Check Nonce · One-Time Use"),
    Transition("identified", "linking decided", "first sign-in", "create the user record", "issuing",
               "First Login? · Create User Record"),
    Transition("identified", "linking decided", "known user", "update the last login", "issuing",
               "First Login? · Update Last Login"),
    Transition("identified", "linking decided", "address belongs to somebody else",
               "refuse, name the method to use", "signed_out"),
    Transition("identified", "linking decided", "user is disabled", "refuse, sign_in_failed", "signed_out"),
    Transition("issuing", "claims callback", "session in its token",
               "claims, seal or sign, HTTP-only cookie, session_started", "signed_in",
               "JWT Callback · Generate JWT · Add Claims · sub, username, email, isSponsor, iat, exp"
               " · Sign Token · Set HTTP-Only Cookie · next-auth.session-token · HTTP-Only Cookies"
               " · No JS Access · Session Data · Storage Type · Stateless Token · Client Cookie"),
    Transition("issuing", "claims callback", "claims over the byte budget", "refuse, nothing is cut", "signed_out",
               "Add Claims"),
    Transition("issuing", "claims callback", "session in a database",
               "insert a record with the secret's hash, HTTP-only cookie id.secret, session_started", "signed_in",
               "Set HTTP-Only Cookie · HTTP-Only Cookies · No JS Access · Session Data · Storage Type · Session Table"
               " · PostgreSQL"),
    Transition("issuing", "claims callback", "session in Redis",
               "the same, with a record that goes by itself", "signed_in",
               "Set HTTP-Only Cookie · HTTP-Only Cookies · No JS Access · Session Data · Storage Type · Cache Store"
               " · Redis TTL"),
    # A request
    Transition("signed_out", "request", "no session cookie", "no session, 401 where one is needed", "signed_out",
               "Page Request · Middleware Check · Extract Cookie · Cookie Exists? · Unauthenticated"),
    Transition("signed_in", "request", "session cookie", "read the cookie, join its chunks", "request",
               "Page Request · Middleware Check · Extract Cookie · Cookie Exists? · API Request"
               " · getServerSession · Read Cookie"),
    Transition("request", "token read", "form, header, key, signature and claims fit", "decode the claims", "opened",
               "Verify JWT · Valid Signature? · Decode JWT · Valid Token?"),
    Transition("request", "token read", "anything else", "session_refused, clear the cookie, 401", "signed_out",
               "Verify JWT · Valid Signature? · Invalid Session · Valid Token? · 401 Unauthorized"),
    Transition("request", "record read", "id known, secret fits, user not known to be disabled", "decode the claims",
               "opened", "Valid Token?"),
    Transition("request", "record read", "anything else", "session_refused, clear the cookie, 401", "signed_out",
               "Invalid Session · Valid Token? · 401 Unauthorized"),
    Transition("request", "record read", "the store cannot answer", "503, never a sign-out", "signed_in"),
    Transition("opened", "session judged", "issued after now and leeway",
               "session_refused, 401 that names the clock", "signed_out",
               "Invalid Session · 401 Unauthorized", "issued_in_future"),
    Transition("opened", "session judged", "absolute age reached", "clear the cookie, sign in again", "signed_out",
               "Force Re-login", "absolute_age"),
    Transition("opened", "session judged", "past grace", "clear the cookie, sign in again", "signed_out",
               "Expired? · Check Refresh · Within Grace Period? · Force Re-login · Clear Session", "expired"),
    Transition("opened", "session judged", "ended by sign-out or revocation", "clear the cookie, 401", "signed_out",
               "Invalid Session · 401 Unauthorized", "ended"),
    Transition("opened", "session judged", "younger than update age", "run the handler signed in", "signed_in",
               "Expired? · Valid Session · Process API Call", "keep"),
    Transition("opened", "session judged", "update age reached",
               "new token or record, same sid, later exp, cookie on this answer", "signed_in",
               "Extend Expiration · Generate New JWT · Update Cookie · Continue Request · Background Refresh",
               "refresh"),
    Transition("signed_in", "exp passes", "", "wait for the next request", "grace", "Token Expires · User Active?"),
    Transition("grace", "session judged", "within grace",
               "new token or record, same sid, later exp, cookie on this answer", "signed_in",
               "Check Refresh · Within Grace Period? · Refresh Token · Extend Expiration · Generate New JWT"
               " · Update Cookie · Continue Request · User Active? · Silent Refresh · Background Refresh", "refresh"),
    Transition("opened", "session judged", "update age reached, user is disabled",
               "end the sid, session_refused, clear the cookie, 401", "signed_out"),
    Transition("opened", "session judged", "update age reached, the database is down",
               "run the handler signed in, extend later", "signed_in"),
    Transition("grace", "session judged", "within grace, user is disabled",
               "end the sid, session_refused, clear the cookie, 401", "signed_out"),
    Transition("grace", "session judged", "within grace, the database is down", "503, never a sign-out", "grace"),
    Transition("grace", "grace passes", "no request came", "the cookie ends with it", "signed_out",
               "Let Expire · Clear Session"),
    Transition("signed_in", "handler asks for the user", "the row is there", "load it once, attach it", "signed_in",
               "Extract User ID · Query Database · Get User Data · Attach to Request · Process API Call"),
    Transition("signed_in", "handler asks for the user", "the database is down", "503, never a sign-out", "signed_in",
               "Query Database"),
    Transition("signed_in", "POST /session", "CSRF pair and Origin fit",
               "ask the application, new token or record, same sid, later exp, cookie on this answer", "signed_in"),
    # Signing out
    Transition("signed_in", "POST /signout", "CSRF pair and Origin fit",
               "end the sid, clear every chunk, Max-Age=0, session_ended, redirect", "signed_out",
               "Logout Request · POST /api/auth/signout · Clear Cookie · Set Max-Age=0 · Invalidate Cache"
               " · Redirect to Home"),
    Transition("signed_in", "POST /signout", "the end cannot be made durable", "503, the cookie stays", "signed_in"),
    Transition("signed_out", "POST /signout", "CSRF pair and Origin fit", "clear what cookies are left, redirect",
               "signed_out"),
    # The browser
    Transition("page", "useSession", "cached", "return the cached session", "page",
               "Client Component · useSession Hook · Session Provider · Cached Session? · Return Cached"),
    Transition("page", "useSession", "not cached", "GET /session, cache it, render", "page",
               "Cached Session? · Fetch Session · GET /api/auth/session · Server Validates · Valid?"
               " · Return Session Data · Update Client Cache · Trigger Re-render"),
    Transition("page", "useSession", "signed out", "GET /session says {} or null", "page",
               "Fetch Session · Server Validates · Valid? · Return null"),
    Transition("page", "focus", "stale", "fetch the session again", "page",
               "Session Events · Event Type · Check Session · Revalidate if Stale"),
    Transition("page", "hidden", "", "stop polling", "hidden", "Event Type · Pause/Resume · Handle Background"),
    Transition("hidden", "visible", "", "fetch the session again", "page", "Pause/Resume · Handle Background"),
    Transition("page", "sign-in, update or sign-out here", "", "set the session, tell the other tabs", "page",
               "Sync Tabs · Broadcast Change · Tab A Logs In · Set Session · Broadcast Event"),
    Transition("page", "another tab's message", "", "fetch the session, render", "page",
               "Sync Tabs · localStorage Event · Tab B Receives · Update Session · Trigger Re-render"),
)
# fmt: on
"""Every row; decisions on one session stand in the order in which they are made."""


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", *(f'    state "{name}" as {state}' for state, name in STATES.items())]
    lines += ["    [*] --> signed_out", "    [*] --> page"]
    for row in TABLE:
        guard = f" [{row.guard}]" if row.guard else ""
        lines.append(f"    {row.state} --> {row.next_state}: {row.event}{guard} / {row.effect}")
    return "\n".join(lines) + "\n"
