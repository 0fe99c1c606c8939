"""Auth: the configured whole. Builds every part once, and is the only place that sees the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self

from sojourn import stores
from sojourn.callbacks import Callbacks
from sojourn.config import AuthConfig, Pages, RateLimit, SessionPolicy, warn_of_size
from sojourn.cookies import cookie_names
from sojourn.errors import ConfigError, StoreUnavailable, TokenError
from sojourn.events import Dispatcher, Event
from sojourn.flows.failures import session_missing, store_failed, unauthorized, unavailable
from sojourn.flows.hosts import StrangeHosts
from sojourn.flows.housekeeping import keep_tidy
from sojourn.flows.session import Loaded, SessionFlow
from sojourn.http import Request, Response
from sojourn.keys import Keyring, SigningKeys
from sojourn.models import Claims, ClaimsT, Device, Session
from sojourn.placement import devices_of, in_store, in_tokens, records_in, revoker_of
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Clock, Transport, system_clock
from sojourn.providers import Provider
from sojourn.strategies import JWTStrategy, Strategy
from sojourn.tokens import NextAuthV4

if TYPE_CHECKING:
    from sojourn.endpoints import Endpoints
    from sojourn.flows.provider_tokens import TokenVault
    from sojourn.oauth.client import OAuthClient
    from sojourn.oauth.token_endpoint import ProviderTokens

__all__ = ["Auth"]


class Auth(Generic[ClaimsT]):
    """Session management for one application.

    Start it with `await auth.start()` (adapters do), hand requests under `base_path` to `handle`, and ask `load` for
    the session of any other. `verify` and `issue` are synchronous and do no I/O. Raises `ConfigError` for settings that
    cannot work.
    """

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        secrets: Sequence[str | bytes] | None = None,
        base_url: str | None = None,
        providers: Sequence[Provider] = (),
        database: str | None = None,
        redis: str | None = None,
        compat_tables: bool = False,
        compat: str = "nextauth-v4",
        trusted_proxies: Sequence[str] = (),
        session: SessionPolicy | None = None,
        claims: type[ClaimsT] | None = None,
        callbacks: Callbacks[ClaimsT] | None = None,
        on_event: Callable[[Event], Awaitable[None] | None] | None = None,
        rate_limit: RateLimit | None = None,
        pages: Pages | None = None,
        signing_keys: Sequence[str] = (),
        cookie_domain: str | None = None,
        site_name: str | None = None,
        clock: Clock = system_clock,
        transport: Transport | None = None,
    ) -> None:
        config: AuthConfig[ClaimsT] = AuthConfig.build(
            secret=secret,
            secrets=secrets,
            base_url=base_url,
            providers=providers,
            database=database,
            redis=redis,
            compat_tables=compat_tables,
            compat=compat,
            trusted_proxies=trusted_proxies,
            session=session,
            claims=claims or Claims,  # type: ignore[arg-type]  # ClaimsT defaults to Claims
            callbacks=callbacks,
            on_event=on_event,
            rate_limit=rate_limit,
            pages=pages,
            signing_keys=signing_keys,
            cookie_domain=cookie_domain,
            site_name=site_name,
        )
        self._build(config, clock, transport)

    @classmethod
    def from_config(
        cls, config: AuthConfig[ClaimsT], *, clock: Clock = system_clock, transport: Transport | None = None
    ) -> Self:
        """The same from a configuration that is judged already, as `sojourn.configfile` reads it."""
        auth = cls.__new__(cls)
        auth._build(config, clock, transport)
        return auth

    def _build(self, config: AuthConfig[ClaimsT], clock: Clock, transport: Transport | None) -> None:
        self.config = config
        self.base_url: str = config.base.base
        self.base_path: str = config.base.base_path
        self.origin: str = config.base.origin
        self._clock = clock
        self._emit = emit = Dispatcher(config.on_event)
        self._hosts = StrangeHosts(config.base, config.trusted_proxies, clock, emit)
        self._catch_up_at = 0
        self._tidying: asyncio.Task[None] | None = None
        keyring = Keyring(config.secrets)
        self._names = cookie_names(
            config.compat,
            secure=config.base.secure,
            share_with=config.cookie_domain,
            max_chunks=config.session.max_chunks,
        )
        self._stores = stores.open_stores(
            config.database,
            config.redis,
            sessions_in_redis=records_in(config) == "redis",
            shared_with=config.lifetimes if config.compat_tables else None,
            clock=clock,
        )
        users = self._stores.users if config.database is not None else None
        ended = EndedSessions()
        keys = SigningKeys(config.signing_keys) if config.signing_keys else None
        self._verifier: JWTStrategy[ClaimsT] | None = None
        self._strategy: Strategy[ClaimsT]
        if config.session.strategy == "jwt":
            self._strategy = self._verifier = in_tokens(
                config, self._stores, names=self._names, keyring=keyring, signing_keys=keys, ended=ended, clock=clock
            )
        else:
            self._strategy = in_store(config, self._stores, ended=ended, clock=clock)
        self._revoker = revoker_of(config, self._stores, ended=ended, clock=clock, emit=emit)
        self._devices = devices_of(config, self._stores, self._revoker, ended=ended, clock=clock)
        self._sessions: SessionFlow[ClaimsT] = SessionFlow(
            strategy=self._strategy,
            verifier=self._verifier,
            names=self._names,
            lifetimes=config.lifetimes,
            callbacks=config.callbacks,
            users=users,
            revoker=self._revoker,
            clock=clock,
            emit=emit,
            domain=config.cookie_domain,
        )
        self._transport = transport
        self._users = users
        self._keyring = keyring
        self._jwks: Callable[[], Mapping[str, Any]] = keys.public_jwks if keys is not None else lambda: {"keys": []}
        if self._verifier is not None:
            warn_of_size(config.claims, self._names.chunk_limit)

    @cached_property
    def _oauth(self) -> OAuthClient:
        from sojourn.oauth import client

        return client.OAuthClient(self._transport, self._clock)

    @cached_property
    def _vault(self) -> TokenVault | None:
        if self._users is None:
            return None
        from sojourn.flows.provider_tokens import SEAL_PURPOSE, TokenVault

        return TokenVault(NextAuthV4(self._keyring, salt=SEAL_PURPOSE), self._users)

    @cached_property
    def _endpoints(self) -> Endpoints[ClaimsT]:
        # A third of all the code, and who mounts nothing but checks tokens never needs it.
        from sojourn.assembly import assemble

        return assemble(
            self.config,
            names=self._names,
            keyring=self._keyring,
            stores=self._stores,
            users=self._users,
            vault=self._vault,
            strategy=self._strategy,
            sessions=self._sessions,
            revoker=self._revoker,
            devices=self._devices,
            oauth=self._oauth,
            jwks=self._jwks,
            clock=self._clock,
            emit=self._emit,
        )

    async def start(self) -> None:
        """Open the stores and take over what ended before; a database that is down is not fatal.

        Raises `ConfigError` for a database setting that can never work.
        """
        try:
            await self._stores.start()
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
        else:
            await self._catch_up()
        loop = asyncio.get_running_loop()
        if self._devices.are_listed and (self._tidying is None or self._tidying.get_loop() is not loop):
            self._tidying = loop.create_task(keep_tidy(self._stores.sessions, self._clock, self._emit))

    async def aclose(self) -> None:
        """Close the stores and the connections to providers."""
        tidying, self._tidying = self._tidying, None
        if tidying is not None and tidying.get_loop() is asyncio.get_running_loop():  # else it ended with its loop
            tidying.cancel()
            await asyncio.wait([tidying])
        if "_oauth" in self.__dict__:  # else it was never made
            await self._oauth.aclose()
        await self._stores.aclose()

    async def handle(self, request: Request) -> Response:
        """Answer a request under `base_path`."""
        if not self._revoker.caught_up:
            await self._catch_up()
        return await self._endpoints.handle(request)

    async def load(self, request: Request) -> Loaded[ClaimsT]:
        """The session of a request, extended if it is due; `cookies` of the result belong on the response."""
        if not self._revoker.caught_up:
            await self._catch_up()
        loaded = await self._sessions.load(request.headers.get("cookie", ""), request.client)
        return loaded if loaded.step != "missing" else await self._hosts.explained(request, loaded)

    def current(self, cookie_header: str) -> Loaded[ClaimsT] | None:
        """The session of a Cookie header when it is good as it is: no I/O, no await. `None`: ask `load`."""
        return self._sessions.current(cookie_header) if self._revoker.caught_up else None

    def unauthorized(self, loaded: Loaded[Any]) -> Response:
        """401 with `WWW-Authenticate`, or 503 with `Retry-After` when nobody can tell who is signed in."""
        if loaded.unavailable is not None:
            return unavailable(loaded.unavailable)
        if loaded.step == "missing":
            self._emit.log(session_missing(at=self._clock()))
        return unauthorized(self.origin, loaded.code, loaded.detail)

    async def unavailable(self, error: StoreUnavailable) -> Response:
        """503 for a store that failed outside of our own endpoints, with its event: `await session.user()`, say."""
        await self._emit(store_failed(error, at=self._clock()))
        return unavailable(error)

    def verify(self, token: str) -> Session[ClaimsT]:
        """The session that a token carries, without I/O; raises `TokenError` with the step that refused.

        Only where sessions live in their tokens; `find` serves both strategies.
        """
        return self._tokens("verify").verify(token)

    async def find(self, token: str) -> Session[ClaimsT]:
        """The session of a token of either strategy, for whoever has a token and no request.

        Raises `TokenError` with the step that refused, and `StoreUnavailable` when only a store could tell.
        """
        session = await self._strategy.find(token)
        if self._clock() >= session.expires_at + self.config.lifetimes.leeway:  # grace is for who can be extended
            raise TokenError("expired")
        return session

    def issue(self, claims: ClaimsT | Mapping[str, Any]) -> str:
        """A session token for these claims; raises `ClaimsTooLarge`, and `TokenError` when that session ended."""
        strategy = self._tokens("issue")
        if not isinstance(claims, Claims):
            claims = strategy.codec.from_mapping(claims)
        return strategy.issue(claims, auth_time=claims.auth_time or None, sid=claims.sid or None).token

    def _tokens(self, asked: str) -> JWTStrategy[ClaimsT]:
        if self._verifier is None:
            fix = 'auth.verify and auth.issue need strategy = "jwt"; `await auth.find(token)` asks the store.'
            raise ConfigError("session.strategy", f"auth.{asked} with sessions in a store", fix)
        return self._verifier

    async def sessions(self, user_id: str) -> Sequence[Device]:
        """Where somebody is signed in, newest first; `ConfigError` where nothing lists it, `StoreUnavailable`."""
        return await self._devices.list(user_id)

    async def end_session(self, sid: str, *, reason: str = "revoked") -> bool:
        """End one session, whoever's it is; whether a record named it. Raises `StoreUnavailable`."""
        return await self._devices.end_named(sid, reason)

    async def end_sessions(self, user_id: str, but: str | None = None, *, reason: str = "revoked") -> int:
        """End all of somebody's sessions, or those listed `but` one; how many a list had. Raises as `sessions`."""
        if but is None:
            return len(await self._devices.end_all(user_id, reason))
        return len(await self._devices.end_others(user_id, but=but, reason=reason))

    async def purge(self, *, limit: int = 1000) -> int:
        """Drop at most `limit` stored sessions that nobody needs any more; how many. Raises `StoreUnavailable`."""
        return await self._stores.sessions.purge(limit=limit)

    async def provider_tokens(self, user_id: str, provider: str) -> ProviderTokens | None:
        """What a provider with `keep_tokens=True` handed out for this user at their last sign-in through it.

        None if nothing is kept, or nothing that a secret of this server opens. Raises `StoreUnavailable`.
        """
        return await self._vault.of(user_id, provider) if self._vault is not None else None

    async def _catch_up(self) -> None:
        # A database that was down at the start must not let in what ended before: tried once a second until it answers.
        now = self._clock()
        if now < self._catch_up_at:
            return
        self._catch_up_at = now + 1
        try:
            await self._revoker.catch_up()
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
