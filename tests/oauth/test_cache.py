from __future__ import annotations

import anyio
import pytest

from sojourn.errors import SignInRefused
from sojourn.oauth.cache import PAUSE, STALE, TTL, Published
from sojourn.oauth.steps import refuse
from tests.oauth.scripted import NOW, DrivenClock


class Source:
    def __init__(self) -> None:
        self.calls = 0
        self.down = False
        self.clock = DrivenClock()
        self.published = Published(self.fetch, self.clock)

    async def fetch(self) -> int:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if self.down:
            raise refuse("unreachable", f"attempt {self.calls}")
        return self.calls


async def test_fresh_document_is_kept_for_an_hour() -> None:
    source = Source()
    assert await source.published.get() == 1
    source.clock.now += TTL - 1
    assert await source.published.get() == 1
    source.clock.now += 1
    assert await source.published.get() == 2


async def test_old_document_serves_while_the_provider_is_down() -> None:
    source = Source()
    await source.published.get()
    source.down = True
    source.clock.now = NOW + TTL
    assert await source.published.get() == 1
    assert await source.published.get() == 1
    assert source.calls == 2  # asked once, then left alone for a while
    source.clock.now += PAUSE
    assert await source.published.get() == 1
    assert source.calls == 3
    source.clock.now = NOW + TTL + STALE - 1
    assert await source.published.get() == 1
    source.clock.now = NOW + TTL + STALE
    with pytest.raises(SignInRefused):
        await source.published.get()


async def test_provider_that_comes_back_is_believed_anew() -> None:
    source = Source()
    await source.published.get()
    source.down = True
    source.clock.now += TTL
    await source.published.get()
    source.down = False
    source.clock.now += PAUSE
    assert await source.published.get() == 3
    assert await source.published.get() == 3


async def test_nothing_cached_and_down_is_refused_each_time() -> None:
    source = Source()
    source.down = True
    for attempt in (1, 2):
        with pytest.raises(SignInRefused, match=f"attempt {attempt}"):
            await source.published.get()


async def test_callers_at_once_share_one_request_and_its_outcome() -> None:
    source = Source()
    source.down = True
    outcomes: list[object] = []

    async def ask() -> None:
        try:
            outcomes.append(await source.published.get())
        except SignInRefused as refused:
            outcomes.append(refused.step)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert outcomes == ["unreachable"] * 50
    assert source.calls == 1


async def test_cancelled_caller_leaves_the_others_to_ask() -> None:
    source = Source()
    entered = anyio.Event()
    plain = source.fetch

    async def hang() -> int:
        entered.set()
        await anyio.sleep_forever()
        return 0

    source.published = Published(hang, source.clock)
    found: list[int] = []

    async def wait() -> None:
        found.append(await source.published.get())

    async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
        inner.start_soon(source.published.get)
        await entered.wait()
        outer.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        source.published._fetch = plain
        inner.cancel_scope.cancel()
    assert found == [1]


async def test_again_asks_once_in_thirty_seconds() -> None:
    source = Source()
    await source.published.get()
    assert await source.published.again() == 2
    assert await source.published.again() == 2
    source.clock.now += PAUSE - 1
    assert await source.published.again() == 2
    source.clock.now += 1
    assert await source.published.again() == 3


async def test_clock_set_back_never_makes_a_document_eternal() -> None:
    source = Source()
    await source.published.get()
    await source.published.again()
    source.clock.now -= 3600
    assert await source.published.get() == 3
    source.clock.now -= 3600
    assert await source.published.again() == 4
