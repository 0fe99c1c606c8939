"""provider → transaction → redirect: the first half of signing in through a provider (nextauth.md 4.1)."""

from __future__ import annotations

import re
from typing import Final

from sojourn.cookies import Cookie, CookieNames
from sojourn.flows.dialect import Outcome
from sojourn.flows.visit import Visit
from sojourn.http import query_pairs
from sojourn.oauth import transaction
from sojourn.oauth.client import OAuthClient
from sojourn.ports import Clock
from sojourn.providers import OAuthProvider, OIDCProvider
from sojourn.tokens import TokenFormat

__all__ = ["start_sign_in", "transaction_cookie", "transaction_cookies"]

# Sign-ins that were begun in other tabs and never finished; more than these would only make every request heavier.
_MOST_OPEN = 4
# A neighbour's flood of such cookies must not come back as as many deletions.
_MOST_DELETED = 16
_ID: Final = re.compile(r"[0-9a-f]{16}")


def transaction_cookie(
    names: CookieNames, transaction_id: str, value: str, *, max_age: int, now: int, cross_site: bool
) -> Cookie:
    """One sign-in's sealed cookie. A provider that posts its answer needs `SameSite=None`, which needs https."""
    return Cookie(
        name=f"{names.transaction}.{transaction_id}",
        value=value,
        max_age=max_age,
        expires_at=now + max_age,
        secure=names.secure,
        same_site="None" if cross_site and names.secure else "Lax",
    )


def transaction_cookies(visit: Visit, names: CookieNames) -> list[str]:
    """The names of this browser's open transactions, oldest first as browsers send them."""
    stem = f"{names.transaction}."
    return [name for name in visit.cookies if name.startswith(stem) and _ID.fullmatch(name, len(stem))]


async def start_sign_in(
    visit: Visit,
    provider: OAuthProvider | OIDCProvider,
    *,
    client: OAuthClient,
    seal_with: TokenFormat,
    names: CookieNames,
    redirect_uri: str,
    clock: Clock,
) -> tuple[Outcome, tuple[Cookie, ...]]:
    """Where to send the browser, and the cookie that must come back with it; raises `SignInRefused`."""
    now = clock()
    begun = transaction.begin(provider, visit.callback_url, now)
    extra = dict(reversed(query_pairs(visit.request.query)))
    location = await client.start(provider, begun, redirect_uri, extra)
    cross_site = getattr(provider, "response_mode", None) == "form_post"
    cookies = [
        transaction_cookie(
            names,
            begun.id,
            transaction.seal(begun, seal_with),
            max_age=begun.expires_at - now,
            now=now,
            cross_site=cross_site,
        )
    ]
    stale = transaction_cookies(visit, names)[: -(_MOST_OPEN - 1)][:_MOST_DELETED]
    cookies += [Cookie(name=name, value="", secure=names.secure).deleted() for name in stale]
    return Outcome(location=location), tuple(cookies)
