"""Sessions in their tokens, sealed or signed: nothing here waits for anything."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, Generic

import msgspec
from msgspec.structs import replace

from sojourn import claims as claims_module
from sojourn.claims import LIFETIME_MARGIN, MALFORMED, ClaimsCodec, judge, write
from sojourn.errors import ClaimsTooLarge, TokenError
from sojourn.identifiers import session_id
from sojourn.models import Claims, ClaimsT, Lifetimes, Session
from sojourn.policy import validation
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, SessionRecord, SessionStore
from sojourn.strategies.base import RECORD_MARGIN, Arrival, Issued, SessionName, printable, refusal
from sojourn.tokens import TokenFormat

__all__ = ["JWTStrategy"]

_SEEN: Final = 4096
"""Tokens remembered before all are forgotten and opened anew: cheaper than keeping an order among them."""

_LONGEST_SEEN: Final = 2048
"""Characters: longer tokens are opened every time, so that what is remembered stays under 8 MB."""

_SAME_SUCCESSOR: Final = 10
"""Seconds in which one old token is refreshed into one and the same new token, or until that one is due itself."""


_read_names: Final = msgspec.json.Decoder(Claims).decode
"""What every session says, whatever the application's claims have become."""


class JWTStrategy(Generic[ClaimsT]):
    """Sessions in tokens. `budget` is the most characters a token may take in cookies.

    `records`, if given, lists who is signed in: written once at sign-in, deleted at the end, never read by a check.

    A token that opened once is not opened again while it is remembered by its whole text; expiry and endings are looked
    at every time. `verify` and `open` are synchronous and may be called from any thread. Once `ended` may miss what
    other processes ended, `verify` refuses and `find` asks `make_sure` first.
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
        records: SessionStore | None = None,
        make_sure: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.codec: Final = codec
        self._seal = token_format.seal
        self._open_token = token_format.open
        self._parse = codec.parse
        self._encode = codec.encode
        self._lifetimes = lifetimes
        self._same_successor = max(1, min(_SAME_SUCCESSOR, lifetimes.update_age))
        self.ended: Final = ended
        self._make_sure = make_sure
        self.is_ended: Final = ended.is_ended
        self._clock = clock
        self._budget = budget
        self._records = records
        self._farthest = lifetimes.max_age + LIFETIME_MARGIN
        self._max_age = lifetimes.max_age
        self._absolute_age = lifetimes.absolute_age
        self._shareable = codec.shareable
        self._seen: dict[str, Session[ClaimsT]] = {}
        self._successors: dict[str, Issued[ClaimsT]] = {}

    def verify(self, token: str) -> Session[ClaimsT]:
        """The session of a valid token; raises `TokenError` with the step that refused."""
        now = self._clock()
        session = self._seen.get(token) or self._open_new(token, now)
        if session.expires_at > now < self.ended.trusted_until and not self.is_ended(
            session.sid, session.user_id, session.auth_time
        ):
            return session
        session = self._judge(session, now, grace_period=0)
        if now >= self.ended.trusted_until:
            raise TokenError("stale")
        return session

    def open(self, token: str) -> Session[ClaimsT]:
        """As `verify`, but a token that expired within its grace opens too: `refresh.decide` says what follows."""
        now = self._clock()
        session = self._seen.get(token) or self._open_new(token, now)
        if now < session.expires_at and not self.is_ended(session.sid, session.user_id, session.auth_time):
            return session
        return self._judge(session, now, grace_period=self._lifetimes.grace_period)

    async def find(self, token: str) -> Session[ClaimsT]:
        """`open`, for who can wait until it is known what ended elsewhere."""
        if self._make_sure is not None and self._clock() >= self.ended.trusted_until:
            await self._make_sure()
        return self.open(token)

    async def owned(self, token: str) -> SessionName | None:
        """Whose token this is, if a key of this server made it; its times and its claims' types are not judged."""
        try:
            claims = _read_names(self._open_token(token))
        except (TokenError, *MALFORMED):
            return None
        sid = claims.sid or claims.jti
        over = claims.exp + self._lifetimes.grace_period + self._lifetimes.leeway + LIFETIME_MARGIN <= self._clock()
        if not sid or over or self.is_ended(sid, claims.sub, claims.auth_time or claims.iat):
            return None
        return SessionName(sid, claims.sub)

    async def start(self, claims: ClaimsT, arrival: Arrival) -> Issued[ClaimsT]:
        """`issue`, and where sessions are listed the record of it.

        Raises as `issue`; also `Conflict("user")` if the user's row is gone, and `StoreUnavailable`.
        """
        if self._records is None:
            return self.issue(claims)
        issued = self.issue(claims, new_sid=session_id(claims.sub, self._clock()))
        await self._records.insert(self._listed(issued.session, arrival))
        return issued

    def remembers(self, token: str) -> bool:
        """Whether this text opened before; that says nothing of what is left of its session."""
        return token in self._seen

    def issue(
        self, claims: ClaimsT, *, auth_time: int | None = None, sid: str | None = None, new_sid: str | None = None
    ) -> Issued[ClaimsT]:
        """A token for these claims, of a new session unless `sid` names one; it starts at `auth_time`, or now.

        Raises `ClaimsTooLarge` over the budget, and `TokenError`: "ended" if that session or all of its user's ended,
        "absolute_age" if it started too long ago.
        """
        now = self._clock()
        random = os.urandom(48)
        name = sid or new_sid or random[32:].hex()
        began_at = now if auth_time is None else auth_time
        if self.is_ended(name, claims.sub, began_at):
            # Cut-offs are whole seconds: who signs in again within that second would be cut off too.
            began_at = now = now + 1
            if sid is not None or auth_time is not None or self.is_ended(name, claims.sub, now):
                raise TokenError("ended")
        return self._make(claims, name, began_at, now, now + self._max_age, random, None)

    def successor(self, token: str) -> Issued[ClaimsT] | None:
        """What `token` was refreshed into a moment ago, unless that session ended meanwhile."""
        made = self._successors.get(token)
        if made is None:
            return None
        session = made.session
        fresh = 0 <= self._clock() - session.issued_at < self._same_successor
        ended = self.is_ended(session.sid, session.user_id, session.auth_time)
        return made if fresh and not ended else None

    async def extend(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """`refresh`, for who can wait."""
        return self.refresh(session, token, expires_at=expires_at, claims=claims)

    def refresh(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """A successor of `token`: same session, same start, later end; members of it that no field names are kept.

        Parallel requests agree by asking for the `successor` first. Raises `TokenError`: "ended" if the session ended
        meanwhile (looked at in the step that seals), "absolute_age"; `ClaimsTooLarge`.
        """
        now = self._clock()
        if self.is_ended(session.sid, session.user_id, session.auth_time):
            raise TokenError("ended")
        claims = session.claims if claims is None else claims
        payload = self._open_token(token)
        issued = self._make(claims, session.sid, session.auth_time, now, expires_at, os.urandom(32), payload)
        if len(self._successors) >= _SEEN:
            self._successors = {}
        self._successors[token] = issued
        return issued

    def _make(
        self, claims: ClaimsT, sid: str, auth_time: int, now: int, expires_at: int, random: bytes, unknown: bytes | None
    ) -> Issued[ClaimsT]:
        """Seal it; `random` is at least 32 bytes: 16 for the seal, 16 for the token's name."""
        ends_at = auth_time + self._absolute_age
        if expires_at > ends_at:  # noqa: PLR1730 -- calling `min` takes longer than making the session does
            expires_at = ends_at
        if expires_at <= now:
            raise TokenError("absolute_age")
        claims = replace(claims, sid=sid, auth_time=auth_time, iat=now, exp=expires_at, jti=random[16:32].hex())
        token = self._seal(self._encode(claims, unknown), random)
        if len(token) > self._budget:
            raise ClaimsTooLarge(len(token), self._budget)
        session = Session(
            claims=claims, sid=sid, user_id=claims.sub, issued_at=now, expires_at=expires_at, auth_time=auth_time
        )
        return Issued(token, session)

    def _listed(self, session: Session[ClaimsT], arrival: Arrival) -> SessionRecord:
        """What a list shows of a session that nobody writes down again: its end is the latest that it can have."""
        ends_at = session.auth_time + self._absolute_age
        return SessionRecord(
            session.sid,
            session.user_id,
            os.urandom(32),  # no hash of anything: where checks read records, nobody gets in with this one
            b"{}",
            session.auth_time,
            session.issued_at,
            ends_at,
            ends_at + self._lifetimes.grace_period + self._lifetimes.leeway + RECORD_MARGIN,
            provider=arrival.provider,
            client=printable(arrival.client),
            user_agent=printable(arrival.user_agent),
        )

    def _open_new(self, token: str, now: int) -> Session[ClaimsT]:
        """The session of a token that is not remembered; everything is judged but expiry and ending."""
        payload = self._open_token(token)
        try:
            claims = self._parse(payload)
            # Byte for byte what we would write: nothing twice, nothing unknown. Whatever differs is looked at again.
            not_before = 0 if write(claims) == payload else judge(payload)
        except MALFORMED as error:
            raise TokenError("claims", str(error)[:200]) from None
        issued_at, expires_at = claims.iat, claims.exp
        # A token made elsewhere carries neither sid nor auth_time: it is known by its jti and began when it was issued.
        auth_time = claims.auth_time or issued_at
        session = Session(
            claims=claims,
            sid=claims.sid or claims.jti,
            user_id=claims.sub,
            issued_at=issued_at,
            expires_at=expires_at,
            auth_time=auth_time,
        )
        ordinary = auth_time <= issued_at <= now < expires_at <= auth_time + self._absolute_age
        if not ordinary or not_before or expires_at > now + self._farthest or not session.sid:
            self._check_closely(session, not_before, now)
        elif self._shareable and len(token) <= _LONGEST_SEEN:
            if len(self._seen) >= _SEEN:
                self._seen = {}
            self._seen[token] = session
        return session

    def _check_closely(self, session: Session[ClaimsT], not_before: int, now: int) -> None:
        claims = session.claims
        if claims.exp <= 0:
            raise TokenError("claims", "exp is missing or not positive")
        if not session.sid:
            raise TokenError("claims", "neither sid nor jti: such a session could never be ended")
        step = claims_module.check(
            claims, now, leeway=self._lifetimes.leeway, max_age=self._lifetimes.max_age, not_before=not_before
        )
        match step:
            case "issued_in_future":
                raise TokenError(step, f"{max(claims.iat, claims.auth_time) - now} s ahead of this server's clock")
            case "not_yet_valid":
                raise TokenError(step, f"{not_before - now} s ahead of this server's clock")
            case "lifetime":
                raise TokenError(step, f"exp lies {claims.exp - now} s ahead")
            case _:  # the end of its life is for `_judge`
                if now >= session.auth_time + self._absolute_age:
                    raise TokenError("absolute_age")

    def _judge(self, session: Session[ClaimsT], now: int, *, grace_period: int) -> Session[ClaimsT]:
        """The session, if leeway or grace still carries it."""
        lifetimes = self._lifetimes
        step = validation.check(session, now=now, lifetimes=lifetimes, ended=self.ended)
        if step is None and now >= session.expires_at + lifetimes.leeway + grace_period:
            step = "expired"
        if step is not None:
            raise refusal(session, step, now)
        return session
