"""An application whose stores fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sojourn import Auth, SessionPolicy
from sojourn.events import Event, SessionRefused
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, MyClaims, header_of, make_auth, set_cookies_of

__all__ = ["BACK_WITHIN", "WORKERS", "Site", "back", "under_load"]

WORKERS = 32
BACK_WITHIN = 5.0


class Site:
    """An application, its clock and its events."""

    def __init__(self, database: str | None, strategy: str, redis: str | None = None, **settings: Any) -> None:
        self.clock = DrivenClock()
        self.events: list[Event] = []
        store = "redis" if redis is not None and strategy == "database" else None
        self.auth: Auth[MyClaims] = make_auth(
            self.clock,
            self.events,
            database=database,
            redis=redis,
            session=SessionPolicy(strategy=strategy, store=store),
            **({"rate_limit": None} | settings),
        )

    async def signed_in(self) -> Browser:
        browser = Browser(self.auth)
        assert (await browser.sign_in()).status == 200
        return browser

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def back(browser: Browser, name: str = "Ada") -> float:
    """Seconds until this browser's session is answered again."""
    began = time.monotonic()
    while True:
        answer = await browser.send("GET", "/session")
        if answer.status == 200:
            assert name.encode() in answer.body
            return time.monotonic() - began
        assert answer.status == 503
        assert time.monotonic() - began < BACK_WITHIN


async def under_load(site: Site, fail: Callable[[], Awaitable[object]], mend: Callable[[], Awaitable[object]]) -> float:
    """Let everybody ask for their session while the store fails and comes back; the slowest answer in seconds.

    Each answer is the person's own session or 503; no cookie is touched, nobody is refused.
    """
    browsers = [await site.signed_in() for _ in range(WORKERS)]
    cookies = [browser.jar[SESSION] for browser in browsers]
    busy, failing, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
    asked = 0
    slowest = 0.0

    async def work(browser: Browser) -> None:
        nonlocal asked, slowest
        while not enough.is_set():
            began = time.monotonic()
            answer = await browser.send("GET", "/session")
            slowest = max(slowest, time.monotonic() - began)
            asked += 1
            if asked == 2 * WORKERS:
                busy.set()
            if answer.status == 200:
                assert b'"name":"Ada"' in answer.body
            else:
                assert (answer.status, header_of(answer, "retry-after") in {"1", "2"}) == (503, True)
                failing.set()
            assert set_cookies_of(answer) == []
            await asyncio.sleep(0)

    workers = [asyncio.create_task(work(browser)) for browser in browsers]
    await busy.wait()
    await fail()
    failed = asyncio.create_task(failing.wait())
    done, _ = await asyncio.wait({failed, *workers}, timeout=6, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    assert failed in done
    await mend()
    assert await back(browsers[0]) < BACK_WITHIN
    enough.set()
    await asyncio.gather(*workers)
    for browser, cookie in zip(browsers, cookies, strict=True):
        assert browser.jar[SESSION] == cookie
        await back(browser)
    assert site.told(SessionRefused) == []
    return slowest
