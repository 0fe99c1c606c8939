"""Expired sessions go by themselves, whatever happens to a single round."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from sojourn import SessionPolicy, StoreUnavailable, User
from sojourn.events import Event, StoreFailed
from sojourn.flows import housekeeping
from sojourn.flows.housekeeping import keep_tidy
from sojourn.identifiers import session_id
from sojourn.ports import SessionRecord
from sojourn.stores import open_database
from sojourn.testing import DrivenClock
from tests.support import make_auth


def record(at: int) -> SessionRecord:
    return SessionRecord(session_id("u1", at), "u1", b"hash", b"{}", at, at, at + 1, at + 2)


class Failing:
    """Fails the first time for an outage, the second for a fault of ours."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.rounds = 0

    async def purge(self, *, limit: int) -> int:
        self.rounds += 1
        if self.rounds == 1:
            raise StoreUnavailable("sessions", "no such disk")
        if self.rounds == 2:
            raise RuntimeError("a fault of ours")
        purged: int = await self._store.purge(limit=limit)
        return purged


async def test_they_go_in_batches_and_a_failure_waits_for_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    clock = DrivenClock()
    stores = open_database(f"sqlite:///{tmp_path / 'sojourn.db'}", clock=clock)
    await stores.start()
    await stores.users.create(User(id="u1"))
    for number in range(5):
        await stores.sessions.insert(record(number))
    living = record(clock())
    await stores.sessions.insert(living)
    events: list[Event] = []
    pauses: list[float] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    failing: Any = Failing(stores.sessions)
    with pytest.raises(asyncio.CancelledError):
        await keep_tidy(failing, clock, emit, pause)
    assert list(await stores.sessions.list_for_user("u1")) == [living]
    assert await stores.sessions.purge() == 0
    await stores.aclose()
    # Twice it failed and waited for the next time; then came two full batches, a short one, and the next time.
    assert [150 <= seconds <= 450 for seconds in pauses] == [True, True, True, False, False, True]
    assert [type(event) for event in events] == [StoreFailed]
    assert [entry.levelno for entry in caplog.records if "stay for now" in entry.message] == [logging.ERROR]


@pytest.mark.parametrize("strategy", ["database", "jwt"])
async def test_it_lasts_as_long_as_the_application(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    begun = asyncio.Event()

    async def tidy(*_: object) -> None:
        told.append("begun")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    monkeypatch.setattr(housekeeping, "keep_tidy", tidy)
    auth = make_auth(database="memory:", session=SessionPolicy(strategy=strategy))
    for _ in range(2):  # an application may be started again
        await auth.start()
        await auth.start()
        if strategy == "database":
            await begun.wait()
        await auth.aclose()
        begun.clear()
    assert told == (["begun", "ended"] * 2 if strategy == "database" else [])
