"""Sessions that a store keeps, from sign-in to sign-out: whatever races, whatever is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sojourn import Auth, Callbacks, ClaimsChange, ConfigError, SessionPolicy, StoreUnavailable, TokenError
from sojourn.errors import Conflict
from sojourn.events import Event, SessionEnded, SessionRefreshed, SessionRefused, StoreFailed
from sojourn.ports import SessionChange
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of


class Store:
    """Passes everything on, counts it, and fails where it is told to."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.broken: set[str] = set()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            self.asked.append(name)
            if name in self.broken:
                raise StoreUnavailable("database", "it is down")
            return await method(*arguments, **named)

        return asked

    def down(self) -> None:
        self.broken = {"insert", "get", "get_with_user", "replace", "delete", "list_for_user", "delete_for_user"}


class Site:
    """An application with stored sessions."""

    def __init__(self, database: str, **settings: Any) -> None:
        self.clock = DrivenClock()
        self.events: list[Event] = []
        policy = settings.pop("session", SessionPolicy(strategy="database"))
        self.auth: Auth[MyClaims] = make_auth(self.clock, self.events, database=database, session=policy, **settings)
        strategy: Any = self.auth._strategy
        revoker: Any = self.auth._revoker
        self.store = strategy._store = revoker._sessions = Store(strategy._store)

    def browser(self) -> Browser:
        return Browser(self.auth)

    async def signed_in(self) -> Browser:
        browser = self.browser()
        assert (await browser.sign_in()).status == 200
        self.store.asked.clear()
        return browser

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(params=["memory:", "sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param if request.param == "memory:" else f"sqlite:///{tmp_path / 'sojourn.db'}"


@pytest.fixture
async def site(database: str) -> AsyncIterator[Site]:
    site = Site(database)
    await site.auth.start()
    yield site
    await site.auth.aclose()


async def test_from_signing_in_to_signing_out(site: Site) -> None:
    browser = await site.signed_in()
    assert (await browser.session())["user"]["email"] == "ada@example.com"
    loaded = await browser.load()
    assert loaded.session.claims.username == "ada"
    assert loaded.session.user_id == (await loaded.session.user()).id
    copied = browser.jar[SESSION]
    answer = await browser.post("/signout")
    assert answer.status == 200
    assert SESSION not in browser.jar
    browser.jar[SESSION] = copied
    answer = await browser.send("GET", "/session")
    assert (answer.body, SESSION in browser.jar) == (b"{}", False)
    assert [event.reason for event in site.told(SessionEnded)] == ["sign_out"]
    assert [event.step for event in site.told(SessionRefused)] == ["unknown"]


async def test_a_check_asks_once_and_writes_nothing(site: Site) -> None:
    browser = await site.signed_in()
    for _ in range(3):
        loaded = await browser.load()
        assert loaded.cookies == ()
    assert site.store.asked == ["get", "get", "get"]
    assert site.auth.current(browser.cookie_header) is None


async def test_no_cookie_and_a_cookie_of_another_form_ask_nothing(site: Site) -> None:
    browser = site.browser()
    assert (await browser.load()).code == "session_missing"
    browser.jar[SESSION] = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c"
    loaded = await browser.load()
    assert (loaded.code, loaded.step) == ("session_invalid", "form")
    assert SESSION not in browser.jar
    assert site.store.asked == []


async def test_it_is_extended_once_for_each_update_age(site: Site) -> None:
    browser = await site.signed_in()
    token = browser.jar[SESSION]
    site.clock.advance("59m")
    await browser.load()
    assert "replace" not in site.store.asked
    site.clock.advance("1m")
    loaded = await browser.load()
    assert (loaded.session.version, loaded.session.expires_at) == (2, site.clock() + 12 * 3600)
    assert browser.jar[SESSION] == token
    (cookie,) = loaded.cookies
    assert cookie.expires_at == loaded.session.expires_at + 900
    for _ in range(5):
        assert (await browser.load()).cookies == ()
    assert site.store.asked.count("replace") == 1


async def test_many_requests_on_a_session_that_is_due_extend_it_once(site: Site) -> None:
    browser = await site.signed_in()
    site.clock.advance("2h")
    loaded = await asyncio.gather(*(browser.load() for _ in range(48)))
    assert {one.session.version for one in loaded} == {2}
    assert {one.session.expires_at for one in loaded} == {site.clock() + 12 * 3600}
    assert len(site.told(SessionRefreshed)) == 1


async def test_in_grace_the_answer_is_signed_in_and_after_it_nobody_is(site: Site) -> None:
    browser = await site.signed_in()
    site.clock.advance("12h")
    site.clock.advance("14m")
    assert (await browser.load()).session.version == 2
    site.clock.advance("12h")
    site.clock.advance("16m")
    loaded = await browser.load()
    assert (loaded.session, loaded.code) == (None, "session_expired")
    assert SESSION not in browser.jar


async def test_an_update_reaches_every_browser_of_the_session(database: str) -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(name=change.data["name"]) if change.trigger == "update" else claims

    site = Site(database, callbacks=Callbacks(claims=fill))
    await site.auth.start()
    browser = await site.signed_in()
    other = site.browser()
    other.jar = dict(browser.jar)
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {"name": "Al"}})
    assert body_of(answer)["user"]["name"] == "Al"
    assert (await other.session())["user"]["name"] == "Al"
    await site.auth.aclose()


