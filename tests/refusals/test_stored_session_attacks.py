"""Attacks on sessions that a store keeps: made-up and mixed-up cookies, endings at every step, strange records."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sojourn import Auth, ConfigError, SessionPolicy, TokenError
from sojourn.events import Event
from sojourn.ports import SessionChange
from sojourn.stores import open_stores
from sojourn.testing import DrivenClock
from tests.servers.valkey import OwnValkey, own_server
from tests.support import SESSION, Browser, MyClaims, make_auth, set_cookies_of

PASSWORD = "canary-hunter2"


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_server() as server:
        yield server


class Site:
    """An application, its clock, and where its sessions are."""

    def __init__(self, **places: Any) -> None:
        self.clock = DrivenClock()
        self.events: list[Event] = []
        self.auth: Auth[MyClaims] = make_auth(self.clock, self.events, **places)
        strategy: Any = self.auth._strategy
        self.store = strategy._store

    async def signed_in(self, username: str = "ada") -> Browser:
        browser = Browser(self.auth)
        assert (await browser.sign_in(username)).status == 200
        return browser

    def holding(self, token: str) -> Browser:
        browser = Browser(self.auth)
        browser.jar[SESSION] = token
        return browser

    def through(self, gate: Gate) -> None:
        strategy: Any = self.auth._strategy
        strategy._store = gate


class Gate:
    """Passes everything on to the store, but stops one call, before or after it is carried out."""

    def __init__(self, store: Any, stops_at: int, *, after: bool) -> None:
        self.store = store
        self.stops_at = stops_at
        self.after = after
        self.calls = 0
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def called(*arguments: Any, **named: Any) -> Any:
            here = self.calls == self.stops_at
            self.calls += 1
            if here and not self.after:
                await self._stop()
            try:
                return await method(*arguments, **named)
            finally:
                if here and self.after:
                    await self._stop()

        return called

    async def _stop(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    match request.param:
        case "redis":
            server: OwnValkey = request.getfixturevalue("valkey")
            server.ask("FLUSHALL")
            site = Site(redis=server.url, session=SessionPolicy(strategy="database", store="redis"))
        case kind:
            url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path / 'sojourn.db'}"
            site = Site(database=url, session=SessionPolicy(strategy="database"))
    await site.auth.start()
    yield site
    await site.auth.aclose()


SID = "01890a5d-ac96-774b-bcce-b302099a8057"
MADE_UP = {
    "nothing": ".",
    "an id alone": SID,
    "an unknown id": f"{SID}.{'A' * 43}",
    "the null id": f"{'0' * 8}-0000-0000-0000-{'0' * 12}.{'A' * 43}",
    "a short secret": f"{SID}.{'A' * 42}",
    "a long secret": f"{SID}.{'A' * 44}",
    "a NUL": f"{SID[:-1]}\0.{'A' * 43}",
    "a surrogate": f"{SID[:-1]}\ud800.{'A' * 43}",
    "digits of another script": f"{SID[:-1]}\u0663.{'A' * 43}",
    "upper case": f"{SID.upper()}.{'A' * 43}",
    "braces for a hash tag": f"{SID[:-6]}{{0000}}.{'A' * 43}",
    "a wildcard": f"{'*' * 36}.{'%' * 43}",
    "SQL": f"' OR 1=1 --.{'A' * 43}",
    "60 kB": "a" * 60_000 + "." + "A" * 43,
    "a sealed token's form": "a.b.c.d.e",
}


@pytest.mark.parametrize("name", MADE_UP)
async def test_a_made_up_cookie_opens_nothing_and_is_never_an_error_of_ours(site: Site, name: str) -> None:
    browser = site.holding(MADE_UP[name])
    assert (await browser.send("GET", "/verify")).status == 401
    assert await site.holding(MADE_UP[name]).session() == {}
    with pytest.raises(TokenError):
        await site.auth.find(MADE_UP[name])


async def test_an_id_without_its_secret_neither_opens_nor_ends_a_session(site: Site) -> None:
    ada, grace = await site.signed_in("ada"), await site.signed_in("grace")
    sid, secret = ada.jar[SESSION].split(".")
    other = grace.jar[SESSION].split(".")[1]
    for guess in (other, secret.swapcase(), secret[:-1] + ("A" if secret[-1] != "A" else "B"), "A" * 43):
        thief = site.holding(f"{sid}.{guess}")
        assert await thief.session() == {}
        thief.jar[SESSION] = f"{sid}.{guess}"
        assert (await thief.post("/signout")).status == 200
    assert (await ada.session())["user"]["name"] == "Ada"
    assert (await grace.session())["user"]["name"] == "Grace"


async def test_a_planted_cookie_is_not_taken_over_by_who_signs_in(site: Site) -> None:
    """SES-03, SES-04: neither a made-up one nor the attacker's own."""
    attacker = await site.signed_in("grace")
    for planted in (f"{SID}.{'A' * 43}", attacker.jar[SESSION]):
        victim = site.holding(planted)
        assert (await victim.sign_in("ada")).status == 200
        assert victim.jar[SESSION] != planted
        assert victim.jar[SESSION].split(".")[0] != planted.split(".")[0]
        assert await site.holding(planted).session() == {}
        assert (await victim.session())["user"]["name"] == "Ada"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", ["refresh", "update"])
