"""Following the log: nothing is missed, nothing harms, and what cannot be known is not believed for long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from sojourn import StoreUnavailable
from sojourn.events import Event, RevocationFeed, StoreFailed
from sojourn.flows.follower import Follower
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation
from sojourn.settings import OnStale
from sojourn.stores.memory import MemoryRevocationLog
from sojourn.testing import DrivenClock

LIMIT = 60


class Log(MemoryRevocationLog):
    """A log in memory whose reading and whose word of news can each break."""

    def __init__(self, clock: DrivenClock) -> None:
        super().__init__(clock)
        self.down = False
        self.deaf = False
        self.reads: list[int] = []
        self.hold: asyncio.Event | None = None

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        self.reads.append(after)
        if self.hold is not None:
            await self.hold.wait()
        if self.down:
            raise StoreUnavailable("revocations", "down")
        return await super().read(after)

    async def wait(self, after: int, seconds: float) -> None:
        if self.down or self.deaf:
            raise StoreUnavailable("revocations", "cut")
        await super().wait(after, seconds)


class Place:
    """A follower, what it follows and what it told."""

    def __init__(self, on_stale: OnStale) -> None:
        self.clock = DrivenClock()
        self.log = Log(self.clock)
        self.ended = EndedSessions()
        self.events: list[Event] = []
        self.pauses: list[float] = []
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.follower = self.make(on_stale)

    def make(self, on_stale: OnStale) -> Follower:
        return Follower(
            log=self.log,
            ended=self.ended,
            limit=LIMIT,
            on_stale=on_stale,
            clock=self.clock,
            emit=self.emit,
            pause=self.pause,
        )

    async def emit(self, event: Event) -> None:
        self.events.append(event)

    async def pause(self, seconds: float) -> None:
        """Stands still until the test lets it try again."""
        self.pauses.append(seconds)
        self.paused.set()
        await self.go_on.wait()
        self.go_on.clear()

    async def fails(self) -> None:
        """Let it try once more, in vain."""
        self.paused.clear()
        self.go_on.set()
        await asyncio.wait_for(self.paused.wait(), 5)

    async def end(self, sid: str) -> None:
        await self.log.append(
            Revocation(kind="session", subject=sid, at=self.clock(), forget_after=self.clock() + 40_000)
        )

    def knows(self, sid: str) -> bool:
        return self.ended.is_ended(sid, "nobody", self.clock())

    async def learns(self, sid: str) -> None:
        async with asyncio.timeout(5):
            while not self.knows(sid):  # noqa: ASYNC110
                await asyncio.sleep(0)

    def told(self) -> list[str]:
        return [event.state if isinstance(event, RevocationFeed) else event.name for event in self.events]


NewPlace = Callable[[OnStale], Awaitable[Place]]


@pytest.fixture
async def at() -> AsyncIterator[NewPlace]:
    """Places whose followers end with the test."""
    places: list[Place] = []

    async def make(on_stale: OnStale) -> Place:
        places.append(Place(on_stale))
        return places[-1]

    yield make
    for place in places:
        await place.follower.aclose()


async def test_what_ended_before_is_known_when_it_has_started(at: NewPlace) -> None:
    place = await at("check")
    await place.end("before")
    await place.follower.start()
    assert place.knows("before")
    assert place.ended.trusted_until == place.clock() + LIMIT


async def test_what_ends_later_is_known_without_asking(at: NewPlace) -> None:
    place = await at("check")
    await place.follower.start()
    for number in range(50):
        await place.end(f"sid-{number}")
        await place.learns(f"sid-{number}")
    assert place.events == []


async def test_a_log_that_is_silent_is_read_all_the_same(at: NewPlace) -> None:
    """The one who waits may never be told of anything."""
    place = await at("check")
    await place.follower.start()
    place.log._position += 1
    place.log._entries.append(
        (1, Revocation(kind="session", subject="a", at=place.clock(), forget_after=place.clock() + 900))
    )
    await place.learns("a")


async def test_an_outage_is_told_once_and_nothing_is_missed(at: NewPlace) -> None:
    place = await at("check")
    await place.end("before")
    await place.follower.start()
    place.log.down = True
    await place.end("during")
    await asyncio.wait_for(place.paused.wait(), 5)
    for _ in range(8):
        await place.fails()
    assert place.told() == ["store_failed"]
    assert 0.05 <= place.pauses[0] <= 0.1
    assert all(later <= 2 for later in place.pauses)
    assert max(place.pauses[-3:]) > 0.9
    assert not place.knows("during")
    place.log.down = False
    place.go_on.set()
    await place.learns("during")
    assert place.told() == ["store_failed"]


async def test_a_channel_that_broke_is_no_outage(at: NewPlace) -> None:
    place = await at("check")
    await place.follower.start()
    place.log.deaf = True
    await place.end("a")
    await place.learns("a")
    await asyncio.wait_for(place.paused.wait(), 5)
    await place.end("b")
    await place.fails()
    assert place.knows("b")
    assert place.events == []


async def test_after_a_cut_everything_is_read_again(at: NewPlace) -> None:
    """A fail-over may have given positions to others that this process passed already."""
    place = await at("check")
    await place.end("first")
    await place.end("second")
    await place.follower.start()
    place.log.down = True
    await place.end("wakes it")
    await asyncio.wait_for(place.paused.wait(), 5)
    other = Revocation(kind="session", subject="other", at=place.clock(), forget_after=place.clock() + 900)
    place.log._entries = [(1, other)]
    place.log._position = 1
    place.log.down = False
    place.go_on.set()
    await place.learns("other")
    await place.end("later")
    await place.learns("later")
    assert place.knows("first")


async def test_it_becomes_stale_and_follows_again(at: NewPlace) -> None:
    place = await at("check")
    await place.follower.start()
    began = place.clock()
    place.log.down = True
    await place.end("wakes it")
    await asyncio.wait_for(place.paused.wait(), 5)
    place.clock.advance(LIMIT - 1)
    await place.fails()
    assert place.clock() < place.ended.trusted_until
    place.clock.advance(1)
    await place.fails()
    await place.fails()
    assert place.clock() >= place.ended.trusted_until
    assert place.told() == ["store_failed", "stale"]
    stale = place.events[-1]
    assert isinstance(stale, RevocationFeed)
    assert (stale.at, stale.known_at, stale.on_stale) == (began + LIMIT, began, "check")
    place.log.down = False
    place.go_on.set()
    await place.learns("wakes it")
    async with asyncio.timeout(5):
        while len(place.events) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert place.told() == ["store_failed", "stale", "following"]
    assert place.ended.trusted_until == place.clock() + LIMIT


async def test_a_clock_that_is_set_back_does_not_prolong_trust(at: NewPlace) -> None:
    place = await at("check")
    await place.follower.start()
    place.log.down = True
    await place.end("wakes it")
    await asyncio.wait_for(place.paused.wait(), 5)
    place.clock.advance(-3600)
    await place.fails()
    assert place.ended.trusted_until == place.clock() + LIMIT


async def test_check_asks_the_log(at: NewPlace) -> None:
    place = await at("check")
    await place.end("a")
    assert place.clock() >= place.ended.trusted_until  # never started
    await place.follower.make_sure()
    assert place.knows("a")
    assert place.clock() < place.ended.trusted_until
    place.log.down = True
    with pytest.raises(StoreUnavailable):
        await place.follower.make_sure()


async def test_who_asks_at_once_shares_one_reading(at: NewPlace) -> None:
    place = await at("check")
    place.log.hold = asyncio.Event()
    asking = [asyncio.create_task(place.follower.make_sure()) for _ in range(20)]
    while not place.log.reads:  # noqa: ASYNC110
        await asyncio.sleep(0)
    asking[0].cancel()
    place.log.hold.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:] == [None] * 19
    assert place.log.reads == [0]


async def test_refuse_never_asks(at: NewPlace) -> None:
    place = await at("refuse")
    with pytest.raises(StoreUnavailable, match="revocations"):
        await place.follower.make_sure()
    assert place.log.reads == []
    await place.follower.start()
    assert place.clock() < place.ended.trusted_until


async def test_accept_trusts_for_ever_and_still_tells(at: NewPlace) -> None:
    place = await at("accept")
    await place.follower.start()
    place.log.down = True
    await place.end("wakes it")
    await asyncio.wait_for(place.paused.wait(), 5)
    place.clock.advance("2h")
    await place.fails()
    assert place.ended.trusted_until == math.inf
    assert place.told() == ["store_failed", "stale"]
    await place.follower.make_sure()


@pytest.mark.parametrize("on_stale", ["check", "refuse", "accept"])
async def test_a_log_that_is_down_at_the_start(at: NewPlace, on_stale: OnStale) -> None:
    """The limit counts from then on, but where an operator chose to refuse: nothing was ever known."""
    place = await at(on_stale)
    place.log.down = True
    with pytest.raises(StoreUnavailable):
        await place.follower.start()
    await asyncio.wait_for(place.paused.wait(), 5)
    trusted = {"check": float(place.clock() + LIMIT), "refuse": float(LIMIT), "accept": math.inf}
    assert place.ended.trusted_until == trusted[on_stale]
    assert [event for event in place.events if isinstance(event, StoreFailed)] == []  # told by who started it
    await place.end("during")
    place.log.down = False
    place.go_on.set()
    await place.learns("during")


async def test_what_is_over_is_forgotten(at: NewPlace) -> None:
    place = await at("check")
    await place.end("a")
    await place.follower.start()
    place.clock.advance(50_000)
    await place.end("b")
    await place.learns("b")
    async with asyncio.timeout(5):
        while place.knows("a"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert len(place.ended) == 1


async def test_much_that_is_new_lets_others_have_their_turn(at: NewPlace) -> None:
    place = await at("check")
    for number in range(5000):
        await place.end(f"sid-{number}")
    starting = asyncio.create_task(place.follower.start())
    seen: set[int] = set()
    while not starting.done():
        seen.add(len(place.ended))
        await asyncio.sleep(0)
    assert len(seen) >= 5
    assert len(place.ended) == 5000


async def test_an_error_of_ours_does_not_end_it(
    at: NewPlace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = await at("check")
    await place.follower.start()

    async def broken(after: int, seconds: float) -> None:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(place.log, "wait", broken)
        await place.end("wakes it")
        await asyncio.wait_for(place.paused.wait(), 5)
    assert "endings of other processes are not known for now" in caplog.text
    place.go_on.set()
    await place.end("a")
    await place.learns("a")


async def test_it_ends_in_the_middle_of_a_reading(at: NewPlace) -> None:
    place = await at("check")
    await place.follower.start()
    others = asyncio.all_tasks()
    place.log.hold = asyncio.Event()
    await place.end("a")
    while len(place.log.reads) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert asyncio.all_tasks() > others
    await place.follower.aclose()
    assert asyncio.all_tasks() < others
    place.log.hold.set()
    await place.follower.start()
    assert place.knows("a")
