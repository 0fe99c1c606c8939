"""A whole site for attacks: password and provider sign-in, every event and every response kept, canaries planted."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from sojourn import Auth
from sojourn.events import Event
from sojourn.http import Response
from sojourn.oauth.transport import HTTPTransport
from sojourn.providers import OIDC, Credentials
from sojourn.testing import DrivenClock
from tests.hostile_provider import CLIENT_ID, CLIENT_SECRET, HostileProvider, Pairs
from tests.support import Browser, MyClaims, body_of, check_password, make_auth

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the real ones takes longer than a case


class Site:
    """An `Auth` with both ways of signing in, its clock, its events and its hostile provider."""

    def __init__(self, auth: Auth[MyClaims], clock: DrivenClock, events: list[Event], op: HostileProvider) -> None:
        self.auth = auth
        self.clock = clock
        self.events = events
        self.op = op

    def browser(self, client: str = "127.0.0.1") -> Browser:
        return Browser(self.auth, client)

    def last(self, kind: type[Event]) -> Any:
        """The latest event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))


@asynccontextmanager
async def running_site(**settings: Any) -> AsyncIterator[Site]:
    """A started site; what it opened is closed again."""
    clock = DrivenClock()
    events: list[Event] = []
    async with HostileProvider(clock()) as op:
        providers = [
            Credentials(authorize=check_password),
            OIDC(id="op", issuer=op.base, client_id=CLIENT_ID, client_secret=CLIENT_SECRET),
        ]
        defaults: dict[str, Any] = {"providers": providers, "transport": HTTPTransport(tls=NO_AUTHORITIES)}
        auth = make_auth(clock, events, **(defaults | settings))
        await auth.start()
        try:
            yield Site(auth, clock, events, op)
        finally:
            await auth.aclose()


async def begin(browser: Browser, op: HostileProvider, query: str = "") -> Pairs:
    """Start a sign-in through the provider; what the provider's answer will carry."""
    answer = await browser.post(f"/signin/op{query}")
    return op.authorize(body_of(answer)["url"])


async def finish(browser: Browser, pairs: Sequence[tuple[str, str]], provider: str = "op") -> Response:
    """Bring a provider's answer back."""
    return await browser.send("GET", f"/callback/{provider}?{urlencode(pairs)}")
