"""cookie → token → session → refresh? → cookie: the way of every request that asks who is signed in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, assert_never

import msgspec

from sojourn.callbacks import Callbacks, ClaimsChange, call, unusable_claims
from sojourn.cookies import (
    Cookie,
    CookieNames,
    clear_session_cookie,
    parse_cookie_header,
    read_session_cookie,
    session_cookie_from_header,
    session_tokens,
    write_session_cookie,
)
from sojourn.errors import ClaimsTooLarge, Conflict, StoreUnavailable, TokenError
from sojourn.events import Event, SessionRefreshed
from sojourn.flows.failures import session_refused, store_failed
from sojourn.flows.loaded import Carried, Loaded, OnceUser
from sojourn.flows.revocation import Named, Revoker
from sojourn.flows.view import show
from sojourn.models import ClaimsT, Lifetimes, Session, User
from sojourn.policy import refresh
from sojourn.ports import Clock, UserStore
from sojourn.strategies import Issued, JWTStrategy, SessionName, Strategy

__all__ = ["Carried", "Loaded", "SessionFlow"]

# Browsers send the same Cookie header again and again; a longer one may carry anything. Together at most 8 MB.
_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 2048
_NOTHING: Final = (None, 0)

# Of two changes at once one goes first; the other is then decided anew, a few times at most.
_ATTEMPTS: Final = 12

# A cookie is deleted only on proof that it can never work again here. A token of an unknown key may be another
# server's during a roll-out, as may one whose claims are of another version; one from the future becomes good.
_KEPT = frozenset({"missing", "key", "claims", "cookie_name", "not_yet_valid", "issued_in_future"})


class SessionFlow(Generic[ClaimsT]):
    """Loads, extends and updates sessions; the only place that turns one into a `Set-Cookie`.

    `verifier` is the strategy itself where a check needs no store, for `current`.
    """

    def __init__(
        self,
        *,
        strategy: Strategy[ClaimsT],
        verifier: JWTStrategy[ClaimsT] | None,
        names: CookieNames,
        lifetimes: Lifetimes,
        callbacks: Callbacks[ClaimsT],
        users: UserStore | None,
        revoker: Revoker,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
        domain: str | None,
    ) -> None:
        self._strategy = strategy
        self._verifier = verifier
        self._known: dict[str, tuple[Session[ClaimsT] | None, int]] = {}
        self._names = names
        self._lifetimes = lifetimes
        self._callbacks = callbacks
        self._users = users
        self._revoker = revoker
        self._clock = clock
        self._emit = emit
        self._domain = domain

    async def carried(self, cookie_header: str) -> Carried[ClaimsT]:
        """What the session cookie of this header opens, without judging whether it is due.

        Raises `StoreUnavailable` when only a store could tell.
        """
        error = TokenError("missing")
        token = session_cookie_from_header(cookie_header, self._names.session, max_chunks=self._names.max_chunks)
        if token is not None:
            try:
                return Carried(token=token, session=await self._strategy.find(token))
            except TokenError as refused:
                error = refused
        cookie = read_session_cookie(parse_cookie_header(cookie_header), self._names)
        if cookie.refused is not None:
            error = TokenError(cookie.refused)
        for candidate in cookie.candidates[1:]:  # a stale form beside the real one must not sign anybody out
            try:
                return Carried(token=candidate, session=await self._strategy.find(candidate))
            except TokenError:
                continue
        return Carried(token="", step=error.step, detail=error.detail)

    async def owned(self, cookie_header: str) -> Sequence[SessionName]:
        """Every session that this header's tokens belong to, whether good now or not; raises `StoreUnavailable`."""
        found = [await self._strategy.owned(token) for token in session_tokens(cookie_header, self._names)]
        return list(dict.fromkeys(name for name in found if name is not None))

    def current(self, cookie_header: str) -> Loaded[ClaimsT] | None:
        """The session if it is good as it is: synchronous, nothing to write, nothing to say. `None`: ask `load`.

        A header is not taken apart a third time; expiry and endings are looked at every time.
        """
        verifier = self._verifier
        if verifier is None:
            return None
        now = self._clock()
        session, until = self._known.get(cookie_header, _NOTHING)
        if session is None or now >= until or verifier.is_ended(session.sid, session.user_id, session.auth_time):
            token = session_cookie_from_header(cookie_header, self._names.session, max_chunks=self._names.max_chunks)
            if token is None:
                return None
            again = verifier.remembers(token)
            try:
                session = verifier.open(token)
            except TokenError:
                return None
            until = refresh.keep_until(session, self._lifetimes)
            if now >= until:
                return None
            if again and len(cookie_header) <= _LONGEST_KNOWN:
                if len(self._known) >= _KNOWN:
                    self._known = {}
                self._known[cookie_header] = session, until
        return Loaded(session=session if self._users is None else self._bound(session))

    async def load(self, cookie_header: str, client: str | None = None) -> Loaded[ClaimsT]:
        """The session that this Cookie header carries, extended if it is due."""
        try:
            carried = await self.carried(cookie_header)
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
            return Loaded(code="unavailable", unavailable=error)
        session = carried.session
        if session is None:
            return await self._refuse(carried.step, carried.detail, cookie_header, client)
        decision = refresh.decide(session, self._lifetimes, self._clock())
        match decision:
            case refresh.Keep():
                return Loaded(session=self._bound(session), token=carried.token)
            case refresh.Reject(step=step):
                return await self._refuse(step, "", cookie_header, client)
            case refresh.Refresh(expires_at=expires_at):
                return await self._extend(session, carried.token, expires_at, cookie_header, client)
            case _:
                assert_never(decision)

    async def update(self, cookie_header: str, data: object, client: str | None = None) -> Loaded[ClaimsT]:
        """`POST /session`: the application decides what of `data` the claims take over; nothing is merged by itself."""
        for _ in range(_ATTEMPTS):
            loaded = await self.load(cookie_header, client)
            session = loaded.session
            if session is None:
                return loaded
            user = await self._users.get(session.user_id) if self._users is not None else None
            if (gone := self._gone(user)) is not None:
                return await self._end(session, gone, cookie_header, client)
            try:
                claims = await self._ask(session, ClaimsChange(trigger="update", user=user, data=data))
            except Exception as error:
                raise await self._callback_failed("claims", error) from error
            expires_at = min(self._clock() + self._lifetimes.max_age, session.auth_time + self._lifetimes.absolute_age)
            try:
                issued = await self._strategy.extend(session, loaded.token, expires_at=expires_at, claims=claims)
            except TokenError as error:
                return await self._refuse(error.step, error.detail, cookie_header, client)
            except Conflict:
                # Somebody changed or ended it meanwhile: ask again on what they left, not all at the same moment.
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 -- no secret
                continue
            return await self._written(issued, cookie_header, "update")
        raise StoreUnavailable("sessions", "the same session kept changing elsewhere at the same moment")

    def cookies_for(self, issued: Issued[ClaimsT], cookie_header: str) -> tuple[Cookie, ...]:
        """The session cookie of a token, in chunks if need be; it ends with the token's grace (nextauth.md 2.6)."""
        return write_session_cookie(
            issued.token,
            self._present(cookie_header),
            self._names,
            expires_at=issued.session.expires_at + self._lifetimes.grace_period,
            domain=self._domain,
        )

    def cleared(self, cookie_header: str) -> tuple[Cookie, ...]:
        """Deletions for every session cookie that the browser sent."""
        return clear_session_cookie(self._present(cookie_header), self._names, domain=self._domain)

    async def view(self, session: Session[ClaimsT]) -> bytes:
        """What `GET /session` shows, as JSON: name, email and image, and what the application adds (nextauth.md 3.4).

        Raises `StoreUnavailable` when the application's callback fails: nobody is told that they are signed out.
        """
        try:
            return await show(session, self._callbacks.session)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise await self._callback_failed("session", error) from error

    def _present(self, cookie_header: str) -> tuple[str, ...]:
        return read_session_cookie(parse_cookie_header(cookie_header), self._names).present

    def _bound(self, session: Session[ClaimsT]) -> Session[ClaimsT]:
        if self._users is None or session.load_user is not None:
            return session
        return msgspec.structs.replace(session, load_user=OnceUser(self._users, session.user_id))

    async def _ask(self, session: Session[ClaimsT], change: ClaimsChange) -> ClaimsT:
        if self._callbacks.claims is None:
            return session.claims
        changed = await call(self._callbacks.claims, session.claims, change)
        reason = unusable_claims(changed, type(session.claims))
        if reason is not None:
            raise TypeError(reason)
        # A change of claims is no change of person (N-22).
        return changed.replace(sub=session.claims.sub)

    async def _extend(
        self, session: Session[ClaimsT], token: str, expires_at: int, cookie_header: str, client: str | None
    ) -> Loaded[ClaimsT]:
        """A new token for the same session; if nobody can be asked, a session that is still valid stays as it is."""
        if (made := self._strategy.successor(token)) is not None:
            return self._again(made, cookie_header)
        try:
            user = await self._users.get(session.user_id) if self._users is not None else None
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
            return self._unextended(session, token, error)
        if (gone := self._gone(user)) is not None:
            return await self._end(session, gone, cookie_header, client)
        try:
            claims = await self._ask(session, ClaimsChange(trigger="refresh", user=user))
        except Exception as error:  # noqa: BLE001 -- the application's own; whatever it is, nobody is signed out
            return self._unextended(session, token, await self._callback_failed("claims", error))
        if (made := self._strategy.successor(token)) is not None:
            return self._again(made, cookie_header)  # another request was faster while this one waited
        try:
            issued = await self._strategy.extend(session, token, expires_at=expires_at, claims=claims)
        except TokenError as error:
            return await self._refuse(error.step, error.detail, cookie_header, client)
        except ClaimsTooLarge as error:
            return self._unextended(session, token, await self._callback_failed("claims", error))
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
            return self._unextended(session, token, error)
        except Conflict:
            return await self._superseded(token, cookie_header, client)
        return await self._written(issued, cookie_header, "refresh")

    async def _superseded(self, token: str, cookie_header: str, client: str | None) -> Loaded[ClaimsT]:
        """Somebody else extended this session, or ended it, while this request was about to."""
        try:
            session = await self._strategy.find(token)
        except TokenError as error:
            return await self._refuse(error.step, error.detail, cookie_header, client)
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
            return Loaded(code="unavailable", unavailable=error)
        return self._again(Issued(token, session), cookie_header)

    def _gone(self, user: User | None) -> str | None:
        """Why this user's session is over. A token may be another application's, whose users are not ours."""
        if user is None:
            return "the user is gone" if self._users is not None and self._verifier is None else None
        return "the user is disabled" if user.disabled_at is not None else None

    async def _end(self, session: Named, why: str, cookie_header: str, client: str | None) -> Loaded[ClaimsT]:
        """Refuse it, for good: who is enabled again signs in again."""
        try:
            await self._revoker.end(session, "user")
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
        return await self._refuse("ended", why, cookie_header, client)

    def _again(self, made: Issued[ClaimsT], cookie_header: str) -> Loaded[ClaimsT]:
        return Loaded(
            session=self._bound(made.session), token=made.token, cookies=self.cookies_for(made, cookie_header)
        )

    async def _callback_failed(self, name: str, error: Exception) -> StoreUnavailable:
        # What the application raised is for its own log; a browser learns only that we cannot tell right now.
        detail = f"the {name} callback failed with {type(error).__name__}"
        unavailable = StoreUnavailable(f"callbacks.{name}", detail)
        await self._emit(store_failed(unavailable, at=self._clock()))
        return unavailable

    def _unextended(self, session: Session[ClaimsT], token: str, error: StoreUnavailable) -> Loaded[ClaimsT]:
        if self._clock() < session.expires_at:
            return Loaded(session=self._bound(session), token=token)
        return Loaded(code="unavailable", unavailable=error)

    async def _written(self, issued: Issued[ClaimsT], cookie_header: str, trigger: str) -> Loaded[ClaimsT]:
        session = issued.session
        await self._emit(
            SessionRefreshed(
                at=self._clock(),
                sid=session.sid,
                user_id=session.user_id,
                trigger=trigger,
                expires_at=session.expires_at,
            )
        )
        return self._again(issued, cookie_header)

    async def _refuse(self, step: str, detail: str, cookie_header: str, client: str | None) -> Loaded[ClaimsT]:
        code = TokenError(step).code
        if step != "missing":
            await self._emit(session_refused(step, detail, at=self._clock(), client=client))
        return Loaded(code=code, step=step, cookies=() if step in _KEPT else self.cleared(cookie_header))
