"""What every store of spent keys and every log of endings promises; used like `sojourn.testing.UserStoreContract`."""

from __future__ import annotations

import asyncio
import time

from sojourn.ports import OnceStore, Revocation, RevocationLog
from sojourn.testing.clock import DrivenClock
from sojourn.testing.stores import Rows

__all__ = ["OnceStoreContract", "RevocationLogContract"]


class OnceStoreContract:
    """What may be spent once."""

    async def test_a_key_is_spent_once(self, once: OnceStore, clock: DrivenClock, rows: Rows) -> None:
        assert await once.spend("state:a", clock() + 900)
        assert not await once.spend("state:a", clock() + 900)
        assert await once.spend("state:b", clock() + 900)
        assert {row["key"]: row["forget_after"] for row in await rows("spent")} == {
            "state:a": clock() + 900,
            "state:b": clock() + 900,
        }

    async def test_a_key_is_kept_until_it_may_be_forgotten(self, once: OnceStore, clock: DrivenClock) -> None:
        assert await once.spend("a", clock() + 900)
        clock.advance(900)
        assert await once.spend("b", clock() + 900)
        assert not await once.spend("a", clock() + 900)

    async def test_spending_again_does_not_shorten_the_memory(self, once: OnceStore, clock: DrivenClock) -> None:
        assert await once.spend("a", clock() + 900)
        assert not await once.spend("a", clock() + 1)
        clock.advance(10)
        assert not await once.spend("a", clock() + 1)

    async def test_what_may_be_forgotten_does_not_pile_up(
        self, once: OnceStore, clock: DrivenClock, rows: Rows
    ) -> None:
        for number in range(100):
            await once.spend(f"old-{number}", clock() + 900)
        clock.advance(901)
        for number in range(10):
            await once.spend(f"new-{number}", clock() + 900)
        assert sorted(row["key"] for row in await rows("spent")) == [f"new-{number}" for number in range(10)]

    async def test_one_of_many_at_once_wins(self, once: OnceStore, clock: DrivenClock, rows: Rows) -> None:
        for _ in range(5):
            key = f"race-{clock.advance(1)}"
            won = await asyncio.gather(*(once.spend(key, clock() + 900) for _ in range(50)))
            assert won.count(True) == 1
        assert len(await rows("spent")) == 5


