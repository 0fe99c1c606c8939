"""One shared connection: each answer reaches the caller it is for, or nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sojourn.stores.redis_link import Link, Lost
from sojourn.stores.redis_node import dial
from sojourn.stores.redis_url import read_url
from tests.stores.redis_fake import OK, Fake


async def connect(fake: Fake) -> Link:
    target = read_url(fake.url)
    link, _ = await dial(target.places[0], target)
    return link


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not reached():
            await checkpoint()


async def lost(answer: asyncio.Future[object]) -> Lost:
    with pytest.raises(Lost) as told:
        await answer
    return told.value


async def test_an_answer_nobody_waits_for_any_more_reaches_nobody() -> None:
    async with Fake(lambda words: None).listening() as fake:
        link = await connect(fake)
        first, second = link.ask(("GET", "a")), link.ask(("GET", "b"))
        first.cancel()
        await asyncio.sleep(0)
        fake.say(b"$1\r\na\r\n$1\r\nb\r\n")
        assert await second == b"b"
        third = link.ask(("GET", "c"))
        fake.say(b"$1\r\nc\r\n")
        assert await third == b"c"
        link.end("done")


async def test_the_first_answer_that_is_late_ends_the_connection_for_all() -> None:
    async with Fake(lambda words: None).listening() as fake:
        link = await connect(fake)
        began = time.monotonic()
        answers = [link.ask(("GET", str(number))) for number in range(3)]
        told = [await lost(answer) for answer in answers]
        assert 0.45 < time.monotonic() - began < 1.2
        assert {(one.stage, one.detail) for one in told} == {("late", "it did not answer in time")}
        with pytest.raises(Lost) as refused:
            await link.ask(("GET", "a"))
        assert refused.value.stage == "queued"


@pytest.mark.parametrize("said", [b"$1\r\nx\r\n", b"-ERR max number of clients reached\r\n", b"HTTP/1.1 400 Bad\r\n"])
async def test_what_nobody_asked_for_ends_the_connection(said: bytes) -> None:
    async with Fake(lambda words: None).listening() as fake:
        link = await connect(fake)
        fake.say(said)
        await until(lambda: link.ended is not None)
        assert "x" not in str(link.ended).split()


async def test_a_command_that_never_went_out_is_told_from_one_that_did() -> None:
    async with Fake(lambda words: None).listening() as fake:
        link = await connect(fake)
        sent = link.ask(("GET", "a"))
        await asyncio.sleep(0)
        queued = link.ask(("GET", "b"))
        link.end("cut")
        assert [(await lost(sent)).stage, (await lost(queued)).stage] == ["sent", "queued"]


async def test_a_command_that_cannot_be_packed_leaves_no_place_in_the_queue() -> None:
    async with Fake(lambda words: OK).listening() as fake:
        link = await connect(fake)
        with pytest.raises(UnicodeEncodeError):
            await link.ask(("GET", "\ud800"))
        assert await link.ask(("PING",)) == b"OK"
        link.end("done")


async def test_closing_lets_what_was_asked_be_answered() -> None:
    async with Fake(lambda words: OK).listening() as fake:
        link = await connect(fake)
        answer = link.ask(("GET", "a"))
        await link.aclose()
        assert await answer == b"OK"
        assert link.ended is not None


async def test_writes_that_are_confirmed_go_out_together_and_only_then_are_told() -> None:
    async with Fake(lambda words: None).listening() as fake:
        link = await connect(fake)
        link.confirmations = 2
        first, second = link.ask(("SET", "a")), link.ask(("SET", "b"))
        await until(lambda: len(fake.heard) == 3)
        fake.say(b"+first\r\n+second\r\n")
        third = link.ask(("SET", "c"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert fake.heard == ["SET", "SET", "WAIT"]
        assert not first.done()
        fake.say(b":2\r\n")
        assert [await first, await second] == [b"first", b"second"]
        fake.say(b"+third\r\n:1\r\n")
        assert (await lost(third)).stage == "unconfirmed"
        assert link.ended is not None
        assert fake.heard[3:] in ([], ["SET", "WAIT"])
