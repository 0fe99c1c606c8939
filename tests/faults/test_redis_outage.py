"""Redis goes away under an application that keeps sessions, limits and endings there (5.3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sojourn import RateLimit
from sojourn.events import SessionRefused, StoreFailed
from tests.faults.site import BACK_WITHIN, Site, back, under_load
from tests.servers.valkey import OwnValkey, own_server
from tests.support import SESSION, Browser, header_of


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    """A server that keeps what it answered for through a restart."""
    with own_server("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(params=["jwt", "database"])
async def site(request: pytest.FixtureRequest, valkey: OwnValkey) -> AsyncIterator[Site]:
    site = Site(None, request.param, valkey.url)
    await site.auth.start()
    yield site
    await site.auth.aclose()


@pytest.fixture
async def stored(valkey: OwnValkey) -> AsyncIterator[Site]:
    site = Site("memory:", "database", valkey.url)
    await site.auth.start()
    yield site
    await site.auth.aclose()


async def test_f11_it_is_killed_under_load_and_started_again(stored: Site, valkey: OwnValkey) -> None:
    await under_load(stored, lambda: asyncio.to_thread(valkey.kill), lambda: asyncio.to_thread(valkey.start))


async def test_f12_it_stalls_under_load(stored: Site, valkey: OwnValkey) -> None:
    paused = valkey.paused()
    slowest = await under_load(
        stored,
        lambda: asyncio.to_thread(paused.__enter__),
        lambda: asyncio.to_thread(paused.__exit__, None, None, None),
    )
    assert slowest < 3  # half a second for the command, and once more


async def test_f12_while_it_stalls_the_answer_comes_at_once(stored: Site, valkey: OwnValkey) -> None:
    browser = await stored.signed_in()
    with valkey.paused():
        while True:  # until the breaker opens
            began = time.monotonic()
            assert (await browser.send("GET", "/session")).status == 503
            if time.monotonic() - began < 0.1:
                break
        took = []
        for _ in range(100):
            began = time.monotonic()
            assert (await browser.send("GET", "/session")).status == 503
            took.append(time.monotonic() - began)
    assert sorted(took)[98] < 0.7
    assert await back(browser) < BACK_WITHIN


async def test_f01_it_is_down_at_the_start(valkey: OwnValkey) -> None:
    before = Site(None, "database", valkey.url)
    browser = await before.signed_in()
    await before.auth.aclose()
    valkey.kill()
    site = Site(None, "database", valkey.url)
    await site.auth.start()
    assert len(site.told(StoreFailed)) == 1
    browser.auth = site.auth
    assert (await browser.send("GET", "/session")).status == 503
    assert (await Browser(site.auth).sign_in("grace")).status == 503
    valkey.start()
    assert await back(browser) < BACK_WITHIN
    assert (await Browser(site.auth).sign_in("grace")).status == 200
    await site.auth.aclose()


async def test_f03_nobody_is_told_that_they_are_signed_out_while_they_are_not(site: Site, valkey: OwnValkey) -> None:
    browser = await site.signed_in()
    kept = browser.jar[SESSION]
    valkey.kill()
    answer = await browser.post("/signout")
    assert (answer.status, header_of(answer, "retry-after"), browser.jar[SESSION]) == (503, "2", kept)
    valkey.start()
    began = time.monotonic()
    while (await browser.post("/signout")).status == 503:
        assert time.monotonic() - began < BACK_WITHIN
    browser.jar[SESSION] = kept
    assert await browser.session() == {}


async def test_f11_guesses_are_limited_while_it_is_down(valkey: OwnValkey) -> None:
    site = Site("memory:", "jwt", valkey.url, rate_limit=RateLimit(sign_in="5/10m"))
    await site.auth.start()
    browser = Browser(site.auth)
    assert (await browser.sign_in(password="wrong")).status == 401
    valkey.kill()
    told = [(await browser.sign_in(password="wrong")).status for _ in range(60)]
    assert told.count(401) <= 5
    assert set(told) == {401, 429}
    assert len(site.told(StoreFailed)) == 1
    valkey.start()
    site.clock.advance("10m")
    began = time.monotonic()
    while (await browser.sign_in()).status != 200:
        assert time.monotonic() - began < BACK_WITHIN
    await site.auth.aclose()


async def test_f15_it_is_full(stored: Site, valkey: OwnValkey) -> None:
    browser, leaver = await stored.signed_in(), await stored.signed_in()
    valkey.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    valkey.ask("CONFIG", "SET", "maxmemory", "1")
    assert (await Browser(stored.auth).sign_in("grace")).status == 503
    assert (await browser.session())["user"]["name"] == "Ada"
    kept = leaver.jar[SESSION]
    assert (await leaver.post("/signout")).status == 200
    leaver.jar[SESSION] = kept
    assert await leaver.session() == {}
    valkey.ask("CONFIG", "SET", "maxmemory", "0")
    assert (await Browser(stored.auth).sign_in("grace")).status == 200


async def test_f16_it_is_emptied(stored: Site, valkey: OwnValkey) -> None:
    browser = await stored.signed_in()
    valkey.ask("FLUSHALL")
    answer = await browser.send("GET", "/session")
    assert (answer.status, answer.body, SESSION in browser.jar) == (200, b"{}", False)
    assert [event.step for event in stored.told(SessionRefused)] == ["unknown"]
    assert (await browser.sign_in()).status == 200
    assert (await browser.session())["user"]["name"] == "Ada"


async def test_f14_an_eviction_that_could_drop_sessions_is_said_at_the_start(
    valkey: OwnValkey, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.ask("CONFIG", "SET", "maxmemory", "100mb")
    valkey.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    site: Any = Site("memory:", "database", valkey.url)
    await site.auth.start()
    assert "noeviction" in caplog.text
    await site.auth.aclose()
