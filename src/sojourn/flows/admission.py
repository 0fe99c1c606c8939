"""A proven identity → the user's record → claims → a new session: the part that every way of signing in shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, assert_never

import msgspec

from sojourn.callbacks import Callbacks, ClaimsChange, SignInAttempt, call, unusable_claims
from sojourn.claims import for_user
from sojourn.cookies import Cookie
from sojourn.errors import ClaimsTooLarge, Conflict, SignInRefused, StoreUnavailable, TokenError
from sojourn.events import AccountLinked, Event, SessionStarted, UserCreated
from sojourn.flows.provider_tokens import TokenVault
from sojourn.flows.revocation import Revoker
from sojourn.flows.session import SessionFlow
from sojourn.identifiers import uuid7
from sojourn.models import Account, ClaimsT, Profile, Session, User
from sojourn.oauth.token_endpoint import ProviderTokens
from sojourn.policy import linking
from sojourn.ports import Clock, UserStore
from sojourn.strategies import Arrival, Strategy

__all__ = ["Admission", "Admitted", "Proof"]

# A lost race is decided anew on what the winner wrote; a third loss means that something else is wrong.
_ATTEMPTS = 3


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody proved to be, by which account; `local` profiles are rows of our own users table.

    `tokens` is what the provider handed out, where that is to be kept.
    """

    profile: Profile
    account: Account
    trust_email: bool = False
    local: bool = False
    tokens: ProviderTokens | None = None
    raw: Mapping[str, Any] = msgspec.field(default_factory=dict)
    claims: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Admitted(msgspec.Struct, Generic[ClaimsT], frozen=True, kw_only=True):
    """A started session and its cookies, or the `location` where the application's `sign_in` sends the browser."""

    session: Session[ClaimsT] | None
    cookies: tuple[Cookie, ...] = ()
    new_user: bool = False
    location: str | None = None


