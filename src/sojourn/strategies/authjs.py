"""Sessions in the tables of Auth.js's adapters, shared with a Next.js application: the cookie is the stored token."""

from __future__ import annotations

import secrets
from typing import Final, Generic

from msgspec.structs import replace

from sojourn.claims import for_user
from sojourn.errors import Conflict, TokenError
from sojourn.models import ClaimsT, Lifetimes, Session, User
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, SessionChange, SessionRecord, TokenTable
from sojourn.strategies.base import Arrival, Issued, SessionName
from sojourn.strategies.database import check, session_of

__all__ = ["AuthJSStrategy"]

_SECRET_BYTES: Final = 32
_LONGEST_TOKEN: Final = 255  # as wide as their column


class AuthJSStrategy(Generic[ClaimsT]):
    """Sessions that an Auth.js adapter reads and writes too: one round trip for each check, the user's row included.

    Their table has no room for claims: those come from the user's row at every check, and what `callbacks.claims`
    changes is not kept. It says when a session ends and not when it began, so that there is no absolute age.
    """

    def __init__(
        self,
        *,
        table: TokenTable,
        claims_type: type[ClaimsT],
        lifetimes: Lifetimes,
        ended: EndedSessions,
        clock: Clock,
    ) -> None:
        self._table = table
        self._claims_type = claims_type
        self._lifetimes = lifetimes
        self._ended = ended
        self._clock = clock

    async def find(self, token: str) -> Session[ClaimsT]:
        """The session of a token, also within its grace; raises `TokenError` and `StoreUnavailable`."""
        if not token or len(token) > _LONGEST_TOKEN:
            raise TokenError("form")
        found = await self._table.find(token)
        if found is None:
            raise TokenError("unknown")
        session = self._session(*found)
        check(session, now=self._clock(), lifetimes=self._lifetimes, ended=self._ended)
        return session

    async def owned(self, token: str) -> SessionName | None:
        """The session that is stored under this token."""
        found = await self._table.find(token) if token and len(token) <= _LONGEST_TOKEN else None
        return None if found is None else SessionName(found[0].sid, found[0].user_id)

    async def start(self, claims: ClaimsT, arrival: Arrival) -> Issued[ClaimsT]:
        """A new row; raises `Conflict("user")` if the user's is gone, `StoreUnavailable`."""
        now = self._clock()
        token = secrets.token_urlsafe(_SECRET_BYTES)
        expires_at = now + self._lifetimes.max_age
        wanted = SessionRecord("", claims.sub, b"", b"", now, now, expires_at, expires_at)
        await self._table.insert_token(token, wanted)
        found = await self._table.find(token)
        if found is None:
            raise Conflict("user")
        return Issued(token, self._session(*found))

    def successor(self, token: str) -> Issued[ClaimsT] | None:
        """None: the token never changes."""
        return None

    async def extend(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """Write the later end; raises `Conflict("session")` if the row is gone or somebody else was faster."""
        now = self._clock()
        change = SessionChange(claims=b"", issued_at=now, expires_at=expires_at, forget_after=expires_at)
        version = await self._table.replace_token(token, change, expected_version=session.version)
        kept = session.claims if claims is None else claims
        kept = replace(kept, sid=session.sid, auth_time=session.auth_time, iat=now, exp=expires_at)
        return Issued(token, replace(session, claims=kept, issued_at=now, expires_at=expires_at, version=version))

    def _session(self, record: SessionRecord, user: User) -> Session[ClaimsT]:
        claims = replace(
            for_user(self._claims_type, user),
            sid=record.sid,
            auth_time=record.auth_time,
            iat=record.issued_at,
            exp=record.expires_at,
        )
        return session_of(record, claims, user, self._clock())
