"""This session ends; the cookie is cleared in every chunk (nextauth.md 1.2.7, invariant 1)."""

from __future__ import annotations

from typing import Any

from sojourn.cookies import Cookie
from sojourn.flows.revocation import Revoker
from sojourn.flows.session import SessionFlow

__all__ = ["sign_out"]


async def sign_out(cookie_header: str, *, sessions: SessionFlow[Any], revoker: Revoker) -> tuple[Cookie, ...]:
    """End every session that this Cookie header carries, good or not, and delete its cookies.

    A token that proves nothing is only deleted. Raises `StoreUnavailable` when the end could not be made durable: the
    cookie then stays, and the answer must say that nobody was signed out.
    """
    for session in await sessions.owned(cookie_header):
        await revoker.end(session, "sign_out")
    return sessions.cleared(cookie_header)