class Admission(Generic[ClaimsT]):
    """Turns a `Proof` into a session, or raises `SignInRefused`."""

    def __init__(
        self,
        *,
        claims_type: type[ClaimsT],
        strategy: Strategy[ClaimsT],
        sessions: SessionFlow[ClaimsT],
        revoker: Revoker,
        callbacks: Callbacks[ClaimsT],
        users: UserStore | None,
        vault: TokenVault | None,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._claims_type = claims_type
        self._strategy = strategy
        self._sessions = sessions
        self._revoker = revoker
        self._callbacks = callbacks
        self._users = users
        self._vault = vault
        self._clock = clock
        self._emit = emit

    async def admit(
        self, proof: Proof, *, cookie_header: str, client: str | None, user_agent: str | None = None
    ) -> Admitted[ClaimsT]:
        """Let in whom `proof` names; the session that came with the request ends (SES-03)."""
        current = (await self._sessions.carried(cookie_header)).session
        replaced = await self._sessions.owned(cookie_header)
        known = await self._owner(proof)
        answer = await self._may_enter(proof, known)
        if isinstance(answer, str):
            return Admitted(session=None, location=answer)
        user, created = await self._user(proof, current)
        if self._vault is not None and proof.tokens is not None:
            await self._vault.keep(proof.tokens, proof.account, user.id)
        claims = await self._claims(proof, user, created)
        arrival = Arrival(provider=proof.account.provider, client=client, user_agent=user_agent)
        try:
            issued = await self._strategy.start(claims, arrival)
        except ClaimsTooLarge as error:
            raise SignInRefused("Callback", "claims_too_large", str(error)) from error
        except Conflict as error:
            raise SignInRefused("AccessDenied", "disabled", "the user was deleted meanwhile") from error
        except TokenError as error:
            detail = "all of this user's sessions ended just now, by a clock that is ahead of this one"
            raise StoreUnavailable("sessions", detail) from error
        # Should this fail, nobody ever learns the new session's secret, and the old one goes on.
        for older in replaced:
            await self._revoker.end(older, "replaced")
        session = issued.session
        await self._emit(
            SessionStarted(
                at=session.issued_at,
                sid=session.sid,
                user_id=session.user_id,
                provider=proof.account.provider,
                new_user=created,
                client=client,
            )
        )
        return Admitted(session=session, cookies=self._sessions.cookies_for(issued, cookie_header), new_user=created)

    async def _owner(self, proof: Proof) -> User | None:
        if self._users is None:
            return None
        if proof.local:
            return await self._users.get(proof.profile.id)
        return await self._users.get_by_account(proof.account.provider, proof.account.provider_account_id)

    async def _may_enter(self, proof: Proof, known: User | None) -> bool | str:
        if self._callbacks.sign_in is None:
            return True
        attempt = SignInAttempt(profile=proof.profile, account=proof.account, user=known, raw=proof.raw)
        try:
            answer: bool | str = await call(self._callbacks.sign_in, attempt)
        except Exception as error:
            raise SignInRefused("AccessDenied", "sign_in_callback", f"raised {type(error).__name__}") from error
        if not answer:
            raise SignInRefused("AccessDenied", "sign_in_callback", "the application refused")
        return answer

    async def _user(self, proof: Proof, current: Session[ClaimsT] | None) -> tuple[User, bool]:
        if self._users is None:
            return self._without_store(proof), False
        for _ in range(_ATTEMPTS):
            try:
                return await self._linked(self._users, proof, current)
            except Conflict:
                continue  # somebody else's first sign-in of the same person came first: decide again on what they wrote
        raise StoreUnavailable("users", "the same person kept signing in elsewhere at the same moment")

    def _without_store(self, proof: Proof) -> User:
        # Two providers may both know a "1": without records to tell them apart, the provider is part of the name.
        profile = proof.profile
        user_id = profile.id if proof.account.type == "credentials" else f"{proof.account.provider}|{profile.id}"
        return User(id=user_id, username=profile.username, name=profile.name, email=profile.email, image=profile.image)

    async def _linked(self, users: UserStore, proof: Proof, current: Session[ClaimsT] | None) -> tuple[User, bool]:
        profile, account, now = proof.profile, proof.account, self._clock()
        owner = await self._owner(proof)
        # Who types a name and a password signs in as themselves, whoever was signed in on this device before.
        adds_to = current if account.type != "credentials" else None
        signed_in = await users.get(adds_to.user_id) if adds_to is not None else None
        email_owner = await users.get_by_email(profile.email) if profile.email and owner is None else None
        accounts: Sequence[Account] = ()
        if email_owner is not None:
            # Between the two readings somebody else's first sign-in of the same person may have come through.
            owner = await self._owner(proof)
            accounts = await users.list_accounts(email_owner.id)
        decision = linking.decide(
            profile=profile,
            provider_id=account.provider,
            trust_email=proof.trust_email,
            owner=owner,
            signed_in=signed_in,
            email_owner=email_owner,
            email_owner_accounts=accounts,
        )
        match decision:
            case linking.SignIn(user=user):
                await users.record_login(user.id, now)
                return user.replace(last_login_at=now), False
            case linking.Link(user=user, reason=reason):
                await users.link(_owned(account, user.id, now))
                await users.record_login(user.id, now)
                await self._emit(AccountLinked(at=now, user_id=user.id, provider=account.provider, reason=reason))
                return user.replace(last_login_at=now), False
            case linking.Create():
                user = _new_user(proof, now)
                user = await users.create(user, _owned(account, user.id, now))
                await self._emit(UserCreated(at=now, user_id=user.id, provider=account.provider))
                return user, True
            case linking.Refuse(step=step, detail=detail, methods=methods):
                code = "AccessDenied" if step == "disabled" else "OAuthAccountNotLinked"
                params = (("methods", ",".join(methods)),) if methods else ()
                raise SignInRefused(code, step, detail, params)
            case _:
                assert_never(decision)

    async def _claims(self, proof: Proof, user: User, created: bool) -> ClaimsT:
        claims = for_user(self._claims_type, user, proof.profile)
        fields = {name: value for name, value in proof.claims.items() if name in self._claims_type.__struct_fields__}
        filled = claims.replace(**fields)
        if unusable_claims(filled, self._claims_type) is None:  # what comes on top cannot undo a sign-in
            claims = filled
        if self._callbacks.claims is None:
            return claims
        change = ClaimsChange(
            trigger="sign_up" if created else "sign_in",
            user=user,
            account=proof.account,
            profile=proof.profile,
            raw=proof.raw,
        )
        try:
            changed = await call(self._callbacks.claims, claims, change)
        except Exception as error:
            raise SignInRefused("Callback", "claims_callback", f"raised {type(error).__name__}") from error
        reason = unusable_claims(changed, self._claims_type)
        if reason is not None:
            raise SignInRefused("Callback", "claims_callback", reason)
        # Who the session belongs to was proven above; what the application fills in cannot change it (N-22).
        return changed.replace(sub=claims.sub)


def _owned(account: Account, user_id: str, now: int) -> Account:
    return Account(
        provider=account.provider,
        provider_account_id=account.provider_account_id,
        type=account.type,
        user_id=user_id,
        scope=account.scope,
        created_at=now,
    )


def _new_user(proof: Proof, now: int) -> User:
    profile = proof.profile
    return User(
        id=str(uuid7(now)),
        name=profile.name,
        email=profile.email,
        email_verified_at=now if profile.email and profile.email_verified and proof.trust_email else None,
        image=profile.image,
        created_at=now,
        last_login_at=now,
    )
