"""Limits through the whole flow: parallel guesses, several processes, and stores that are down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sojourn import RateLimit, StoreUnavailable
from sojourn.events import Event, StoreFailed
from sojourn.providers import Credentials
from sojourn.testing import DrivenClock
from tests.flows.flaky_counters import DOWN, FlakyCounters
from tests.support import Browser, make_auth

LIMIT = RateLimit(sign_in="3/1m")


async def guess(auth: Any, number: int) -> int:
    return (await Browser(auth, client=f"198.51.100.{number}").sign_in("ada", f"guess {number}")).status


@pytest.mark.parametrize("kept", ["memory", "sqlite"])
async def test_forty_parallel_guesses_share_one_count(kept: str, tmp_path: Path) -> None:
    auth = make_auth(database="memory:" if kept == "memory" else f"sqlite:///{tmp_path}/own.db", rate_limit=LIMIT)
    await auth.start()
    statuses: list[int] = []

    async def one(number: int) -> None:
        statuses.append(await guess(auth, number))

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(one, number)
    assert sorted(statuses) == [401] * 3 + [429] * 37
    await auth.aclose()


async def test_two_processes_on_one_file_share_limits_and_a_new_one_goes_on(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/own.db"
    first, second = (make_auth(database=database, rate_limit=LIMIT) for _ in range(2))
    await first.start()
    await second.start()
    statuses = [await guess(auth, number) for number, auth in enumerate([first, second] * 3)]
    assert statuses == [401] * 3 + [429] * 3
    await first.aclose()
    await second.aclose()
    clock = DrivenClock()
    third = make_auth(clock, database=database, rate_limit=LIMIT)
    await third.start()
    assert await guess(third, 9) == 429
    clock.advance(20)
    assert (await Browser(third).sign_in()).status == 200
    assert (await Browser(third).sign_in()).status == 200
    await third.aclose()


async def test_sign_in_goes_on_and_stays_limited_while_counts_cannot_be_kept() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    auth = make_auth(clock, events, rate_limit=LIMIT)
    store = FlakyCounters(clock)
    auth._stores = msgspec.structs.replace(auth._stores, counters=store)
    assert (await Browser(auth).sign_in()).status == 200
    store.down = DOWN
    assert (await Browser(auth).sign_in()).status == 200
    assert [await guess(auth, number) for number in range(60)] == [401] * 3 + [429] * 57
    assert sum(isinstance(event, StoreFailed) for event in events) == 1
    assert not any("ada" in key for _, key in store.asked)


async def test_an_outage_of_the_users_costs_nobody_an_attempt() -> None:
    down = True

    def ask(form: object) -> None:
        if down:
            raise StoreUnavailable("directory", "down")

    auth = make_auth(rate_limit=LIMIT, providers=[Credentials(authorize=ask)])
    assert [await guess(auth, number) for number in range(20)] == [503] * 20
    down = False
    assert [await guess(auth, number) for number in range(4)] == [401] * 3 + [429]
