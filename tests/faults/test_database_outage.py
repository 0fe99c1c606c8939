"""The database goes away under an application that is in use: nobody is signed out, nobody half-created (5.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sojourn import RevocationPolicy
from sojourn.events import StoreFailed
from tests.faults.site import BACK_WITHIN, Site, back, under_load
from tests.servers.proxy import ChaosProxy
from tests.support import SESSION, Browser


@pytest.fixture(params=["jwt", "database"])
async def site(request: pytest.FixtureRequest, behind: str) -> AsyncIterator[Site]:
    site = Site(behind, request.param)
    await site.auth.start()
    yield site
    await site.auth.aclose()


@pytest.fixture
async def stored(behind: str) -> AsyncIterator[Site]:
    site = Site(behind, "database")
    await site.auth.start()
    yield site
    await site.auth.aclose()


@pytest.mark.parametrize("strategy", ["jwt", "database"])
async def test_f01_it_is_down_at_the_start(behind: str, proxy: ChaosProxy, strategy: str) -> None:
    before = Site(behind, strategy)
    await before.auth.start()
    browser = await before.signed_in()
    await before.auth.aclose()
    await proxy.set("refuse")
    site = Site(behind, strategy)
    await site.auth.start()
    assert len(site.told(StoreFailed)) == 1
    browser.auth = site.auth
    answer = await browser.send("GET", "/session")
    assert answer.status == (200 if strategy == "jwt" else 503)
    assert (await Browser(site.auth).sign_in("grace")).status == 503
    await proxy.set("pass")
    assert await back(browser) < BACK_WITHIN
    assert (await Browser(site.auth).sign_in("grace")).status == 200
    await site.auth.aclose()


@pytest.mark.parametrize("mode", ["refuse", "stall", "half", "reset"])
async def test_f02_f06_it_goes_away_under_load_and_comes_back(stored: Site, proxy: ChaosProxy, mode: Any) -> None:
    slowest = await under_load(stored, lambda: proxy.set(mode), lambda: proxy.set("pass"))
    assert slowest < 6  # a connection at most 1 s, a statement 2 s, and one more try of each


async def test_f02_sessions_in_tokens_do_not_notice(behind: str, proxy: ChaosProxy) -> None:
    site = Site(behind, "jwt", revocation=RevocationPolicy(on_stale="accept"))
    await site.auth.start()
    browser = await site.signed_in()
    await proxy.set("refuse")
    for _ in range(100):
        assert (await browser.session())["user"]["name"] == "Ada"
        assert (await browser.load()).session is not None
    site.clock.advance("2h")  # the callback cannot ask for the user's row now: the session goes on as it is
    assert (await browser.load()).session.expires_at == site.clock() + 10 * 3600
    await proxy.set("pass")
    assert (await browser.load()).session.expires_at == site.clock() + 12 * 3600
    await site.auth.aclose()


async def test_f03_nobody_is_told_that_they_are_signed_out_while_they_are_not(site: Site, proxy: ChaosProxy) -> None:
    browser = await site.signed_in()
    kept = browser.jar[SESSION]
    await proxy.set("refuse")
    answer = await browser.post("/signout")
    assert (answer.status, browser.jar[SESSION]) == (503, kept)
    await proxy.set("pass")
    assert await back(browser) < BACK_WITHIN
    assert (await browser.post("/signout")).status == 200
    browser.jar[SESSION] = kept
    assert await browser.session() == {}


async def test_a_sign_in_that_fails_leaves_nothing_half_made(site: Site, proxy: ChaosProxy) -> None:
    """Wherever the connection breaks: the same sign-in works afterwards, with one user."""
    newcomer = Browser(site.auth)
    for _ in range(3):
        await proxy.set("reset")
        assert (await newcomer.sign_in("grace")).status == 503
        assert SESSION not in newcomer.jar
        await proxy.set("pass")
    await newcomer.sign_in("grace")
    assert await back(newcomer, "Grace") < BACK_WITHIN
    users: Any = site.auth._stores.users
    first = await users.get_by_email("grace@example.com")
    loaded = await newcomer.load()
    assert loaded.session.user_id == first.id


async def test_f28_the_herd_that_comes_back_is_bounded(stored: Site, proxy: ChaosProxy) -> None:
    browsers = [await stored.signed_in() for _ in range(20)]
    await proxy.set("refuse")
    await asyncio.gather(*(browser.send("GET", "/session") for browser in browsers * 5))
    dialled = proxy.dialled
    await proxy.set("pass")
    await asyncio.gather(*(browser.send("GET", "/session") for browser in browsers * 10))
    for browser in browsers:
        await back(browser)
    assert proxy.open <= 10
    assert proxy.dialled - dialled <= 20