async def test_updates_at_the_same_moment_all_count(database: str) -> None:
    async def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        await asyncio.sleep(0)  # lets the other one read, too
        return claims.replace(username=f"{claims.username}+") if change.trigger == "update" else claims

    site = Site(database, callbacks=Callbacks(claims=fill))
    await site.auth.start()
    browser = await site.signed_in()
    csrf = await browser.csrf()
    sends = [browser.send("POST", "/session", data={"csrfToken": csrf, "data": {}}) for _ in range(2)]
    assert {answer.status for answer in await asyncio.gather(*sends)} == {200}
    assert (await browser.load()).session.claims.username == "ada++"
    await site.auth.aclose()


async def test_a_session_that_never_stops_changing_is_unavailable_and_not_ended(site: Site) -> None:
    browser = await site.signed_in()
    replace = site.store.store.replace

    async def overtaken(sid: str, change: SessionChange, *, expected_version: int) -> None:
        await replace(sid, change, expected_version=expected_version)
        await replace(sid, change, expected_version=expected_version)

    site.store.store.replace = overtaken
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {}})
    assert answer.status == 503
    assert SESSION in browser.jar


async def test_signing_out_wins_against_everything(site: Site) -> None:
    """F-44: whatever comes at the same moment, nobody is signed in afterwards."""
    for _ in range(40):
        browser = await site.signed_in()
        csrf = await browser.csrf()
        copied = browser.jar[SESSION]
        site.clock.advance("2h")
        out = browser.send("POST", "/signout", form={"csrfToken": csrf, "json": "true"})
        update = browser.send("POST", "/session", data={"csrfToken": csrf, "data": {}})
        await asyncio.gather(browser.load(), update, out, browser.load(), browser.send("GET", "/session"))
        browser.jar[SESSION] = copied
        assert await browser.session() == {}


async def test_signing_in_again_ends_the_session_that_came_with_the_request(site: Site) -> None:
    browser, elsewhere = await site.signed_in(), await site.signed_in()
    before = browser.jar[SESSION]
    await browser.sign_in("grace")
    assert (await browser.session())["user"]["name"] == "Grace"
    browser.jar[SESSION] = before
    assert await browser.session() == {}
    assert (await elsewhere.session())["user"]["name"] == "Ada"
    assert [event.reason for event in site.told(SessionEnded)] == ["replaced"]


@pytest.mark.parametrize("with_user", [False, True])
async def test_an_outage_signs_nobody_out(database: str, with_user: bool) -> None:
    site = Site(database, session=SessionPolicy(strategy="database", with_user=with_user))
    await site.auth.start()
    browser, newcomer = await site.signed_in(), site.browser()
    kept = browser.jar[SESSION]
    site.store.down()
    answer = await browser.send("GET", "/session")
    assert (answer.status, header_of(answer, "retry-after"), set_cookies_of(answer)) == (503, "2", [])
    loaded = await browser.load()
    assert (loaded.session, loaded.code, loaded.cookies) == (None, "unavailable", ())
    assert site.auth.unauthorized(loaded).status == 503
    for answer in (await browser.send("GET", "/verify"), await browser.post("/signout"), await browser.sign_in()):
        assert (answer.status, header_of(answer, "retry-after")) == (503, "2")
        assert not any(text.startswith(SESSION) for text in set_cookies_of(answer))
    assert (await newcomer.sign_in()).status == 503
    assert SESSION not in newcomer.jar
    assert await newcomer.session() == {}  # who carries nothing is nobody, whatever is down
    page = await newcomer.send(
        "POST",
        "/callback/credentials",
        form={"csrfToken": await newcomer.csrf(), "username": "ada", "password": "right"},
        headers={"accept": "text/html"},
    )
    assert (page.status, b"Back in a moment" in page.body) == (503, True)
    assert len(site.told(StoreFailed)) >= 6
    assert browser.jar[SESSION] == kept
    site.store.broken = set()
    assert (await browser.session())["user"]["name"] == "Ada"
    assert site.told(SessionRefused) == []
    await site.auth.aclose()