async def test_a_session_that_ends_at_any_step_of_another_request_stays_ended(
    site: Site, way: str, *, after: bool
) -> None:
    """F-44: the sign-out comes between every two calls to the store that the other request makes."""
    step = 0
    while True:
        browser = await site.signed_in()
        copied, csrf = browser.jar[SESSION], await browser.csrf()
        site.clock.advance("2h")
        late = Browser(site.auth)
        late.jar = dict(browser.jar)
        gate = Gate(site.store, step, after=after)
        site.through(gate)
        method, data = ("GET", None) if way == "refresh" else ("POST", {"csrfToken": csrf, "data": {}})
        other = asyncio.ensure_future(late.send(method, "/session", data=data))
        stopped = asyncio.ensure_future(gate.reached.wait())
        await asyncio.wait({other, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        site.through(site.store)
        assert (await browser.send("POST", "/signout", form={"csrfToken": csrf, "json": "true"})).status == 200
        gate.opened.set()
        assert (await other).status == 200
        assert await site.holding(copied).session() == {}
        if not gate.reached.is_set():
            break
        step += 1
    assert step >= 2  # it was read, and it was about to be written


async def test_no_number_of_extensions_stretches_the_absolute_age(site: Site) -> None:
    """SES-12."""
    browser = await site.signed_in()
    hours = 0
    while await browser.session() != {} and hours < 24 * 40:
        site.clock.advance("1h")
        hours += 1
    assert hours == 24 * 30


async def test_a_token_without_a_request_has_no_grace(site: Site) -> None:
    """Who cannot be given a new end is out at the old one; a browser in grace goes on."""
    browser = await site.signed_in()
    site.clock.advance("12h")
    site.clock.advance("15s")
    with pytest.raises(TokenError) as refused:
        await site.auth.find(browser.jar[SESSION])
    assert refused.value.step == "expired"
    assert (await browser.session())["user"]["name"] == "Ada"


@pytest.mark.parametrize("agent", ["\0", "\ud800", "\x1b[31m\u202e", "x" * 60_000, "", "🦊" * 500])
async def test_what_a_browser_calls_itself_cannot_stop_a_sign_in_or_steer_a_terminal(site: Site, agent: str) -> None:
    browser = Browser(site.auth)
    form = {"csrfToken": await browser.csrf(), "json": "true", "username": "ada", "password": "right"}
    answer = await browser.send("POST", "/callback/credentials", form=form, headers={"user-agent": agent})
    assert answer.status == 200
    record = await site.store.get(browser.jar[SESSION].split(".")[0])
    assert record.user_agent is None or (record.user_agent.isprintable() and 0 < len(record.user_agent) <= 400)


STRANGE = {
    "nothing": b"",
    "no JSON": b"{",
    "null": b"null",
    "a list": b"[]",
    "not UTF-8": b'{"sub":"\xff"}',
    "a number for a name": b'{"sub":"ada","name":1}',
    "a number too long": b'{"sub":"ada","iat":' + b"9" * 5000 + b"}",
    "too deep": b'{"sub":"ada","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


@pytest.mark.parametrize("name", STRANGE)
async def test_claims_that_cannot_be_read_are_a_refusal(site: Site, name: str) -> None:
    browser = await site.signed_in()
    record = await site.store.get(browser.jar[SESSION].split(".")[0])
    change = {field: getattr(record, field) for field in ("issued_at", "expires_at", "forget_after")}
    await site.store.replace(record.sid, SessionChange(claims=STRANGE[name], **change), expected_version=1)
    assert (await site.holding(browser.jar[SESSION]).send("GET", "/verify")).status == 401
    assert await browser.session() == {}


async def test_two_people_never_see_each_other_whoever_goes_away(site: Site) -> None:
    """F-18: requests are given up at any step; those who stay get their own session."""
    people = {name: await site.signed_in(name.lower()) for name in ("Ada", "Grace")}

    async def look(name: str) -> str:
        browser = site.holding(people[name].jar[SESSION])
        shown: str = (await browser.session())["user"]["name"]
        return shown

    for round_ in range(60):
        asked = [(name, asyncio.ensure_future(look(name))) for name in list(people) * 6]
        for _ in range(round_ % 12):
            await asyncio.sleep(0)
        for _, request in asked[round_ % 3 :: 3]:
            request.cancel()
        for name, request in asked:
            await asyncio.wait({request})
            assert request.cancelled() or request.result() == name


async def test_the_secret_is_nowhere_but_in_the_cookie(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, valkey: OwnValkey
) -> None:
    """Invariant 8: neither in what is stored nor in what is told."""
    caplog.set_level(logging.DEBUG)
    browser = await site.signed_in()
    token = browser.jar[SESSION]
    sid, secret = token.split(".")
    assert await site.holding(f"{sid}.{'A' * 43}").session() == {}
    session = await site.auth.find(token)
    record = await site.store.get(sid)
    digest = hashlib.sha256(secret.encode()).digest()
    assert record.secret_hash == digest
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("sojourn.db*"))
    stored += b"".join(valkey.ask("DUMP", key) for key in valkey.ask("KEYS", "*"))
    assert secret.encode() not in stored
    told = f"{session!r} {record!r} {site.auth.config!r} {site.auth._strategy!r} {caplog.text}"
    told += "".join(str(msgspec.to_builtins(event)) for event in site.events)
    assert secret not in told
    assert digest.hex() not in told
    assert repr(digest) not in told


async def test_reading_sets_no_cookie_and_writes_nothing(site: Site) -> None:
    """Invariant 2, for as long as the session is not due."""
    browser = await site.signed_in()
    sid = browser.jar[SESSION].split(".")[0]
    before = await site.store.get(sid)
    for minutes in (0, 1, 58):
        site.clock.advance(f"{minutes}m")
        for method, path in (("GET", "/session"), ("GET", "/verify"), ("GET", "/providers")):
            answer = await browser.send(method, path)
            assert not [cookie for cookie in set_cookies_of(answer) if cookie.startswith(SESSION)]
    assert await site.store.get(sid) == before


URLS = (
    {"database": f"mysql://ada:{PASSWORD}@localhost/x"},
    {"database": f"postgresql+pg8000://ada:{PASSWORD}@localhost/x"},
    {"database": f"postgresql:ada:{PASSWORD}@localhost/x"},
    {"database": f"{PASSWORD}"},
    {"redis": f"http://ada:{PASSWORD}@localhost"},
    {"redis": f"redis://ada:{PASSWORD}@localhost:port"},
    {"redis": f"redis://ada:{PASSWORD}@localhost/name"},
    {"redis": f"redis://ada:{PASSWORD}@localhost?{PASSWORD}=1"},
    {"redis": f"redis+sentinel://ada:{PASSWORD}@localhost"},
    {"redis": f"redis://ada:{PASSWORD} @localhost"},
)


@pytest.mark.parametrize("places", URLS, ids=str)
def test_no_refused_url_is_repeated(places: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        open_stores(places.get("database"), places.get("redis"))
    error: BaseException | None = refused.value
    while error is not None:
        assert PASSWORD not in f"{error} {error!r}"
        error = error.__cause__
