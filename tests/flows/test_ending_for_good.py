"""What was signed out stays so, and what was not stays signed in, whatever made the moment special."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn import Auth, Callbacks, Claims, ClaimsChange, SessionPolicy, StoreUnavailable, TokenError
from sojourn.events import Event, SessionEnded, SessionRefused, StoreFailed
from sojourn.strategies import Arrival
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, MyClaims, body_of, make_auth, set_cookies_of

STRATEGIES = pytest.mark.parametrize("strategy", ["jwt", "database"])


def settings(strategy: str, **more: Any) -> dict[str, Any]:
    return {"database": "memory:", "session": SessionPolicy(strategy=strategy, **more)}


class Blips:
    """Fails once where it is told to."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.next = ""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            if self.next == name:
                self.next = ""
                raise StoreUnavailable("database", "a blip")
            return await method(*arguments, **named)

        return asked


async def update(browser: Browser) -> Any:
    return await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {}})


@STRATEGIES
@pytest.mark.parametrize("fails", ["callback", "users"])
async def test_an_update_behind_an_extension_that_failed_signs_nobody_out(strategy: str, fails: str) -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        if change.trigger == "refresh" and fails == "callback":
            raise RuntimeError("the profile service is down")
        return claims

    clock = DrivenClock()
    auth: Any = make_auth(clock, callbacks=Callbacks(claims=fill), **settings(strategy))
    browser = Browser(auth)
    await browser.sign_in()
    clock.advance("2h")
    if fails == "users":
        auth._sessions._users = blips = Blips(auth._users)
        blips.next = "get"
    answer = await update(browser)
    assert body_of(answer)["user"]["name"] == "Ada"
    assert len(set_cookies_of(answer)) == 1
    assert (await browser.session())["user"]["name"] == "Ada"


@STRATEGIES
async def test_signing_out_while_the_clock_is_behind(strategy: str) -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, **settings(strategy)))
    await browser.sign_in()
    copied = browser.jar[SESSION]
    clock.advance(-3600)
    assert (await browser.post("/signout")).status == 200
    clock.advance(3600)
    browser.jar[SESSION] = copied
    assert await browser.session() == {}


@pytest.mark.parametrize("with_user", [False, True])
async def test_signing_out_while_disabled(with_user: bool) -> None:
    events: list[Event] = []
    auth: Any = make_auth(events=events, **settings("database", with_user=with_user))
    browser = Browser(auth)
    await browser.sign_in()
    copied = browser.jar[SESSION]
    user = await (await browser.load()).session.user()
    await auth._users.update(user.replace(disabled_at=1))
    assert (await browser.post("/signout")).status == 200
    await auth._users.update(user)
    browser.jar[SESSION] = copied
    assert await browser.session() == {}
    assert [event.user_id for event in events if isinstance(event, SessionEnded)] == [user.id]


class Others(Claims):
    """Another version of the application's claims, which cannot read the first's."""

    username: int = 0


@STRATEGIES
async def test_claims_of_another_version_are_kept_and_can_be_signed_out(tmp_path: Path, strategy: str) -> None:
    shared = settings(strategy) | {"database": f"sqlite:///{tmp_path / 'sojourn.db'}"}
    clock = DrivenClock()
    before, after = make_auth(clock, **shared), make_auth(clock, claims=Others, **shared)
    await before.start()
    await after.start()
    browser = Browser(before)
    await browser.sign_in()
    copied = browser.jar[SESSION]
    browser.auth = after
    answer = await browser.send("GET", "/session")
    assert (answer.body, set_cookies_of(answer)) == (b"{}", [])  # the other servers can still read it
    assert (await browser.post("/signout")).status == 200
    await before.aclose()
    await after.aclose()
    again = make_auth(clock, **shared)
    await again.start()
    browser = Browser(again)
    browser.jar[SESSION] = copied
    assert await browser.session() == {}
    await again.aclose()


@STRATEGIES
@pytest.mark.parametrize("form", ["{name}={one}; {name}={two}", "{name}={one}; {name}.0={left}; {name}.1={right}"])
async def test_every_session_that_comes_with_the_request_ends(strategy: str, form: str) -> None:
    auth = make_auth(**settings(strategy))
    first, browser = Browser(auth), Browser(auth)
    await first.sign_in()
    await browser.sign_in()
    tokens = [first.jar[SESSION], browser.jar[SESSION]]
    csrf = await browser.csrf()
    one, two = tokens
    carried = form.format(name=SESSION, one=one, two=two, left=two[:20], right=two[20:])
    del browser.jar[SESSION]
    headers = {"cookie": f"{carried}; {browser.cookie_header}"}
    answer = await browser.send("POST", "/signout", form={"csrfToken": csrf, "json": "true"}, headers=headers)
    assert answer.status == 200
    for token in tokens:
        browser.jar[SESSION] = token
        assert await browser.session() == {}


