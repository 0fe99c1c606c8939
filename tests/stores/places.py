"""Every place where a session can live, as settings of `Auth`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from sojourn import Auth, SessionPolicy
from sojourn.events import Event
from sojourn.oauth.transport import HTTPTransport
from sojourn.providers import OIDC, Credentials
from sojourn.testing import DrivenClock
from tests.hostile_provider import CLIENT_ID, CLIENT_SECRET, HostileProvider
from tests.refusals.sites import NO_AUTHORITIES
from tests.support import Browser, MyClaims, check_password, make_auth


class Place(msgspec.Struct, frozen=True):
    """Where sessions live: a strategy, a kind of database, and a kind of Redis server beside it."""

    name: str
    strategy: str
    database: str | None
    redis: str | None = None
    with_user: bool = False

    @property
    def lasting(self) -> bool:
        """Whether sessions are still there after a restart."""
        return self.strategy == "jwt" or self.database != "memory" or self.redis is not None

    @property
    def shared(self) -> bool:
        """Whether two processes see the same sessions at once."""
        return self.strategy == "database" and self.lasting

    def settings(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """What `Auth` is to be told."""
        store = "redis" if self.redis is not None and self.strategy == "database" else None
        return {
            "database": urls[self.database] if self.database is not None else None,
            "redis": urls[self.redis] if self.redis is not None else None,
            "session": SessionPolicy(strategy=self.strategy, store=store, with_user=self.with_user),
        }


PLACES = (
    Place("token", "jwt", None),
    Place("token, users in memory", "jwt", "memory"),
    Place("token, users in SQLite", "jwt", "sqlite"),
    Place("token, users in PostgreSQL", "jwt", "postgresql"),
    Place("memory", "database", "memory"),
    Place("SQLite", "database", "sqlite"),
    Place("SQLite with users", "database", "sqlite", with_user=True),
    Place("PostgreSQL", "database", "postgresql"),
    Place("PostgreSQL with users", "database", "postgresql", with_user=True),
    Place("PostgreSQL by psycopg", "database", "psycopg"),
    Place("Redis", "database", None, "redis"),
    Place("Redis, users in SQLite", "database", "sqlite", "redis"),
    Place("Redis, users in PostgreSQL", "database", "postgresql", "redis"),
    Place("Redis Cluster, users in PostgreSQL", "database", "postgresql", "cluster"),
    Place("token, endings in Redis", "jwt", None, "redis"),
    Place("token, users in PostgreSQL, limits in Redis", "jwt", "postgresql", "redis"),
)


class Running:
    """One or more processes of one application at one place."""

    def __init__(self, place: Place, settings: dict[str, Any], op: HostileProvider, clock: DrivenClock) -> None:
        self.place = place
        self.op = op
        self.clock = clock
        self.events: list[Event] = []
        self._settings = settings
        self._stack = AsyncExitStack()

    async def process(self, **settings: Any) -> Auth[MyClaims]:
        """One more that is started."""
        authorize = check_password if self.place.database is None else None
        providers = [
            Credentials(authorize=check_password),
            Credentials(id="table", authorize=authorize),
            OIDC(id="op", issuer=self.op.base, client_id=CLIENT_ID, client_secret=CLIENT_SECRET),
        ]
        defaults: dict[str, Any] = {"providers": providers, "transport": HTTPTransport(tls=NO_AUTHORITIES)}
        auth = make_auth(self.clock, self.events, **(defaults | self._settings | settings))
        await auth.start()
        self._stack.push_async_callback(auth.aclose)
        return auth

    async def browser(self) -> Browser:
        """A new browser in front of a new process."""
        return Browser(await self.process())

    async def aclose(self) -> None:
        """End every process."""
        await self._stack.aclose()


@asynccontextmanager
async def running(place: Place, urls: Mapping[str, str]) -> AsyncIterator[Running]:
    """The place, with a provider that signs people in."""
    clock = DrivenClock()
    async with HostileProvider(clock()) as op:
        there = Running(place, place.settings(urls), op, clock)
        try:
            yield there
        finally:
            await there.aclose()
