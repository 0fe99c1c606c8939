"""Where the configuration puts sessions: in their tokens, in a store, or in another program's tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sojourn.claims import ClaimsCodec
from sojourn.config import AuthConfig
from sojourn.cookies import CookieNames
from sojourn.keys import Keyring, SigningKeys
from sojourn.models import ClaimsT
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock
from sojourn.stores import Stores
from sojourn.strategies import JWTStrategy, Strategy
from sojourn.tokens.formats import session_format

__all__ = ["in_store", "in_tokens"]


def in_tokens(
    config: AuthConfig[ClaimsT],
    *,
    names: CookieNames,
    keyring: Keyring,
    signing_keys: SigningKeys | None,
    ended: EndedSessions,
    clock: Clock,
    make_sure: Callable[[], Awaitable[None]] | None,
) -> JWTStrategy[ClaimsT]:
    """The strategy that asks no store, as long as what ended elsewhere is known."""
    return JWTStrategy(
        token_format=session_format(
            config.session.token,
            config.compat,
            keyring=keyring,
            signing_keys=signing_keys,
            cookie_name=names.session,
            issuer=config.base.origin,
        ),
        codec=ClaimsCodec(config.claims),
        lifetimes=config.lifetimes,
        ended=ended,
        clock=clock,
        budget=names.budget,
        make_sure=make_sure,
    )


def in_store(config: AuthConfig[ClaimsT], stores: Stores, *, ended: EndedSessions, clock: Clock) -> Strategy[ClaimsT]:
    """The strategy of sessions that are records: ours, or an Auth.js adapter's."""
    if stores.tokens is not None:
        from sojourn.strategies.authjs import AuthJSStrategy

        return AuthJSStrategy(
            table=stores.tokens, claims_type=config.claims, lifetimes=config.lifetimes, ended=ended, clock=clock
        )
    from sojourn.strategies.database import DatabaseStrategy

    return DatabaseStrategy(
        store=stores.sessions,
        codec=ClaimsCodec(config.claims),
        lifetimes=config.lifetimes,
        ended=ended,
        clock=clock,
        with_user=config.session.with_user,
    )
