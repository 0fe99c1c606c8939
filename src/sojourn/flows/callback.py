"""code → tokens → profile → user → claims → token → cookie: the second half of signing in (nextauth.md 4.2, 4.5)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.callbacks import call
from sojourn.cookies import Cookie, CookieNames
from sojourn.errors import SignInRefused, StoreUnavailable
from sojourn.flows.admission import Proof
from sojourn.flows.limits import SignInLimiter
from sojourn.flows.visit import Visit
from sojourn.identifiers import normalise_email, normalise_username
from sojourn.models import Account, Profile
from sojourn.oauth import authorization, transaction
from sojourn.oauth.client import OAuthClient
from sojourn.oauth.transaction import Transaction
from sojourn.passwords import PasswordHasher, check_password
from sojourn.ports import OnceStore, UserStore
from sojourn.providers import CredentialsProvider, OAuthProvider, OIDCProvider
from sojourn.providers.profiles import normalise
from sojourn.tokens import TokenFormat

__all__ = ["finish_sign_in", "finished_cookies", "prove_credentials", "transaction_of"]

_LONGEST_NAME = 320


def transaction_of(
    visit: Visit,
    pairs: Sequence[tuple[str, str]],
    provider_id: str,
    *,
    seal_with: TokenFormat,
    names: CookieNames,
    now: int,
) -> Transaction:
    """The transaction that this answer belongs to; raises `SignInRefused`."""
    state = authorization.read_state(pairs)
    value = visit.cookies.get(f"{names.transaction}.{transaction.id_of(state)}")
    return transaction.open(value, seal_with, state=state, provider=provider_id, now=now)


def finished_cookies(visit: Visit, pairs: Sequence[tuple[str, str]], names: CookieNames) -> tuple[Cookie, ...]:
    """Deletions for the transaction that this answer names: whatever becomes of it, it is over (COO-13)."""
    wanted = {f"{names.transaction}.{transaction.id_of(value)}" for name, value in pairs if name == "state"}
    return tuple(Cookie(name=name, value="", secure=names.secure).deleted() for name in visit.cookies if name in wanted)


async def finish_sign_in(
    opened: Transaction,
    pairs: Sequence[tuple[str, str]],
    provider: OAuthProvider | OIDCProvider,
    *,
    client: OAuthClient,
    once: OnceStore,
    redirect_uri: str,
) -> Proof:
    """Spend the transaction and turn the provider's answer into a proof; raises `SignInRefused`."""
    key = hashlib.sha256(f"state:{opened.state}".encode()).hexdigest()
    if not await once.spend(key, opened.expires_at + 60):
        raise SignInRefused("OAuthCallback", "transaction_spent", "this sign-in was finished already")
    identity = await client.finish(provider, opened, pairs, redirect_uri)
    return Proof(
        profile=identity.profile,
        account=identity.account,
        trust_email=provider.trust_email,
        tokens=identity.tokens if provider.keep_tokens else None,
        raw=identity.raw,
        claims=identity.claims,
    )


async def prove_credentials(
    visit: Visit,
    provider: CredentialsProvider,
    *,
    users: UserStore | None,
    hasher: PasswordHasher,
    limiter: SignInLimiter | None,
    network: str,
) -> Proof:
    """Ask the application, or the users table, who these credentials belong to; raises `SignInRefused`."""
    if limiter is None:
        return await _prove(visit, provider, users, hasher)
    taken = await limiter.take(_account_name(visit.fields), network)
    if isinstance(taken, int):
        raise SignInRefused(
            "RateLimited", "rate_limited", f"too many failed sign-ins, wait {taken} s", (("retry_after", str(taken)),)
        )
    try:
        proof = await _prove(visit, provider, users, hasher)
    except StoreUnavailable:
        await limiter.give_back(taken)  # Who kept trying through an outage must not be shut out after it.
        raise
    await limiter.succeeded(taken)
    return proof


async def _prove(visit: Visit, provider: CredentialsProvider, users: UserStore | None, hasher: PasswordHasher) -> Proof:
    profile = await _authorize(visit, provider, users, hasher)
    if profile is None:
        raise SignInRefused(
            "CredentialsSignin", "credentials", "unknown user or wrong password", (("provider", provider.id),)
        )
    account = Account(provider=provider.id, provider_account_id=profile.id, type="credentials")
    return Proof(profile=profile, account=account, trust_email=provider.trust_email, local=provider.authorize is None)


def _account_name(fields: Mapping[str, Any]) -> str | None:
    # Spellings of one account share one count (CRE-06), whatever a name may look like to the application.
    name = next(
        (fields[key] for key in ("username", "email") if fields.get(key) and isinstance(fields[key], str)), None
    )
    if name is None:
        return None
    spelling = normalise_username(name) or normalise_email(name)
    if spelling is None:
        spelling = unicodedata.normalize("NFKC", name[:_LONGEST_NAME]).casefold().strip()
    return hashlib.sha256(spelling.encode("utf-8", "surrogatepass")).hexdigest()


async def _authorize(
    visit: Visit, provider: CredentialsProvider, users: UserStore | None, hasher: PasswordHasher
) -> Profile | None:
    if provider.authorize is None:
        if users is None:
            raise StoreUnavailable("users", "no user store is configured")
        return await check_password(users, hasher, visit.fields)
    form = {name: value for name, value in visit.fields.items() if isinstance(value, str)}
    try:
        profile = await call(provider.authorize, form)
        return None if profile is None else normalise(profile)
    except StoreUnavailable:
        raise
    except Exception as error:
        raise SignInRefused(
            "CredentialsSignin", "authorize_callback", f"raised {type(error).__name__}", (("provider", provider.id),)
        ) from error
