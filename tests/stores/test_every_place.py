"""Every way of signing in with every place where a session can live (M13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sojourn import Callbacks, ClaimsChange
from sojourn.events import SessionEnded, UserCreated
from sojourn.passwords import PasswordHasher
from sojourn.stores.users import add_user
from tests.refusals.sites import begin
from tests.servers.valkey import a_server, own_cluster
from tests.stores.places import PLACES, Place, Running, running
from tests.support import SESSION, Browser, MyClaims, body_of, set_cookies_of

PASSWORD = "correct horse battery staple"


def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
    return claims.replace(name=change.data["name"]) if change.trigger == "update" else claims


def at(suits: Callable[[Place], bool] = lambda place: True) -> pytest.MarkDecorator:
    """Run at every place that suits."""
    return pytest.mark.parametrize("place", [place for place in PLACES if suits(place)], ids=lambda place: place.name)


@pytest.fixture
def place() -> Place:
    raise NotImplementedError("each test says where it runs: @at()")


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """One server for all tests: no two make the same session."""
    with a_server() as url:
        yield url


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with own_cluster() as cluster:
        yield cluster.url


@pytest.fixture
def urls(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Mapping[str, str]:
    """The servers of this place, started when first asked for."""
    found = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'sojourn.db'}"}
    if place.database in {"postgresql", "psycopg"}:
        found["postgresql"] = url = request.getfixturevalue("url")
        found["psycopg"] = url.replace("postgresql:", "postgresql+psycopg:")
    if place.redis is not None:
        found[place.redis] = request.getfixturevalue(place.redis)
    return found


@pytest.fixture
async def there(place: Place, urls: Mapping[str, str]) -> AsyncIterator[Running]:
    async with running(place, urls) as there:
        yield there


async def by_password(browser: Browser, there: Running) -> None:
    await browser.sign_in()


async def by_users_table(browser: Browser, there: Running) -> None:
    stores: Any = browser.auth._stores
    if there.place.database is None:
        await browser.post("/callback/table", username="grace", password="right")
        return
    if await stores.users.get_by_username("lin") is None:
        hasher = PasswordHasher()
        await add_user(stores, hasher, username="lin", email="lin@example.com", password=PASSWORD, now=1)
    await browser.post("/callback/table", username="lin", password=PASSWORD)


async def by_provider(browser: Browser, there: Running) -> None:
    there.op.now = there.clock()
    pairs = await begin(browser, there.op)
    await browser.send("GET", f"/callback/op?{urlencode(pairs)}")


Way = Callable[[Browser, Running], Any]


@pytest.mark.parametrize("way", [by_password, by_users_table, by_provider])
@at()
async def test_a_whole_session(there: Running, way: Way) -> None:
    browser = Browser(await there.process(callbacks=Callbacks(claims=fill)))
    await way(browser, there)
    loaded = await browser.load()
    assert loaded.session is not None
    sid, user_id = loaded.session.sid, loaded.session.user_id
    if there.place.database is not None:
        user = await loaded.session.user()
        assert (user.id, user.last_login_at) == (user_id, there.clock())
    for _ in range(3):
        answer = await browser.send("GET", "/session")
        assert body_of(answer)["user"]["email"]
        assert set_cookies_of(answer) == []
    there.clock.advance("1h")
    loaded = await browser.load()
    assert len(loaded.cookies) == 1
    assert (loaded.session.sid, loaded.session.expires_at) == (sid, there.clock() + 12 * 3600)
    changed = {"csrfToken": await browser.csrf(), "data": {"name": "Countess"}}
    assert body_of(await browser.send("POST", "/session", data=changed))["user"]["name"] == "Countess"
    there.clock.advance("12h")
    there.clock.advance("10m")
    loaded = await browser.load()  # in grace
    assert (loaded.session.sid, loaded.session.claims.name) == (sid, "Countess")
    copied = browser.jar[SESSION]
    await browser.post("/signout")
    assert SESSION not in browser.jar
    browser.jar[SESSION] = copied
    assert await browser.session() == {}
    assert [event.sid for event in there.events if isinstance(event, SessionEnded)] == [sid]
    await way(browser, there)
    loaded = await browser.load()
    assert (loaded.session.user_id, loaded.session.sid == sid) == (user_id, False)
    there.clock.advance("12h")
    there.clock.advance("16m")
    loaded = await browser.load()
    assert (loaded.session, loaded.code, SESSION in browser.jar) == (None, "session_expired", False)


@at(lambda place: place.lasting)
async def test_a_restart_signs_nobody_out_and_lets_nobody_back_in(there: Running) -> None:
    browser = await there.browser()
    await browser.sign_in()
    gone = browser.jar[SESSION]
    await browser.post("/signout")
    await browser.sign_in()
    await there.aclose()
    browser.auth = await there.process()
    assert (await browser.session())["user"]["name"] == "Ada"
    if there.place.database not in {None, "memory"} or there.place.redis is not None:
        browser.jar[SESSION] = gone
        assert await browser.session() == {}


@at(lambda place: place.shared)  # a session in a token is followed through the log
async def test_two_processes_see_one_session(there: Running) -> None:
    here, elsewhere = await there.browser(), await there.browser()
    await here.sign_in()
    elsewhere.jar = dict(here.jar)
    assert (await elsewhere.session())["user"]["name"] == "Ada"
    there.clock.advance("2h")
    loaded = await asyncio.gather(*(browser.load() for browser in (here, elsewhere) * 10))
    assert {one.session.version for one in loaded} == {2}
    await here.post("/signout")
    assert await elsewhere.session() == {}


@at(lambda place: place.database not in {None, "memory"})
async def test_a_first_sign_in_at_once_in_two_processes_makes_one_user(there: Running) -> None:
    browsers = [Browser(auth) for auth in (await there.process(), await there.process()) for _ in range(5)]
    pairs = [await begin(browser, there.op) for browser in browsers]
    answers = [
        browser.send("GET", f"/callback/op?{urlencode(pair)}") for browser, pair in zip(browsers, pairs, strict=True)
    ]
    assert {answer.status for answer in await asyncio.gather(*answers)} == {302}
    loaded = [(await browser.load()).session for browser in browsers]
    assert len({session.user_id for session in loaded}) == 1
    assert len({session.sid for session in loaded}) == 10
    assert len([event for event in there.events if isinstance(event, UserCreated)]) == 1


@at()
async def test_of_200_checks_and_sign_outs_at_once_no_session_comes_back(there: Running) -> None:
    auth = await there.process()
    browsers = [Browser(auth) for _ in range(20)]
    for browser in browsers:
        await browser.sign_in()
    copied = [browser.jar[SESSION] for browser in browsers]
    csrf = [await browser.csrf() for browser in browsers]
    there.clock.advance("2h")  # so that every check also wants to extend
    work: list[Any] = []
    for browser, token in zip(browsers, csrf, strict=True):
        work += [browser.load() for _ in range(4)]
        work.append(browser.send("POST", "/signout", form={"csrfToken": token, "json": "true"}))
        work += [browser.send("GET", "/session") for _ in range(5)]
    await asyncio.gather(*work)
    for browser, token in zip(browsers, copied, strict=True):
        for cookie in (token, browser.jar.get(SESSION, token)):
            browser.jar[SESSION] = cookie
            assert await browser.session() == {}
