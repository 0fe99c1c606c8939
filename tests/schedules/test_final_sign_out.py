"""B2, F-44, SES-22: in no order of requests does anything bring a session back that was signed out.

`python -m tests.schedules.count` plays many more orders than these.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sojourn.errors import Conflict
from sojourn.models import Session
from sojourn.ports import Revocation, RevocationLog, SessionChange, SessionStore
from sojourn.stores import Stores
from sojourn.stores.memory_sessions import MemorySessionStore
from sojourn.strategies import Arrival, Issued, JWTStrategy
from sojourn.strategies.database import DatabaseStrategy
from sojourn.testing import Violation, explore, replay
from tests.schedules.races import ACTS, AGES, PAIRS, PLACES, TRIPLES, Ground, Place, race_of
from tests.support import MyClaims

# Of each pair at most so many depth first, and so many drawn; of each triple so many drawn.
EFFORT = {"memory": (25, 5, 2), "sqlite": (6, 3, 1), "postgresql": (0, 4, 1), "none": (0, 4, 1)}
TOKENS, STORED = PLACES[:2]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refusal of thousands of trials would be kept until the test ends."""
    monkeypatch.setattr(logging.getLogger("sojourn"), "disabled", True)


@pytest.fixture
def place() -> Place:
    return STORED


@pytest.fixture
def urls(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Mapping[str, str]:
    """The servers of this place, started when first asked for."""
    found = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'sojourn.db'}"}
    if place.database == "postgresql":
        found["postgresql"] = request.getfixturevalue("url")
    if place.redis is not None:
        found["redis"] = request.getfixturevalue("valkey")
    return found


@pytest.fixture
async def ground(place: Place, urls: Mapping[str, str]) -> AsyncIterator[Ground]:
    ground = Ground(place, urls)
    yield ground
    await ground.aclose()


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_sign_out_wins_over_whatever_it_meets(ground: Ground, place: Place, age: str) -> None:
    depth, drawn, triples = EFFORT[place.database]
    schedules = 0
    for names in PAIRS:
        explored = await explore(race_of(ground, names, age), schedules=depth, samples=drawn)
        schedules += explored.schedules
    for names in TRIPLES:
        schedules += (await explore(race_of(ground, names, age), schedules=0, samples=triples)).schedules
    assert schedules > (depth + drawn) * len(PAIRS) // 2


@pytest.mark.parametrize("name", ["refresh", "GET /session", "second sign-out"])
async def test_every_order_of_tokens_and_one_other_request(name: str) -> None:
    ground = Ground(TOKENS, {"memory": "memory:"})
    explored = await explore(race_of(ground, (name,), "due"), samples=0)
    assert explored.exhaustive
    assert explored.schedules > 60


@pytest.mark.parametrize("name", ACTS)
async def test_every_order_with_two_interruptions(name: str) -> None:
    ground = Ground(STORED, {"memory": "memory:"})
    explored = await explore(race_of(ground, (name,), "due"), switches=2, samples=0)
    assert explored.exhaustive
    assert explored.schedules > 30


# What must be seen: stores and strategies that are wrong in one thing.


class Upserting(MemorySessionStore):
    """Writes a change whatever is there: the record that it read comes back."""

    read: dict[str, Any]

    async def get(self, sid: str) -> Any:
        record = await super().get(sid)
        if record is not None:
            self.__dict__.setdefault("read", {})[sid] = record
        return record

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        try:
            await super().replace(sid, change, expected_version=expected_version)
        except Conflict:
            record = self.read[sid]
            await super().insert(msgspec.structs.replace(record, **msgspec.structs.asdict(change)))


class Late(MemorySessionStore):
    """Says that a record is gone, and lets it go when the next thing is asked."""

    async def delete(self, sid: str) -> bool:
        due, self.__dict__["due"] = self.__dict__.get("due"), sid
        if due is not None:
            await super().delete(due)
        return True


class Lossy:
    """A log that has an entry only when the next one comes."""

    def __init__(self, log: RevocationLog) -> None:
        self._log = log
        self._held: Revocation | None = None

    async def append(self, revocation: Revocation) -> None:
        held, self._held = self._held, revocation
        if held is not None:
            await self._log.append(held)

    async def read(self, after: int = 0) -> Any:
        return await self._log.read(after)

    async def wait(self, after: int, seconds: float) -> None:
        await self._log.wait(after, seconds)


def kept_in(store: Callable[..., SessionStore]) -> Callable[[Stores], Stores]:
    return lambda stores: msgspec.structs.replace(stores, sessions=store(users=stores.users))


def logged_in(log: Callable[[RevocationLog], RevocationLog]) -> Callable[[Stores], Stores]:
    return lambda stores: msgspec.structs.replace(stores, revocations=log(stores.revocations))


async def caught(ground: Ground, name: str, reason: str) -> Violation:
    """The violation that every play of its schedule shows again."""
    make = race_of(ground, (name,), "due")
    with pytest.raises(Violation, match=reason) as found:
        await explore(make, switches=2, samples=0)
    with pytest.raises(Violation, match=reason) as again:
        await replay(make, found.value.schedule)
    assert again.value.schedule == found.value.schedule
    return found.value


@pytest.mark.parametrize("name", ["refresh", "refresh in another process", "GET /session", "update"])
async def test_an_upsert_is_caught(name: str) -> None:
    ground = Ground(STORED, {"memory": "memory:"}, kept_in(Upserting))
    found = await caught(ground, name, "revived: a cookie of the session that was signed out")
    deleted = found.schedule.index("sign out: sessions.delete")
    assert f"{name}: sessions.replace" in found.schedule[deleted:]
    assert f"{name}: sessions.replace\n" in str(found)


async def test_a_delete_that_comes_late_is_caught() -> None:
    ground = Ground(STORED, {"memory": "memory:"}, kept_in(Late))
    await caught(ground, "refresh", "revived|began after the sign-out shows the session")


async def test_a_log_that_is_behind_is_caught_by_the_process_that_starts_later() -> None:
    ground = Ground(TOKENS, {"memory": "memory:"}, logged_in(Lossy))
    await caught(ground, "refresh", "opens it in a process that started later")


async def test_a_strategy_that_gives_the_refreshed_token_another_name_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token that was refreshed meanwhile is no longer that of the session that ended."""
    refresh = JWTStrategy.refresh

    def renaming(self: JWTStrategy[MyClaims], session: Session[MyClaims], token: str, **named: Any) -> Issued[MyClaims]:
        return refresh(self, msgspec.structs.replace(session, sid="f" * 32), token, **named)

    monkeypatch.setattr(JWTStrategy, "refresh", renaming)
    found = await caught(Ground(TOKENS, {"memory": "memory:"}), "refresh", "revived")
    assert "refresh: claims callback" in found.schedule


async def test_a_strategy_that_starts_anew_instead_of_extending_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def starting(
        self: DatabaseStrategy[MyClaims], session: Session[MyClaims], token: str, **named: Any
    ) -> Issued[MyClaims]:
        return await self.start(session.claims, Arrival())

    monkeypatch.setattr(DatabaseStrategy, "extend", starting)
    await caught(Ground(STORED, {"memory": "memory:"}), "refresh", "revived")