async def test_what_cannot_be_extended_now_goes_on_until_it_expires(site: Site) -> None:
    browser = await site.signed_in()
    site.store.broken = {"replace"}
    site.clock.advance("2h")
    loaded = await browser.load()
    assert (loaded.session.version, loaded.cookies) == (1, ())
    site.clock.advance("10h")
    loaded = await browser.load()
    assert (loaded.session, loaded.code, loaded.cookies) == (None, "unavailable", ())
    site.store.broken = set()
    assert (await browser.load()).session.version == 2


async def test_an_outage_between_two_steps_of_an_extension_is_no_sign_out(site: Site) -> None:
    browser = await site.signed_in()
    site.clock.advance("2h")
    replace = site.store.store.replace

    async def overtaken(sid: str, change: SessionChange, *, expected_version: int) -> None:
        await replace(sid, change, expected_version=expected_version)
        site.store.broken = {"get"}
        await replace(sid, change, expected_version=expected_version)

    site.store.store.replace = overtaken
    loaded = await browser.load()
    assert (loaded.session, loaded.code, loaded.cookies) == (None, "unavailable", ())


async def test_a_session_that_ends_between_reading_and_extending_stays_ended(site: Site) -> None:
    browser = await site.signed_in()
    site.clock.advance("2h")
    replace = site.store.store.replace

    async def ended(sid: str, change: SessionChange, *, expected_version: int) -> None:
        await site.store.store.delete(sid)
        await replace(sid, change, expected_version=expected_version)

    site.store.store.replace = ended
    loaded = await browser.load()
    assert (loaded.session, loaded.step) == (None, "unknown")
    assert SESSION not in browser.jar


async def test_a_disabled_user_is_out_at_once_where_the_user_is_read_with_the_session(database: str) -> None:
    site = Site(database, session=SessionPolicy(strategy="database", with_user=True))
    await site.auth.start()
    browser = await site.signed_in()
    loaded = await browser.load()
    user = await loaded.session.user()
    assert site.store.asked == ["get_with_user"]
    users: Any = site.auth._stores.users
    await users.update(user.replace(disabled_at=site.clock()))
    loaded = await browser.load()
    assert (loaded.session, loaded.code) == (None, "session_ended")
    await site.auth.aclose()


async def test_a_user_who_goes_while_signing_in_gets_no_session(site: Site) -> None:
    delete: Any = site.store.store

    async def insert(_: object) -> None:
        raise Conflict("user")

    delete.insert = insert
    answer = await site.browser().sign_in()
    assert "error=AccessDenied" in body_of(answer)["url"]


async def test_tokens_without_a_request_are_found(site: Site) -> None:
    browser = await site.signed_in()
    token = browser.jar[SESSION]
    assert (await site.auth.find(token)).claims.username == "ada"
    site.clock.advance("12h")
    site.clock.advance("1m")
    with pytest.raises(TokenError) as caught:  # grace is for those who can take a new cookie
        await site.auth.find(token)
    assert caught.value.step == "expired"
    for attempt in (lambda: site.auth.verify(token), lambda: site.auth.issue(MyClaims(sub="ada"))):
        with pytest.raises(ConfigError) as refused:
            attempt()
        assert refused.value.key == "session.strategy"


async def test_tokens_of_the_other_strategy_are_found_the_same_way() -> None:
    auth: Auth[MyClaims] = make_auth()
    token = auth.issue(MyClaims(sub="ada"))
    assert (await auth.find(token)).user_id == "ada"
