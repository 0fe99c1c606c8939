"""Sessions as records: the cookie holds an id and a secret, the store the secret's hash and everything else."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Final, Generic

from msgspec.structs import replace

from sojourn.claims import MALFORMED, ClaimsCodec
from sojourn.errors import ClaimsTooLarge, TokenError
from sojourn.identifiers import session_id
from sojourn.models import ClaimsT, Lifetimes, Session, User
from sojourn.policy import validation
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, SessionChange, SessionRecord, SessionStore
from sojourn.strategies.base import RECORD_MARGIN, Arrival, Issued, SessionName, printable, refusal

__all__ = ["MOST_CLAIMS", "DatabaseStrategy", "check", "session_of"]

MOST_CLAIMS: Final = 64 * 1024
"""Bytes of JSON; all of it is read at every check."""

_read_token: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([A-Za-z0-9_-]{43})").fullmatch
_SECRET_BYTES: Final = 32


class DatabaseStrategy(Generic[ClaimsT]):
    """Sessions in a `SessionStore`: one round trip for each check, one more when the session is extended.

    `with_user` reads the user's row in the same round trip; a disabled user has then no session from the next check on.
    The token stays the same for as long as the session lives. Ending it is deleting its record, which nothing that
    comes later brings back: a change needs the version that it read.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        codec: ClaimsCodec[ClaimsT],
        lifetimes: Lifetimes,
        ended: EndedSessions,
        clock: Clock,
        with_user: bool,
    ) -> None:
        self._store = store
        self._codec = codec
        self._lifetimes = lifetimes
        self._ended = ended
        self._clock = clock
        self._with_user = with_user
        self._kept: Final = lifetimes.grace_period + lifetimes.leeway + RECORD_MARGIN

    async def find(self, token: str) -> Session[ClaimsT]:
        """The session of a token, also within its grace; raises `TokenError` and `StoreUnavailable`."""
        sid, secret = _parts(token)
        user: User | None = None
        if self._with_user:
            found = await self._store.get_with_user(sid)
            record, user = found if found is not None else (None, None)
        else:
            record = await self._store.get(sid)
        if record is None:
            raise TokenError("unknown")
        if not compare_digest(record.secret_hash, _hash(secret)):
            raise TokenError("secret")
        if user is not None and user.disabled_at is not None:
            raise TokenError("ended", "the user is disabled")
        try:
            claims = self._codec.parse(record.claims)
        except MALFORMED as error:
            raise TokenError("claims", str(error)[:200]) from None
        if claims.sub != record.user_id:
            raise TokenError("claims", "they are another user's")
        session = session_of(record, claims, user, now := self._clock())
        check(session, now=now, lifetimes=self._lifetimes, ended=self._ended)
        return session

    async def owned(self, token: str) -> SessionName | None:
        """The session whose secret the token holds. One that the store does not know (any more) is nobody's, but its
        name is told: an ending that was not confirmed the first time is then made durable.
        """
        try:
            sid, secret = _parts(token)
        except TokenError:
            return None
        record = await self._store.get(sid)
        if record is None:
            return SessionName(sid, "")
        return SessionName(sid, record.user_id) if compare_digest(record.secret_hash, _hash(secret)) else None

    async def start(self, claims: ClaimsT, arrival: Arrival) -> Issued[ClaimsT]:
        """A new record; raises `ClaimsTooLarge`, `Conflict("user")` if the user's row is gone, `StoreUnavailable`."""
        now = self._clock()
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        sid = session_id(claims.sub, now)
        expires_at = now + min(self._lifetimes.max_age, self._lifetimes.absolute_age)
        claims = replace(claims, sid=sid, auth_time=now, iat=now, exp=expires_at)
        record = SessionRecord(
            sid,
            claims.sub,
            _hash(secret),
            self._payload(claims),
            now,
            now,
            expires_at,
            expires_at + self._kept,
            provider=arrival.provider,
            client=printable(arrival.client),
            user_agent=printable(arrival.user_agent),
        )
        await self._store.insert(record)
        return Issued(f"{sid}.{secret}", session_of(record, claims, None, now))

    def successor(self, token: str) -> Issued[ClaimsT] | None:
        """None: the token never changes."""
        return None

    async def extend(
        self, session: Session[ClaimsT], token: str, *, expires_at: int, claims: ClaimsT | None = None
    ) -> Issued[ClaimsT]:
        """Write the later end; raises `Conflict("session")` if the record is gone or somebody else was faster."""
        now = self._clock()
        expires_at = min(expires_at, session.auth_time + self._lifetimes.absolute_age)
        if expires_at <= now:
            raise TokenError("absolute_age")
        changed = session.claims if claims is None else claims
        changed = replace(changed, sid=session.sid, auth_time=session.auth_time, iat=now, exp=expires_at)
        change = SessionChange(
            claims=self._payload(changed),
            issued_at=now,
            expires_at=expires_at,
            forget_after=expires_at + self._kept,
        )
        await self._store.replace(session.sid, change, expected_version=session.version)
        extended = replace(session, claims=changed, issued_at=now, expires_at=expires_at, version=session.version + 1)
        return Issued(token, extended)

    def _payload(self, claims: ClaimsT) -> bytes:
        payload = self._codec.encode(claims)
        if len(payload) > MOST_CLAIMS:
            raise ClaimsTooLarge(len(payload), MOST_CLAIMS)
        return payload


def _parts(token: str) -> tuple[str, str]:
    match = _read_token(token)
    if match is None:
        raise TokenError("form")
    sid, secret = match.groups()
    return sid, secret


def session_of(record: SessionRecord, claims: ClaimsT, user: User | None, now: int) -> Session[ClaimsT]:
    """What a record says, with its user's row if that was read, too.

    A server whose clock is ahead may have written it: to this one it was written now.
    """
    return Session(
        claims=claims,
        sid=record.sid,
        user_id=record.user_id,
        issued_at=min(record.issued_at, now),
        expires_at=record.expires_at,
        auth_time=record.auth_time,
        load_user=_known(user) if user is not None else None,
        version=record.version,
    )


def check(session: Session[ClaimsT], *, now: int, lifetimes: Lifetimes, ended: EndedSessions) -> None:
    """Raises `TokenError` with the step that refuses this session now."""
    step = validation.check(session, now=now, lifetimes=lifetimes, ended=ended)
    if step is not None:
        raise refusal(session, step, now)


def _known(user: User) -> Callable[[], Awaitable[User | None]]:
    async def load() -> User | None:
        return user

    return load


def _hash(secret: str) -> bytes:
    # 256 random bits need no salt and no slow hash: nobody can guess them from what the table shows.
    return hashlib.sha256(secret.encode()).digest()
