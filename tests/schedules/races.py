"""Sign-out and what may meet it, as trials: one session, requests that hold its cookie, and what must be true after.

Attempts are counted in memory and out of sight: counters know nothing of sessions, and each of their calls would
multiply the schedules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import combinations
from typing import Any
from unittest.mock import patch

import msgspec

from sojourn import Auth, Callbacks, ClaimsChange, SessionPolicy
from sojourn.events import Event
from sojourn.http import Request, Response
from sojourn.ports import Revocation, RevocationLog
from sojourn.stores import Stores, open_stores
from sojourn.stores.memory_sessions import MemoryCounterStore
from sojourn.testing import DrivenClock, Make, Stage, Trial
from tests.support import SESSION, Browser, MyClaims, body_of, make_auth, set_cookies_of

# How old the session is when the race begins: still fresh, due to be extended, expired within its grace.
AGES = {"fresh": 60, "due": 7200, "in grace": 12 * 3600 + 600}

AuthBuilder = Callable[..., Auth[MyClaims]]


class Place(msgspec.Struct, frozen=True):
    """Where sessions live, or where their ends are noted; without a name of a database each trial has its own."""

    name: str
    strategy: str
    database: str = "memory"
    redis: str | None = None
    with_user: bool = False

    @property
    def stored(self) -> bool:
        return self.strategy == "database"


PLACES = (
    Place("tokens, memory", "jwt"),
    Place("stored, memory", "database"),
    Place("tokens, SQLite", "jwt", "sqlite"),
    Place("stored, SQLite", "database", "sqlite"),
    Place("stored with users, SQLite", "database", "sqlite", with_user=True),
    Place("tokens, PostgreSQL", "jwt", "postgresql"),
    Place("stored, PostgreSQL", "database", "postgresql"),
    Place("tokens, Valkey", "jwt", "none", "redis"),
    Place("stored, Valkey", "database", "none", "redis"),
)


class Since:
    """A log from a position on, so that what earlier trials ended is not read again in each."""

    def __init__(self, log: RevocationLog, position: int) -> None:
        self._log = log
        self._position = position

    async def append(self, revocation: Revocation) -> None:
        await self._log.append(revocation)

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        return await self._log.read(max(after, self._position))


class Ground:
    """One place with its servers, for many trials; `alter` may put a broken store between."""

    def __init__(self, place: Place, urls: Mapping[str, str], alter: Callable[[Stores], Stores] | None = None) -> None:
        self.place = place
        self.clock = DrivenClock()
        self.urls = urls
        self._alter = alter or (lambda stores: stores)
        self._lasting: Stores | None = None
        self._position = 0

    async def stores(self) -> Stores:
        """New ones in memory; servers and files are opened once, and only what is new is read of their logs."""
        if self.place.database == "memory":
            return self._alter(self._open())
        if self._lasting is None:
            self._lasting = self._open()
            await self._lasting.start()
        self._position, _ = await self._lasting.revocations.read(self._position)
        since = Since(self._lasting.revocations, self._position)
        return self._alter(msgspec.structs.replace(self._lasting, revocations=since, connections=()))

    async def aclose(self) -> None:
        if self._lasting is not None:
            await self._lasting.aclose()

    def _open(self) -> Stores:
        return open_stores(
            self.urls.get(self.place.database),
            self.urls.get(self.place.redis or ""),
            sessions_in_redis=self.place.redis is not None,
            clock=self.clock,
        )


class Race:
    """One session, whose sign-out has been answered or not; everything that any answer set."""

    def __init__(self, ground: Ground, stage: Stage, stores: Stores, stack: AsyncExitStack, auth: AuthBuilder) -> None:
        self.ground = ground
        self.clock = DrivenClock(ground.clock())
        self.stage = stage
        self.watched = msgspec.structs.replace(
            stores,
            users=stage.watched(stores.users, "users"),
            sessions=stage.watched(stores.sessions, "sessions"),
            revocations=stage.watched(stores.revocations, "log"),
            counters=MemoryCounterStore(self.clock),
        )
        self._stack = stack
        self._auth = auth
        self.over = False
        self.jar: dict[str, str] = {}
        self.cookies: list[str] = []
        self.others: list[str] = []
        self.csrf = ""

    async def process(self) -> Auth[MyClaims]:
        """One more that is started, of the same application on the same stores."""
        place = self.ground.place
        settings: dict[str, Any] = {
            "database": self.ground.urls.get(place.database),
            "redis": self.ground.urls.get(place.redis or ""),
            "session": SessionPolicy(
                strategy=place.strategy,
                store="redis" if place.stored and place.redis is not None else None,
                with_user=place.with_user,
            ),
            "callbacks": Callbacks(claims=self._claims, session=self._session),
            "on_event": self._on_event,
        }
        with patch("sojourn.stores.open_stores", lambda *args, **named: self.watched):
            auth = self._auth(self.clock, **settings)
        await auth.start()
        self._stack.push_async_callback(auth.aclose)
        if auth._verifier is not None and auth._follower is None:  # nobody follows what no other process could see
            for entry in (await self.watched.revocations.read())[1]:
                auth._verifier.ended.end(entry)
        return auth

    async def begin(self, age: int) -> None:
        """Somebody signs in, and time passes."""
        self.auth = await self.process()
        self.second = await self.process() if self.ground.place.stored else self.auth
        browser = Browser(self.auth)
        await browser.sign_in()
        self.csrf = await browser.csrf()
        self.jar = browser.jar
        self.cookies.append(browser.jar[SESSION])
        self.clock.advance(age)

    def browser(self, auth: Auth[MyClaims] | None = None, *, signed_in: bool = True) -> Browser:
        browser = Browser(auth or self.auth)
        browser.jar = {name: value for name, value in self.jar.items() if signed_in or name != SESSION}
        return browser

    def request(self, token: str) -> Request:
        return Request(method="GET", path="/", headers={"cookie": f"{SESSION}={token}", "host": "127.0.0.1:8000"})

    def note(self, texts: Sequence[str]) -> None:
        """Keep what an answer would have put into the browser for this session."""
        for text in texts:
            name, _, rest = text.partition("=")
            value = rest.partition(";")[0]
            if name.startswith(SESSION) and value:
                self.cookies.append(value)

    def judge(self, response: Response) -> Response:
        """The answer to a request that holds the session's cookie: what it sets is for that session."""
        assert response.status < 500, f"an answer was {response.status}"
        self.note(set_cookies_of(response))
        return response

    async def revived(self) -> str | None:
        """What brought the session back, if anything did; whoever else signed in must be signed in still."""
        askers = {"here": self.auth, "in another process": self.second}
        askers["in a process that started later"] = await self.process()
        for where, auth in askers.items():
            for cookie in dict.fromkeys(self.cookies):
                loaded = await auth.load(self.request(cookie))
                if loaded.session is not None:
                    return f"revived: a cookie of the session that was signed out opens it {where}"
                assert loaded.unavailable is None, "nobody can tell"
            for cookie in self.others:
                loaded = await auth.load(self.request(cookie))
                if loaded.session is None:
                    return f"lost: a session that nobody signed out opens nothing {where}"
        return None

    async def check(self) -> None:
        assert self.over, "sign-out was never answered"
        reason = await self.revived()
        assert reason is None, reason

    async def _claims(self, claims: MyClaims, change: ClaimsChange) -> MyClaims:
        await self.stage.reach("claims callback")
        return claims.replace(name=str(change.data)) if change.trigger == "update" else claims

    async def _session(self, view: dict[str, Any], session: Any) -> Mapping[str, Any]:
        await self.stage.reach("session callback")
        return {**view, "sid": session.sid}

    async def _on_event(self, event: Event) -> None:
        await self.stage.reach(f"event {event.name}")