async def test_a_sign_out_that_was_not_confirmed_is_not_confirmed_by_asking_again() -> None:
    auth: Any = make_auth(**settings("database"))
    browser = Browser(auth)
    await browser.sign_in()
    delete = auth._revoker._sessions.delete
    asked: list[str] = []

    async def unconfirmed(sid: str) -> bool:
        asked.append(sid)
        await delete(sid)
        raise StoreUnavailable("redis", "no replica confirmed the write in time")

    auth._revoker._sessions.delete = unconfirmed
    for _ in range(2):
        assert (await browser.post("/signout")).status == 503
        assert SESSION in browser.jar
    assert len(asked) == 2


async def test_servers_whose_clocks_differ_serve_the_same_stored_sessions() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, **settings("database")))
    await browser.sign_in()
    clock.advance(-300)
    assert (await browser.session())["user"]["name"] == "Ada"
    loaded = await browser.load()
    assert (loaded.session.issued_at, loaded.cookies) == (clock(), ())


@pytest.mark.parametrize("trigger", ["refresh", "update"])
async def test_a_user_who_is_gone_has_no_stored_session(trigger: str) -> None:
    clock = DrivenClock()
    auth: Any = make_auth(clock, **settings("database"))
    browser = Browser(auth)
    await browser.sign_in()
    copied = browser.jar[SESSION]
    users = auth._users
    kept, users._users = users._users, {}
    if trigger == "refresh":
        clock.advance("2h")
        await browser.session()
    else:
        await update(browser)
    assert SESSION not in browser.jar
    users._users = kept
    browser.jar[SESSION] = copied
    assert await browser.session() == {}


@STRATEGIES
async def test_who_is_enabled_again_signs_in_again(strategy: str) -> None:
    clock = DrivenClock()
    auth: Any = make_auth(clock, **settings(strategy))
    browser = Browser(auth)
    await browser.sign_in()
    copied = browser.jar[SESSION]
    user = await (await browser.load()).session.user()
    await auth._users.update(user.replace(disabled_at=1))
    clock.advance("2h")
    assert await browser.session() == {}
    await auth._users.update(user)
    browser.jar[SESSION] = copied
    assert await browser.session() == {}
    await browser.sign_in()
    assert (await browser.session())["user"]["name"] == "Ada"


async def test_an_outage_while_a_disabled_user_is_refused_lets_nobody_in() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    auth: Any = make_auth(clock, events, **settings("database"))
    browser = Browser(auth)
    await browser.sign_in()
    user = await (await browser.load()).session.user()
    await auth._users.update(user.replace(disabled_at=1))
    auth._revoker._sessions = blips = Blips(auth._revoker._sessions)
    blips.next = "delete"
    clock.advance("2h")
    assert await browser.session() == {}
    assert len([event for event in events if isinstance(event, StoreFailed)]) == 1


async def test_many_updates_at_once_are_all_answered(tmp_path: Path) -> None:
    auth = make_auth(database=f"sqlite:///{tmp_path / 'sojourn.db'}", session=SessionPolicy(strategy="database"))
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in()
    csrf = await browser.csrf()
    sends = [browser.send("POST", "/session", data={"csrfToken": csrf, "data": {}}) for _ in range(16)]
    assert {answer.status for answer in await asyncio.gather(*sends)} == {200}
    await auth.aclose()


async def test_a_record_whose_claims_name_another_user_opens_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    path = tmp_path / "sojourn.db"
    auth = make_auth(events=events, database=f"sqlite:///{path}", session=SessionPolicy(strategy="database"))
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sessions SET claims = ?", (b'{"sub":"root"}',))
        connection.commit()
    assert await browser.session() == {}
    assert [event.step for event in events if isinstance(event, SessionRefused)] == ["claims"]
    await auth.aclose()


async def test_an_address_that_no_database_can_hold_is_no_reason_to_fail() -> None:
    auth: Any = make_auth(**settings("database"))
    await Browser(auth).sign_in()
    user_id = next(iter(auth._users._users))
    issued = await auth._strategy.start(MyClaims(sub=user_id), Arrival(client="\0\ud800::1" + "x" * 1000))
    record = await auth._stores.sessions.get(issued.session.sid)
    assert record.client == ("::1" + "x" * 1000)[:398]


def test_an_application_may_start_and_stop_in_event_loops_of_their_own() -> None:
    auth: Auth[MyClaims] = make_auth(**settings("database"))
    for _ in range(2):
        asyncio.run(auth.start())
        asyncio.run(auth.aclose())
    asyncio.run(auth.start())

    async def again() -> None:
        await auth.start()
        assert auth._tidying is not None
        assert not auth._tidying.done()
        await auth.aclose()

    asyncio.run(again())


@STRATEGIES
async def test_a_token_that_proves_nothing_ends_nothing(strategy: str) -> None:
    auth: Any = make_auth(**settings(strategy))
    browser = Browser(auth)
    await browser.sign_in()
    token = browser.jar[SESSION]
    for forged in ("", "x", token[:-1] + ("A" if token[-1] != "A" else "B"), token + "x", token * 100):
        assert await auth._strategy.owned(forged) is None
    with pytest.raises(TokenError):
        await auth.find("x")
    assert (await auth._strategy.owned(token)).sid == (await browser.load()).session.sid
