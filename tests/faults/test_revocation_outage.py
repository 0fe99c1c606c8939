"""The log of endings cannot be asked for a while (F-04), or its word of news is cut: nothing ended lives on unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sojourn import RevocationPolicy, TokenError
from sojourn.events import RevocationFeed
from tests.faults.site import Site, back
from tests.servers.postgres import Postgres
from tests.servers.proxy import ChaosProxy, chaos
from tests.servers.valkey import own_server
from tests.support import SESSION, Browser, set_cookies_of

WITHIN = 1.0


@asynccontextmanager
async def started(*addresses: Any, **settings: Any) -> AsyncIterator[list[Site]]:
    """Sites on these addresses of one database, in one time."""
    sites = [Site(address, "jwt", redis, **settings) for address, redis in addresses]
    for site in sites:
        site.clock.set(sites[0].clock())
        await site.auth.start()
    try:
        yield sites
    finally:
        for site in sites:
            await site.auth.aclose()


def copy_of(browser: Browser, site: Site) -> Browser:
    copy = Browser(site.auth)
    copy.jar = dict(browser.jar)
    return copy


def later(wait: str, *sites: Site) -> None:
    for site in sites:
        site.clock.advance(wait)


async def refused(copy: Browser, seconds: float = WITHIN) -> None:
    """By the way without I/O, within so many seconds."""
    async with asyncio.timeout(seconds):
        while copy.auth.current(copy.cookie_header) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (await copy.load()).code == "session_ended"


async def told(site: Site, *states: str) -> None:
    async with asyncio.timeout(10):
        while [event.state for event in site.told(RevocationFeed)] != list(states):  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("mode", ["refuse", "stall", "half", "reset"])
async def test_f04_check_refuses_what_nobody_can_tell(url: str, behind: str, proxy: ChaosProxy, mode: Any) -> None:
    async with started((behind, None), (url, None)) as (cut, whole):
        ada, grace = await whole.signed_in(), await whole.signed_in()
        copy, other = copy_of(ada, cut), copy_of(grace, cut)
        assert cut.auth.current(copy.cookie_header) is not None
        await proxy.set(mode)
        assert (await ada.post("/signout")).status == 200
        later("299s", cut, whole)
        assert cut.auth.current(other.cookie_header) is not None  # nobody waits for a log that is down
        later("1s", cut, whole)
        for browser in (copy, other):
            assert cut.auth.current(browser.cookie_header) is None
            answer = await browser.send("GET", "/session")
            assert (answer.status, set_cookies_of(answer)) == (503, [])
        with pytest.raises(TokenError) as caught:
            cut.auth.verify(other.jar[SESSION])
        assert (caught.value.step, caught.value.code) == ("stale", "unavailable")
        await told(cut, "stale")
        await proxy.set("pass")
        await back(other)
        await refused(copy)
        await told(cut, "stale", "following")
        assert cut.auth.verify(other.jar[SESSION]).user_id


async def test_f04_refuse_does_not_ask(url: str, behind: str, proxy: ChaosProxy) -> None:
    policy = RevocationPolicy(on_stale="refuse", staleness_limit="10s")
    async with started((behind, None), revocation=policy) as (site,):
        browser = await site.signed_in()
        await proxy.set("refuse")
        later("9s", site)
        assert (await browser.send("GET", "/session")).status == 200
        later("1s", site)
        answer = await browser.send("GET", "/session")
        assert (answer.status, set_cookies_of(answer)) == (503, [])
        await proxy.set("pass")
        async with asyncio.timeout(5):
            while (await browser.send("GET", "/session")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0)  # nothing in a refusal waits, so nobody else would have their turn


async def test_f04_accept_goes_on_and_says_so(url: str, behind: str, proxy: ChaosProxy) -> None:
    async with started((behind, None), (url, None), revocation=RevocationPolicy(on_stale="accept")) as (cut, whole):
        ada = await whole.signed_in()
        copy = copy_of(ada, cut)
        await proxy.set("refuse")
        assert (await ada.post("/signout")).status == 200
        later("30m", cut, whole)
        assert (await copy.send("GET", "/session")).status == 200
        await told(cut, "stale")
        await proxy.set("pass")
        await refused(copy, 5)
        await told(cut, "stale", "following")


@pytest.mark.parametrize(("on_stale", "first"), [("check", 200), ("refuse", 503), ("accept", 200)])
async def test_f01_a_log_that_is_down_at_the_start(behind: str, proxy: ChaosProxy, on_stale: str, first: int) -> None:
    policy = RevocationPolicy(on_stale=on_stale)
    async with started((behind, None), revocation=policy) as (before,):
        browser = await before.signed_in()
    await proxy.set("refuse")
    async with started((behind, None), revocation=policy) as (site,):
        browser.auth = site.auth
        assert (await browser.send("GET", "/session")).status == first
        later("5m", site)
        assert (await browser.send("GET", "/session")).status == (200 if on_stale == "accept" else 503)


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_the_connection_that_listens_is_killed(url: str, postgres: Postgres, driver: str) -> None:
    address = url.replace("postgresql", driver, 1)
    async with started((address, None), (address, None)) as (one, two):
        for _ in range(5):
            copy = copy_of(ada := await one.signed_in(), two)
            await asyncio.to_thread(
                postgres.execute,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND (query ILIKE '%max(%revocations%' OR query ILIKE 'LISTEN%')",
            )
            assert (await ada.post("/signout")).status == 200
            await refused(copy)
        assert two.told(RevocationFeed) == []


async def test_valkey_cuts_who_waits() -> None:
    with own_server() as valkey:
        async with started((None, valkey.url), (None, valkey.url)) as (one, two):
            for _ in range(5):
                copy = copy_of(ada := await one.signed_in(), two)
                await asyncio.to_thread(valkey.ask, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                assert (await ada.post("/signout")).status == 200
                await refused(copy)


@pytest.mark.parametrize("mode", ["refuse", "stall"])
async def test_valkey_is_gone_for_a_while(mode: Any) -> None:
    with own_server() as valkey:
        port = int(valkey.url.rpartition(":")[2].partition("/")[0])
        async with chaos("127.0.0.1", port) as proxy:
            behind = f"redis://127.0.0.1:{proxy.port}"
            async with started((None, behind), (None, valkey.url)) as (cut, whole):
                ada, grace = await whole.signed_in(), await whole.signed_in()
                copy, other = copy_of(ada, cut), copy_of(grace, cut)
                await proxy.set(mode)
                assert (await ada.post("/signout")).status == 200
                later("5m", cut, whole)
                assert (await other.send("GET", "/session")).status == 503
                await proxy.set("pass")
                await back(other)
                await refused(copy)


async def test_valkey_that_lost_everything_is_followed_from_the_start() -> None:
    with own_server() as valkey:
        async with started((None, valkey.url), (None, valkey.url)) as (one, two):
            last = Browser(two.auth)
            for _ in range(5):
                copy = copy_of(ada := await one.signed_in(), two)
                last = copy_of(ada, two)
                assert (await ada.post("/signout")).status == 200
                await refused(copy)
            valkey.kill()
            valkey.start()
            valkey.ask("FLUSHALL")
            await back(await _signed_in(one))
            copy = copy_of(ada := await _signed_in(one), two)
            assert (await ada.post("/signout")).status == 200
            await refused(copy, 5)
            await refused(last)


async def _signed_in(site: Site) -> Browser:
    """As soon as the store is back."""
    browser = Browser(site.auth)
    async with asyncio.timeout(5):
        while (await browser.sign_in()).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return browser