class RevocationLogContract:
    """What ended, in order."""

    async def test_an_empty_log_starts_anywhere(self, log: RevocationLog) -> None:
        assert await log.read() == (0, [])

    async def test_entries_are_read_in_order_and_from_a_position(
        self, log: RevocationLog, clock: DrivenClock, rows: Rows
    ) -> None:
        first = Revocation(kind="session", subject="sid-1", at=clock(), forget_after=clock() + 900)
        second = Revocation(kind="user", subject="user-1", at=clock(), forget_after=clock() + 800)
        await log.append(first)
        await log.append(second)
        position, entries = await log.read()
        assert list(entries) == [first, second]
        assert await log.read(position) == (position, [])
        third = Revocation(kind="session", subject="sid-1", at=clock() + 1, forget_after=clock() + 900)
        await log.append(third)
        later, entries = await log.read(position)
        assert list(entries) == [third]
        assert later > position
        assert [(row["kind"], row["subject"], row["at"], row["forget_after"]) for row in await rows("revocations")] == [
            (entry.kind, entry.subject, entry.at, entry.forget_after) for entry in (first, second, third)
        ]

    async def test_what_may_be_forgotten_does_not_pile_up(
        self, log: RevocationLog, clock: DrivenClock, rows: Rows
    ) -> None:
        keeper = Revocation(kind="session", subject="keeper", at=clock(), forget_after=clock() + 1_000_000)
        await log.append(keeper)
        for number in range(2000):
            entry = Revocation(kind="session", subject=f"sid-{number}", at=clock(), forget_after=clock() + 10)
            await log.append(entry)
            clock.advance(1)
        stored = await rows("revocations")
        assert len(stored) < 1500
        assert stored[0]["subject"] == "keeper"

    async def test_a_position_is_never_given_out_twice(self, log: RevocationLog, clock: DrivenClock) -> None:
        """Not even when everything up to it was forgotten: who reads on from theirs would miss the next ending."""
        await log.append(Revocation(kind="session", subject="a", at=clock(), forget_after=clock() + 10))
        await log.append(Revocation(kind="session", subject="b", at=clock(), forget_after=clock() + 10))
        position, _ = await log.read()
        clock.advance(11)
        third = Revocation(kind="session", subject="c", at=clock(), forget_after=clock() + 10)
        await log.append(third)
        _, entries = await log.read(position)
        assert list(entries) == [third]

    async def test_no_entry_of_many_at_once_is_lost(self, log: RevocationLog, clock: DrivenClock) -> None:
        entries = [
            Revocation(kind="session", subject=f"sid-{number}", at=clock(), forget_after=clock() + 900)
            for number in range(50)
        ]
        seen: list[Revocation] = []
        position = 0

        async def follow() -> None:
            nonlocal position
            while len(seen) < len(entries):
                position, new = await log.read(position)
                seen.extend(new)
                await asyncio.sleep(0)

        await asyncio.gather(follow(), *(log.append(entry) for entry in entries))
        assert sorted(entry.subject for entry in seen) == sorted(entry.subject for entry in entries)

    async def test_who_waits_hears_of_what_is_there_at_once(self, log: RevocationLog, clock: DrivenClock) -> None:
        await log.append(_ending("a", clock))
        for _ in range(3):  # heard of already, or not: it is after that position
            assert await _waited(log, 0) < _LONG / 2
        position, _ = await log.read()
        await log.append(_ending("b", clock))
        assert await _waited(log, position) < _LONG / 2

    async def test_who_waits_hears_of_what_comes(self, log: RevocationLog, clock: DrivenClock) -> None:
        position, _ = await log.read()
        heard: list[str] = []

        async def follow() -> None:
            nonlocal position
            while len(heard) < 20:
                await log.wait(position, _LONG)
                position, entries = await log.read(position)
                heard.extend(entry.subject for entry in entries)

        following = asyncio.create_task(follow())
        began = time.monotonic()
        for number in range(20):
            await log.append(_ending(f"sid-{number}", clock))
        await following
        assert heard == [f"sid-{number}" for number in range(20)]
        assert time.monotonic() - began < _LONG / 2

    async def test_waiting_for_nothing_ends(self, log: RevocationLog, clock: DrivenClock) -> None:
        await log.append(_ending("a", clock))
        position, _ = await log.read()
        assert await _waited(log, position, 0.2) < _LONG / 2
        # What was announced before may cut one wait short, never every one.
        assert max([await _waited(log, position, 0.2) for _ in range(3)]) > 0.19

    async def test_who_stops_waiting_misses_nothing_later(self, log: RevocationLog, clock: DrivenClock) -> None:
        position = 0
        for number in range(3):
            waiting = asyncio.create_task(log.wait(position, _LONG))
            await asyncio.wait({waiting}, timeout=0.05)
            waiting.cancel()
            await asyncio.wait({waiting})
            await log.append(_ending(f"sid-{number}", clock))
            assert await _waited(log, position) < _LONG / 2
            position, entries = await log.read(position)
            assert [entry.subject for entry in entries] == [f"sid-{number}"]

    async def test_two_may_wait(self, log: RevocationLog, clock: DrivenClock) -> None:
        position, _ = await log.read()
        waiting = [asyncio.create_task(_waited(log, position)) for _ in range(2)]
        await asyncio.wait(waiting, timeout=0.05)
        await log.append(_ending("a", clock))
        assert max(await asyncio.gather(*waiting)) < _LONG / 2


_LONG = 10.0
"""Seconds that no test waits for, though a server may be slow."""


def _ending(sid: str, clock: DrivenClock) -> Revocation:
    return Revocation(kind="session", subject=sid, at=clock(), forget_after=clock() + 900)


async def _waited(log: RevocationLog, after: int, seconds: float = _LONG) -> float:
    began = time.monotonic()
    await log.wait(after, seconds)
    return time.monotonic() - began
