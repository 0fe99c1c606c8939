"""Listing and ending by user, and what is left when a step of it fails."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn import StoreUnavailable
from sojourn.events import Event, SessionEnded, SessionsEnded, StoreFailed
from sojourn.flows.devices import Devices
from sojourn.flows.revocation import Revoker
from sojourn.identifiers import session_id
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation, SessionRecord
from sojourn.stores.memory import MemoryRevocationLog
from sojourn.stores.memory_sessions import MemorySessionStore
from sojourn.testing import DrivenClock

LIFETIMES = Lifetimes(max_age=100, update_age=10, grace_period=20, absolute_age=1000)


class Kept:
    """Devices of sessions in tokens, on stores that fail where they are told to."""

    def __init__(self, *, stored: bool = False) -> None:
        self.clock = DrivenClock()
        self.events: list[Event] = []
        self.records: Any = MemorySessionStore(self.clock)
        self.log: Any = MemoryRevocationLog(self.clock)
        self.ended = EndedSessions()
        revoker = Revoker(
            log=self.log,
            sessions=self.records if stored else None,
            listed=None if stored else self.records,
            ended=self.ended,
            lifetimes=LIFETIMES,
            clock=self.clock,
            emit=self.note,
        )
        self.devices = Devices(
            records=self.records, revoker=revoker, ended=self.ended, lifetimes=LIFETIMES, clock=self.clock
        )

    async def note(self, event: Event) -> None:
        self.events.append(event)

    async def begin(self, user_id: str = "ada") -> str:
        now = self.clock()
        sid = session_id(user_id, now)
        await self.records.insert(SessionRecord(sid, user_id, b"", b"{}", now, now, now + 1000, now + 1100))
        return sid

    async def sids(self) -> list[str]:
        return [device.sid for device in await self.devices.list("ada")]

    async def appended(self) -> list[Revocation]:
        return list((await self.log.read())[1])


def failing(monkeypatch: pytest.MonkeyPatch, store: object, name: str, *, after: int = 0) -> None:
    """Let `name` work `after` times and then never again."""
    real = getattr(store, name)
    worked = [0]

    async def down(*arguments: Any, **named: Any) -> Any:
        if worked[0] >= after:
            raise StoreUnavailable("database", "it is down")
        worked[0] += 1
        return await real(*arguments, **named)

    monkeypatch.setattr(store, name, down)


async def test_each_of_the_others_gets_an_entry_and_all_of_them_get_one() -> None:
    kept = Kept()
    first, second, third = [await kept.begin() for _ in range(3)]
    assert sorted(await kept.devices.end_others("ada", but=second)) == sorted([first, third])
    assert {(entry.kind, entry.subject) for entry in await kept.appended()} == {("session", first), ("session", third)}
    assert await kept.devices.end_all("ada", "disabled") == [second]
    last = (await kept.appended())[-1]
    assert (last.kind, last.subject, last.at) == ("user", "ada", kept.clock())
    assert last.forget_after >= kept.clock() + LIFETIMES.max_age + LIFETIMES.grace_period + LIFETIMES.leeway
    assert await kept.records.list_for_user("ada") == []
    assert [event for event in kept.events if isinstance(event, SessionsEnded)] == [
        SessionsEnded(at=kept.clock(), user_id="ada", reason="disabled")
    ]


async def test_records_that_checks_read_need_no_log() -> None:
    kept = Kept(stored=True)
    first, second = [await kept.begin() for _ in range(2)]
    foreign = await kept.begin("grace")
    assert not await kept.devices.end("ada", foreign)
    assert await kept.devices.end("ada", first)
    assert await kept.devices.end_named(foreign)
    assert not await kept.devices.end_named(foreign)
    assert await kept.devices.end_all("ada") == [second]
    assert await kept.appended() == []


async def test_an_end_that_is_not_written_down_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    sids = [await kept.begin() for _ in range(3)]
    failing(monkeypatch, kept.log, "append")
    for ending in (
        kept.devices.end("ada", sids[0]),
        kept.devices.end_named(sids[0]),
        kept.devices.end_others("ada", but=sids[0]),
        kept.devices.end_all("ada"),
    ):
        with pytest.raises(StoreUnavailable):
            await ending
    assert sorted(await kept.sids()) == sorted(sids)
    assert (kept.events, len(kept.ended)) == ([], 0)


async def test_what_ended_before_the_log_failed_has_ended_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    sids = [await kept.begin() for _ in range(3)]
    with monkeypatch.context() as broken:
        failing(broken, kept.log, "append", after=1)
        with pytest.raises(StoreUnavailable):
            await kept.devices.end_others("ada", but=sids[0])
    told = [event.sid for event in kept.events if isinstance(event, SessionEnded)]
    assert len(told) == 1
    assert sorted([*told, *await kept.sids()]) == sorted(sids)
    await kept.devices.end_others("ada", but=sids[0])
    assert await kept.sids() == [sids[0]]


async def test_a_record_that_stays_behind_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    first, second = [await kept.begin() for _ in range(2)]
    failing(monkeypatch, kept.records, "delete")
    assert await kept.devices.end("ada", first)
    assert [type(event) for event in kept.events] == [StoreFailed, SessionEnded]
    assert await kept.sids() == [second]
    assert await kept.devices.end_all("ada") == [second]
    assert await kept.sids() == []
    kept.clock.advance(1)
    later = await kept.begin()
    assert await kept.sids() == [later]


async def test_who_signs_in_while_all_ends_keeps_that_session(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    await kept.begin()
    append, began = kept.log.append, []

    async def meanwhile(revocation: Revocation) -> None:
        await append(revocation)
        kept.clock.advance(1)
        began.append(await kept.begin())

    monkeypatch.setattr(kept.log, "append", meanwhile)
    await kept.devices.end_all("ada")
    assert await kept.sids() == began


async def test_a_session_is_listed_to_its_last_second() -> None:
    kept = Kept()
    await kept.begin()
    kept.clock.advance(999)
    assert len(await kept.sids()) == 1
    kept.clock.advance(1)  # the absolute age, which no grace passes
    assert await kept.sids() == []


async def test_an_unlisted_session_of_somebody_unknown_ends_by_its_name() -> None:
    kept = Kept()
    assert not await kept.devices.end_named("a-name-from-a-log")
    assert kept.ended.is_ended("a-name-from-a-log", "", 0)
    assert kept.events == [SessionEnded(at=kept.clock(), sid="a-name-from-a-log", user_id="", reason="revoked")]
