"""Why a request has no session, or may not do what it asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sojourn.refusals.words import Explanation

__all__ = ["REQUEST", "TOKEN"]

_CLOCKS: Final = "Synchronise the clocks of all servers with NTP; small differences are covered by session.leeway."

TOKEN: Final[Mapping[str, Explanation]] = {
    "missing": Explanation(
        "The request carried no session cookie.",
        "Sign in; if you did, check that the cookie's domain, path and Secure flag fit this URL.",
    ),
    "form": Explanation(
        "The session cookie is not a token of the configured format.",
        "Check that compat and session.token are the same on every server; otherwise somebody edited the cookie.",
    ),
    "header": Explanation(
        "The token's header names a format or algorithm that is not accepted here.",
        "Check that compat and session.token are the same on every server.",
    ),
    "key": Explanation(
        "The token was made with a key that this server does not have.",
        "Give every server the secret that made it; after a rotation, keep the old one while its tokens live.",
    ),
    "signature": Explanation(
        "The token's signature or authentication tag does not fit its content.",
        "Somebody edited the cookie; if it happens to everybody, compare the secrets of all servers.",
    ),
    "claims": Explanation(
        "The token opened, but its claims are not what the claims type demands.",
        "Give fields added to the claims type a default, so that older tokens still open.",
    ),
    "expired": Explanation(
        "The token expired, and its grace period is over.",
        "Sign in again; raise session.max_age or session.grace_period if that comes too often.",
    ),
    "not_yet_valid": Explanation("The token says that it is not valid yet.", _CLOCKS),
    "issued_in_future": Explanation("The token was issued in this server's future: two clocks disagree.", _CLOCKS),
    "lifetime": Explanation(
        "The token expires farther ahead than session.max_age allows.",
        "Use the same session.max_age wherever tokens are made; tokens made under a longer one end here.",
    ),
    "absolute_age": Explanation(
        "The session reached its absolute age, which no refresh passes.",
        "Sign in again; session.absolute_age sets the limit.",
    ),
    "ended": Explanation(
        "The session was ended: by signing out, by an operator, or because the user was disabled.",
        "Sign in again; a user that should not be disabled must be enabled first.",
    ),
    "unknown": Explanation(
        "The store knows no such session: it ended, it expired long ago, or somebody made the id up.",
        "Sign in again; if it happens to everybody, check that every server uses the same database or Redis.",
    ),
    "secret": Explanation(
        "The session exists, but the secret beside its id in the cookie is not the right one.",
        "Somebody edited the cookie or guesses; the session's owner is not affected.",
    ),
    "audience": Explanation(
        "The token was made for another application or by another issuer.",
        "Check base_url: issuer and audience come from it, and each application has its own.",
    ),
    "chunks": Explanation(
        "The session cookie came in pieces that do not fit together.",
        "Sign in again; if it keeps happening, a proxy drops large headers or the session holds too many claims.",
    ),
    "cookie_name": Explanation(
        "A session cookie came under the name for the other scheme (http or https).",
        "Set base_url to the URL that browsers use: with https the name starts with __Secure-.",
    ),
}

REQUEST: Final[Mapping[str, Explanation]] = {
    "host": Explanation(
        "The request came for another host than base_url names, so the browser keeps its cookies for that host.",
        "Set base_url to the URL that browsers use, or set cookie_domain to the domain that both hosts share.",
    ),
    "cookie_domain": Explanation(
        "The cookie's domain does not contain the host that browsers use, so they drop the cookie.",
        "Set cookie_domain to a domain that contains base_url's host, or leave it out.",
    ),
    "fetch_metadata": Explanation(
        "The browser said that another site sent this form (Sec-Fetch-Site).",
        "Send forms from pages of base_url's own origin.",
    ),
    "origin": Explanation(
        "The form came from another origin than base_url's.",
        "Open the application under base_url, and let the proxy pass the Origin header on unchanged.",
    ),
    "double_submit": Explanation(
        "The CSRF token is missing, or it does not fit the CSRF cookie.",
        "Fetch a new token from /csrf and send it as csrfToken (a DELETE: in X-CSRF-Token), with cookies.",
    ),
    "method": Explanation(
        "A change of state was asked for by a method other than POST.", "Send it as POST with a CSRF token."
    ),
    "rate_limited": Explanation(
        "There were too many failed sign-ins for this account or from this network.",
        "Wait; rate_limit.sign_in sets how many are allowed in what time.",
    ),
    "store": Explanation(
        "The database or Redis did not answer in time.",
        "Check that it runs, that its URL is right and that its disk or memory is not full; nobody was signed out.",
    ),
}