Act = Callable[[Race], Awaitable[object]]


async def sign_out(race: Race) -> None:
    browser = race.browser()
    race.judge(await browser.send("POST", "/signout", form={"csrfToken": race.csrf, "json": "true"}))
    race.over = True


async def sign_out_there(race: Race) -> None:
    browser = race.browser(race.second)
    race.judge(await browser.send("POST", "/signout", form={"csrfToken": race.csrf, "json": "true"}))
    if race.second is not race.auth:
        race.over = True


async def refresh(race: Race, auth: Auth[MyClaims] | None = None) -> None:
    late = race.over
    loaded = await (auth or race.auth).load(race.request(race.jar[SESSION]))
    assert loaded.unavailable is None, "a page was answered with 503"
    race.note([cookie.header() for cookie in loaded.cookies])
    assert not (late and loaded.session is not None), "a page that began after the sign-out shows the session"


async def refresh_there(race: Race) -> None:
    await refresh(race, race.second)


async def look(race: Race, browser: Browser | None = None) -> None:
    late = race.over
    browser = browser or race.browser()
    shown = body_of(race.judge(await browser.send("GET", "/session")))
    assert not (late and shown), "GET /session that began after the sign-out shows the session"


async def look_twice(race: Race) -> None:
    """A tab: the second request holds what the answer to the first one set."""
    browser = race.browser()
    await look(race, browser)
    await look(race, browser)


async def update(race: Race) -> None:
    late = race.over
    browser = race.browser()
    data = {"csrfToken": race.csrf, "data": "Countess"}
    shown = body_of(race.judge(await browser.send("POST", "/session", data=data)))
    assert not (late and shown), "an update that began after the sign-out shows the session"


async def sign_in(race: Race, *, elsewhere: bool) -> None:
    browser = race.browser(signed_in=not elsewhere)
    form = {"csrfToken": race.csrf, "json": "true", "username": "ada", "password": "right"}
    response = await browser.send("POST", "/callback/credentials", form=form)
    assert browser.jar.get(SESSION) not in {None, race.jar[SESSION]}, f"the sign-in was refused: {response.body!r}"
    race.others.append(browser.jar[SESSION])


ACTS: dict[str, Act] = {
    "refresh": refresh,
    "refresh in another process": refresh_there,
    "GET /session": look,
    "GET /session twice": look_twice,
    "update": update,
    "sign in elsewhere": partial(sign_in, elsewhere=True),
    "sign in here": partial(sign_in, elsewhere=False),
    "second sign-out": sign_out_there,
}
PAIRS: tuple[tuple[str, ...], ...] = tuple((name,) for name in ACTS)
TRIPLES: tuple[tuple[str, ...], ...] = tuple(
    pair for pair in combinations((name for name in ACTS if name != "GET /session twice"), 2)
)


def race_of(ground: Ground, names: Sequence[str], age: str, auth: AuthBuilder | None = None) -> Make:
    """Sign-out and these others, on a session of this age."""

    @asynccontextmanager
    async def make(stage: Stage) -> AsyncIterator[Trial]:
        async with AsyncExitStack() as stack:
            # Whoever lost a race tries again after a moment that is drawn: no time passes here.
            stack.enter_context(patch("random.uniform", lambda low, high: low))
            race = Race(ground, stage, await ground.stores(), stack, auth or make_auth)
            await race.begin(AGES[age])
            actors: dict[str, Callable[[], Awaitable[object]]] = {"sign out": partial(sign_out, race)}
            actors |= {name: partial(ACTS[name], race) for name in names}
            yield Trial(actors=actors, check=race.check)

    return make
