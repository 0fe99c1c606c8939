"""Where the configuration puts sessions: in their tokens, in a store, or another program's tables; and how they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sojourn.claims import ClaimsCodec
from sojourn.config import AuthConfig
from sojourn.cookies import CookieNames
from sojourn.events import Event
from sojourn.flows.devices import Devices
from sojourn.flows.revocation import Revoker
from sojourn.keys import Keyring, SigningKeys
from sojourn.models import ClaimsT
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, SessionStore
from sojourn.settings import StoreKind
from sojourn.stores import Stores, is_lasting
from sojourn.strategies import JWTStrategy, Strategy
from sojourn.tokens.formats import session_format

__all__ = ["devices_of", "in_store", "in_tokens", "records_in", "records_of", "revoker_of"]


def records_in(config: AuthConfig[Any]) -> StoreKind | None:
    """Which store has a record of each session: of those it keeps, or of those in tokens so that they can be listed.

    None where sessions are in tokens and nothing lasts that could list them.
    """
    if config.session.strategy == "database":
        return "redis" if config.session.store == "redis" else "database"
    # An Auth.js adapter's table has room for its own sessions only.
    if config.database is not None and is_lasting(config.database) and not config.compat_tables:
        return "database"
    return "redis" if config.redis is not None else None


def records_of(config: AuthConfig[Any], stores: Stores) -> SessionStore | None:
    """That store; `stores` were opened with `sessions_in_redis` if it is Redis."""
    return None if records_in(config) is None else stores.sessions


def revoker_of(
    config: AuthConfig[Any],
    stores: Stores,
    *,
    ended: EndedSessions,
    clock: Clock,
    emit: Callable[[Event], Awaitable[None]],
) -> Revoker:
    """Ends sessions wherever they are."""
    in_tokens = config.session.strategy == "jwt"
    records = records_of(config, stores)
    return Revoker(
        log=stores.revocations,
        sessions=None if in_tokens else records,
        listed=records if in_tokens else None,
        ended=ended,
        lifetimes=config.lifetimes,
        clock=clock,
        emit=emit,
    )


def devices_of(
    config: AuthConfig[Any], stores: Stores, revoker: Revoker, *, ended: EndedSessions, clock: Clock
) -> Devices:
    """Lists sessions wherever they have records, and ends them."""
    records = records_of(config, stores)
    return Devices(records=records, revoker=revoker, ended=ended, lifetimes=config.lifetimes, clock=clock)


def in_tokens(
    config: AuthConfig[ClaimsT],
    stores: Stores,
    *,
    names: CookieNames,
    keyring: Keyring,
    signing_keys: SigningKeys | None,
    ended: EndedSessions,
    clock: Clock,
) -> JWTStrategy[ClaimsT]:
    """The strategy whose checks ask no store; a list of its sessions is kept where it lasts."""
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
        records=records_of(config, stores),
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
