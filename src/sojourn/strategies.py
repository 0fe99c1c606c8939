"""Where a session lives. The JWT strategy: in its token, sealed or signed; nothing here waits."""

from __future__ import annotations

import os
from typing import Final, Generic

import msgspec

from sojourn import claims as claims_module
from sojourn.claims import LIFETIME_MARGIN, ClaimsCodec
from sojourn.errors import ClaimsTooLarge, TokenError
from sojourn.models import ClaimsT, Lifetimes, Session
from sojourn.policy import validation
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock
from sojourn.tokens import TokenFormat

__all__ = ["Issued", "JWTStrategy"]

_SEEN: Final = 2048
"""Tokens remembered per generation, of which there are two."""

_LONGEST_SEEN: Final = 2048
"""Characters: longer tokens are opened every time, so that what is remembered stays under 8 MB."""

_SAME_SUCCESSOR: Final = 10
"""Seconds in which one old token is refreshed into one and the same new token."""


class Issued(msgspec.Struct, Generic[ClaimsT], frozen=True):
    """A token that was just made, and the session in it."""

    token: str
    session: Session[ClaimsT]


# A session, until when it is valid, and until when it may still be refreshed.
_Seen = tuple[Session[ClaimsT], int, int]


class JWTStrategy(Generic[ClaimsT]):
    """Sessions in tokens. `budget` is the most characters a token may take in cookies.

    A token that opened once is not opened again while it is remembered by its whole text; expiry and endings are looked
    at every time. `verify` and `open` are synchronous and may be called from any thread.
    """

    def __init__(
        self,
        *,
        token_format: TokenFormat,
        codec: ClaimsCodec[ClaimsT],
        lifetimes: Lifetimes,
        ended: EndedSessions,
        clock: Clock,
        budget: int,
    ) -> None:
        self.codec: Final = codec
        self._format = token_format
        self._open_token = token_format.open
        self._read = codec.read
        self._lifetimes = lifetimes
        self._ended = ended
        self._is_ended = ended.is_ended
        self._clock = clock
        self._budget = budget
        self._leeway = lifetimes.leeway
        self._farthest = lifetimes.max_age + LIFETIME_MARGIN
        self._grace = lifetimes.grace_period
        self._absolute_age = lifetimes.absolute_age
        self._shareable = codec.shareable
        self._seen: dict[str, _Seen[ClaimsT]] = {}
        self._seen_before: dict[str, _Seen[ClaimsT]] = {}
        self._successors: dict[str, Issued[ClaimsT]] = {}

    def verify(self, token: str) -> Session[ClaimsT]:
        """The session of a valid token; raises `TokenError` with the step that refused."""
        now = self._clock()
        seen = self._seen.get(token)
        if seen is None:
            seen = self._seen_before.get(token) or self._open_new(token, now)
        session, valid_until, _ = seen
        if now < valid_until and not self._is_ended(session.sid, session.user_id, session.issued_at):
            return session
        raise self._refusal(session, now)

    def open(self, token: str) -> Session[ClaimsT]:
        """As `verify`, but a token that expired within its grace period opens too: `refresh.decide` says what follows."""
        now = self._clock()
        seen = self._seen.get(token)
        if seen is None:
            seen = self._seen_before.get(token) or self._open_new(token, now)
        session, _, refreshable_until = seen
        if now < refreshable_until and not self._is_ended(session.sid, session.user_id, session.issued_at):
            return session
        raise self._refusal(session, now)

    def issue(self, claims: ClaimsT, *, auth_time: int | None = None, sid: str | None = None) -> Issued[ClaimsT]:
        """A token for these claims, of a new session unless `sid` names one; it starts at `auth_time`, or now.

        Raises `ClaimsTooLarge` over the budget, and `TokenError`: "ended" if that session or all of its user's ended,
        "absolute_age" if it started too long ago.
        """
        now = self._clock()
        random = os.urandom(48)
        if sid is None:
            sid = random[32:].hex()
            # Cut-offs are whole seconds: who signs in again within that second would be cut off too.
            if self._is_ended(sid, claims.sub, now):
                now += 1
        start = now if auth_time is None else auth_time
        expires_at = min(now + self._lifetimes.max_age, start + self._lifetimes.absolute_age)
        return self._make(claims, sid=sid, auth_time=start, now=now, expires_at=expires_at, random=random, unknown=None)

    def successor(self, token: str) -> Issued[ClaimsT] | None:
        """What `token` was refreshed into during the last ten seconds, unless that session ended meanwhile."""
        made = self._successors.get(token)
        if made is None:
            return None
        session = made.session
        fresh = 0 <= self._clock() - session.issued_at < _SAME_SUCCESSOR
        ended = self._is_ended(session.sid, session.user_id, session.issued_at)
        return made if fresh and not ended else None

    def refresh(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """A successor of `token`: same session, same start, later end; members of it that no field names are kept.

        Parallel requests agree by asking for the `successor` first. Raises `TokenError`: "ended" if the session ended
        meanwhile (looked at in the step that seals), "absolute_age"; `ClaimsTooLarge`.
        """
        now = self._clock()
        if self._is_ended(session.sid, session.user_id, session.issued_at):
            raise TokenError("ended")
        issued = self._make(
            session.claims if claims is None else claims,
            sid=session.sid,
            auth_time=session.auth_time,
            now=now,
            expires_at=min(expires_at, session.auth_time + self._lifetimes.absolute_age),
            random=os.urandom(32),
            unknown=self._open_token(token),
        )
        if len(self._successors) >= _SEEN:
            self._successors = {}
        self._successors[token] = issued
        return issued

    def _make(
        self,
        claims: ClaimsT,
        *,
        sid: str,
        auth_time: int,
        now: int,
        expires_at: int,
        random: bytes,
        unknown: bytes | None,
    ) -> Issued[ClaimsT]:
        if expires_at <= now:
            raise TokenError("absolute_age")
        if self._is_ended(sid, claims.sub, now):
            raise TokenError("ended")
        claims = msgspec.structs.replace(
            claims, sid=sid, auth_time=auth_time, iat=now, exp=expires_at, jti=random[16:32].hex()
        )
        token = self._format.seal(self.codec.encode(claims, unknown), random[:16])
        if len(token) > self._budget:
            raise ClaimsTooLarge(len(token), self._budget)
        session = Session(
            claims=claims, sid=sid, user_id=claims.sub, issued_at=now, expires_at=expires_at, auth_time=auth_time
        )
        return Issued(token, session)

    def _open_new(self, token: str, now: int) -> _Seen[ClaimsT]:
        claims, not_before = self._read(self._open_token(token))
        issued_at, expires_at = claims.iat, claims.exp
        # A token made elsewhere carries neither sid nor auth_time: it is known by its jti and began when it was issued.
        sid = claims.sid or claims.jti
        auth_time = claims.auth_time or issued_at
        latest = now + self._leeway
        if (
            issued_at > latest
            or auth_time > latest
            or not_before > latest
            or not issued_at <= expires_at <= now + self._farthest
            or not sid
        ):
            raise self._refusal_of(claims, not_before, now)
        session = Session(
            claims=claims,
            sid=sid,
            user_id=claims.sub,
            issued_at=issued_at,
            expires_at=expires_at,
            auth_time=auth_time,
        )
        valid_until = expires_at + self._leeway
        refreshable_until = valid_until + self._grace
        ends_at = auth_time + self._absolute_age
        if refreshable_until > ends_at:
            refreshable_until = ends_at
            valid_until = min(valid_until, ends_at)
        seen = (session, valid_until, refreshable_until)
        if self._shareable and now < refreshable_until and len(token) <= _LONGEST_SEEN:
            if len(self._seen) >= _SEEN:
                self._seen_before, self._seen = self._seen, {}
            self._seen[token] = seen
        return seen

    def _refusal_of(self, claims: ClaimsT, not_before: int, now: int) -> TokenError:
        step = claims_module.check(
            claims, now, leeway=self._leeway, max_age=self._lifetimes.max_age, not_before=not_before
        )
        if step is None:
            return TokenError("claims", "neither sid nor jti: such a session could never be ended")
        ahead = {"issued_in_future": max(claims.iat, claims.auth_time) - now, "not_yet_valid": not_before - now}
        detail = f"{ahead[step]} s ahead of this server's clock" if step in ahead else ""
        return TokenError(step, detail)

    def _refusal(self, session: Session[ClaimsT], now: int) -> TokenError:
        step = validation.check(session, now=now, lifetimes=self._lifetimes, ended=self._ended)
        # Only a bare verifier gets here with a session that could still be refreshed.
        return TokenError(step or "expired", f"{now - session.expires_at} s ago" if step in {None, "expired"} else "")
