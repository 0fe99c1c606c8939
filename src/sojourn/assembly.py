"""What answers under the base path, put together: loaded when it is first needed, not by who only checks tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sojourn.arrivals import Arrivals
from sojourn.config import AuthConfig
from sojourn.cookies import CookieNames
from sojourn.devices import DevicesEndpoint
from sojourn.endpoints import Endpoints
from sojourn.events import Event
from sojourn.flows.admission import Admission
from sojourn.flows.devices import Devices
from sojourn.flows.dialect import AuthJSV5, NextAuthV4
from sojourn.flows.limits import SignInLimiter
from sojourn.flows.provider_tokens import TokenVault
from sojourn.flows.revocation import Revoker
from sojourn.flows.session import SessionFlow
from sojourn.flows.visit import Visit, read_visit
from sojourn.http import Request
from sojourn.keys import Keyring
from sojourn.models import ClaimsT
from sojourn.oauth.client import OAuthClient
from sojourn.passwords import PasswordHasher
from sojourn.policy.origin import client_address, network_of
from sojourn.ports import Clock, UserStore
from sojourn.screens import Screens
from sojourn.stores import Stores
from sojourn.stores.memory_sessions import MemoryCounterStore
from sojourn.strategies import Strategy
from sojourn.tokens import NextAuthV4 as NextAuthV4Token

__all__ = ["assemble"]


def assemble(
    config: AuthConfig[ClaimsT],
    *,
    names: CookieNames,
    keyring: Keyring,
    stores: Stores,
    users: UserStore | None,
    vault: TokenVault | None,
    strategy: Strategy[ClaimsT],
    sessions: SessionFlow[ClaimsT],
    revoker: Revoker,
    devices: Devices,
    oauth: OAuthClient,
    jwks: Callable[[], Mapping[str, Any]],
    clock: Clock,
    emit: Callable[[Event], Awaitable[None]],
) -> Endpoints[ClaimsT]:
    """The endpoints of this configuration; `users` is None where no database was configured."""
    base = config.base
    dialect = NextAuthV4() if config.compat == "nextauth-v4" else AuthJSV5()

    async def visit_of(request: Request) -> Visit:
        return await read_visit(
            request,
            names=names,
            secrets_newest_first=keyring.secrets,
            joined_hash=dialect.joined_csrf_hash,
            origin=base.origin,
            callbacks=config.callbacks,
            domain=config.cookie_domain,
        )

    def client_network(request: Request) -> str:
        return network_of(client_address(request, config.trusted_proxies) or "")

    arrivals: Arrivals[ClaimsT] = Arrivals(
        base=base.base,
        origin=base.origin,
        dialect=dialect,
        names=names,
        admission=Admission(
            claims_type=config.claims,
            strategy=strategy,
            sessions=sessions,
            revoker=revoker,
            callbacks=config.callbacks,
            users=users,
            vault=vault,
            clock=clock,
            emit=emit,
        ),
        read_visit=visit_of,
        oauth=oauth,
        transactions=NextAuthV4Token(keyring, salt="sojourn.transaction"),
        once=stores.once,
        users=users,
        hasher=PasswordHasher(),
        limiter=None
        if config.rate is None
        else SignInLimiter(
            *config.rate, store=stores.counters, fallback=MemoryCounterStore(clock), clock=clock, emit=emit
        ),
        network_of=client_network,
        new_user_page=config.pages.new_user,
        clock=clock,
        emit=emit,
    )
    return Endpoints(
        base=base.base,
        base_path=base.base_path,
        origin=base.origin,
        dialect=dialect,
        providers={provider.id: provider for provider in config.providers},
        sessions=sessions,
        arrivals=arrivals,
        devices=DevicesEndpoint(origin=base.origin, devices=devices, sessions=sessions, read_visit=visit_of),
        screens=Screens(
            base=base.base,
            base_path=base.base_path,
            origin=base.origin,
            providers=config.providers,
            own=config.pages,
            site_name=config.site_name,
            inline_codes=config.compat == "nextauth-v4",
        ),
        read_visit=visit_of,
        revoker=revoker,
        jwks=jwks,
        clock=clock,
        emit=emit,
    )
