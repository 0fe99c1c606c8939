"""What every store of sessions and of counts promises, as test classes; used like those of `sojourn.testing.stores`.

`SessionStoreContract` needs `sessions`, `clock`, the `DrivenClock` that the store was made with, `rows` (table
`sessions`, columns as `ports.SessionRecord`), and `add_user`, which makes the user whom records may belong to; it does
nothing where sessions are kept apart from users. `CounterStoreContract` needs `counters` and `clock`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from sojourn.identifiers import session_id
from sojourn.ports import CounterStore, SessionChange, SessionRecord, SessionStore
from sojourn.testing.clock import DrivenClock
from sojourn.testing.stores import Rows, conflict_of

__all__ = ["AddUser", "CounterStoreContract", "SessionStoreContract", "a_record"]

AddUser = Callable[[str], Awaitable[None]]

ADA = "018bcfe5-6800-7000-8000-000000000001"
BOB = "018bcfe5-6800-7000-8000-000000000002"


def a_record(user_id: str, clock: DrivenClock, *, age: int = 0, lives: int = 3600) -> SessionRecord:
    """A record that began `age` seconds ago and may be forgotten `lives` seconds from now."""
    now = clock()
    sid = session_id(user_id, now - age)
    return SessionRecord(
        sid,
        user_id,
        hashlib.sha256(sid.encode()).digest(),
        b'{"sub":"%s","name":"Ada \xc3\xa9\xf0\x9f\x98\x80","exp":1}' % user_id.encode(),
        now - age,
        now,
        now + lives - 60,
        now + lives,
        provider="github",
        client="2001:db8::1",
        user_agent="A browser \u2603",
    )


def _later(record: SessionRecord, seconds: int = 60) -> SessionChange:
    return SessionChange(
        claims=record.claims + b" ",
        issued_at=record.issued_at + seconds,
        expires_at=record.expires_at + seconds,
        forget_after=record.forget_after + seconds,
    )


class SessionStoreContract:
    """Sessions that nobody can bring back."""

    async def test_nothing_is_found_in_an_empty_store(self, sessions: SessionStore, clock: DrivenClock) -> None:
        record = a_record(ADA, clock)
        assert await sessions.get(record.sid) is None
        assert await sessions.get_with_user(record.sid) is None
        assert list(await sessions.list_for_user(ADA)) == []
        assert list(await sessions.delete_for_user(ADA)) == []
        assert await sessions.delete(record.sid) is False
        assert await sessions.purge() == 0
        assert await conflict_of(sessions.replace(record.sid, _later(record), expected_version=1)) == "session"
        assert await sessions.get(record.sid) is None

    async def test_a_record_is_found_as_it_was_put(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser, rows: Rows
    ) -> None:
        await add_user(ADA)
        bare = msgspec.structs.replace(a_record(ADA, clock), provider=None, client=None, user_agent=None)
        for record in (a_record(ADA, clock), bare):
            await sessions.insert(record)
            assert await sessions.get(record.sid) == record
            found = await sessions.get_with_user(record.sid)
            assert found is not None
            assert found[0] == record
            assert found[1] is None or found[1].id == ADA
        stored = {row["sid"]: dict(row) for row in await rows("sessions")}
        assert stored[bare.sid] == msgspec.structs.asdict(bare)

    async def test_an_id_is_given_once(self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        await sessions.insert(record)
        other = msgspec.structs.replace(record, secret_hash=b"x" * 32)
        assert await conflict_of(sessions.insert(other)) == "session"
        assert await sessions.get(record.sid) == record

    async def test_of_parallel_inserts_one_wins(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser, rows: Rows
    ) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        told = await asyncio.gather(*(conflict_of(sessions.insert(record)) for _ in range(20)))
        assert sorted(told, key=str) == [None, *["session"] * 19]
        assert len(await rows("sessions")) == 1

    async def test_a_change_needs_the_version_it_read(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        await sessions.insert(record)
        change = _later(record)
        await sessions.replace(record.sid, change, expected_version=1)
        changed = msgspec.structs.replace(record, **msgspec.structs.asdict(change), version=2)
        assert await sessions.get(record.sid) == changed
        for stale in (0, 1, 3):
            assert (
                await conflict_of(sessions.replace(record.sid, _later(record, 9), expected_version=stale)) == "session"
            )
        assert await sessions.get(record.sid) == changed

    async def test_of_parallel_changes_one_wins(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        await sessions.insert(record)
        tries = (sessions.replace(record.sid, _later(record, second), expected_version=1) for second in range(20))
        told = await asyncio.gather(*(conflict_of(attempt) for attempt in tries))
        assert told.count(None) == 1
        found = await sessions.get(record.sid)
        assert found is not None
        assert found.version == 2
        assert found.issued_at == record.issued_at + told.index(None)

    async def test_nothing_brings_a_deleted_record_back(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser, rows: Rows
    ) -> None:
        await add_user(ADA)
        for _ in range(20):
            record = a_record(ADA, clock)
            await sessions.insert(record)
            deleted, *_others = await asyncio.gather(
                sessions.delete(record.sid),
                *(conflict_of(sessions.replace(record.sid, _later(record), expected_version=1)) for _ in range(5)),
                sessions.get(record.sid),
                *(conflict_of(sessions.replace(record.sid, _later(record), expected_version=2)) for _ in range(5)),
            )
            assert deleted is True
            assert await sessions.get(record.sid) is None
            assert await conflict_of(sessions.replace(record.sid, _later(record), expected_version=1)) == "session"
        assert await rows("sessions") == []
        assert list(await sessions.list_for_user(ADA)) == []

    async def test_of_parallel_deletions_one_finds_the_record(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        await sessions.insert(record)
        told = await asyncio.gather(*(sessions.delete(record.sid) for _ in range(10)))
        assert sorted(told) == [False] * 9 + [True]

    async def test_a_users_records_are_listed_newest_first(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        await add_user(BOB)
        ages = (50, 10, 30)
        records = {age: a_record(ADA, clock, age=age) for age in ages}
        for record in (*records.values(), a_record(BOB, clock)):
            await sessions.insert(record)
        assert list(await sessions.list_for_user(ADA)) == [records[age] for age in sorted(ages)]
        await sessions.replace(records[50].sid, _later(records[50]), expected_version=1)
        assert [record.version for record in await sessions.list_for_user(ADA)] == [1, 1, 2]

    async def test_all_of_a_users_records_can_go_at_once(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        await add_user(BOB)
        own = [a_record(ADA, clock, age=age) for age in range(4)]
        other = a_record(BOB, clock)
        for record in (*own, other):
            await sessions.insert(record)
        kept, *gone = own
        assert set(await sessions.delete_for_user(ADA, but=kept.sid)) == {record.sid for record in gone}
        assert list(await sessions.list_for_user(ADA)) == [kept]
        assert list(await sessions.delete_for_user(ADA, but=other.sid)) == [kept.sid]
        assert list(await sessions.list_for_user(ADA)) == []
        assert await sessions.get(other.sid) == other

    async def test_a_record_past_its_end_is_kept_until_it_may_be_forgotten(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser
    ) -> None:
        await add_user(ADA)
        record = a_record(ADA, clock)
        await sessions.insert(record)
        clock.advance(3600)  # past expires_at, which only policy judges
        assert await sessions.get(record.sid) == record
        assert list(await sessions.list_for_user(ADA)) == [record]
        assert await sessions.purge() == 0

    async def test_what_nobody_needs_goes_in_batches(
        self, sessions: SessionStore, clock: DrivenClock, add_user: AddUser, rows: Rows
    ) -> None:
        """Where records go by themselves, `purge` has nothing to do."""
        await add_user(ADA)
        await add_user(BOB)
        old: Sequence[SessionRecord] = [a_record(ADA, clock, lives=100) for _ in range(7)]
        young = a_record(BOB, clock)
        for record in (*old, young):
            await sessions.insert(record)
        clock.advance(101)
        assert list(await sessions.list_for_user(ADA)) == []
        purged = [await sessions.purge(limit=3) for _ in range(4)]
        assert purged in ([3, 3, 1, 0], [0, 0, 0, 0])
        if any(purged):
            assert [row["sid"] for row in await rows("sessions")] == [young.sid]
        assert await sessions.get(young.sid) == young

    async def test_hostile_names_find_nothing(self, sessions: SessionStore) -> None:
        for name in ("", "\0", "\ud800", "a" * 5000, "' OR 1=1 --", "{x}", "*", "018bcfe5:é", "\r\n"):
            assert await sessions.get(name) is None
            assert await sessions.get_with_user(name) is None
            assert await sessions.delete(name) is False
            assert list(await sessions.list_for_user(name)) == []
            assert list(await sessions.delete_for_user(name)) == []


class CounterStoreContract:
    """At most so many in so long, whoever asks at the same moment."""

    async def test_a_burst_ends_at_the_count(self, counters: CounterStore) -> None:
        assert [await counters.take("a", count=3, period=60) for _ in range(5)] == [None, None, None, 20, 20]
        assert await counters.take("b", count=3, period=60) is None

    async def test_a_denied_attempt_costs_nothing(self, counters: CounterStore, clock: DrivenClock) -> None:
        for _ in range(10):
            await counters.take("a", count=3, period=60)
        clock.advance(19)
        assert await counters.take("a", count=3, period=60) == 1
        clock.advance(1)
        assert await counters.take("a", count=3, period=60) is None
        assert await counters.take("a", count=3, period=60) == 20

    async def test_all_of_it_comes_back_in_one_period(self, counters: CounterStore, clock: DrivenClock) -> None:
        for _ in range(3):
            await counters.take("a", count=3, period=60)
        clock.advance(60)
        assert [await counters.take("a", count=3, period=60) for _ in range(4)] == [None, None, None, 20]

    async def test_rates_that_do_not_divide_are_exact(self, counters: CounterStore, clock: DrivenClock) -> None:
        assert [await counters.take("a", count=7, period=10) for _ in range(8)] == [*[None] * 7, 2]
        clock.advance(2)
        assert [await counters.take("a", count=7, period=10) for _ in range(2)] == [None, 1]

    async def test_parallel_attempts_share_one_count(self, counters: CounterStore) -> None:
        told = await asyncio.gather(*(counters.take("a", count=5, period=60) for _ in range(40)))
        assert told.count(None) == 5

    async def test_an_attempt_can_be_taken_back(self, counters: CounterStore) -> None:
        for _ in range(3):
            await counters.take("a", count=3, period=60)
        await counters.give_back("a", count=3, period=60)
        assert [await counters.take("a", count=3, period=60) for _ in range(2)] == [None, 20]
        await counters.give_back("unknown", count=3, period=60)
        assert [await counters.take("unknown", count=3, period=60) for _ in range(4)] == [None, None, None, 20]

    async def test_a_key_can_start_afresh(self, counters: CounterStore) -> None:
        for _ in range(3):
            await counters.take("a", count=3, period=60)
        await counters.clear("a")
        await counters.clear("unknown")
        assert [await counters.take("a", count=3, period=60) for _ in range(4)] == [None, None, None, 20]

    async def test_a_clock_set_back_shuts_nobody_out_for_long(self, counters: CounterStore, clock: DrivenClock) -> None:
        clock.advance(7200)
        for _ in range(3):
            await counters.take("a", count=3, period=60)
        clock.advance(-3600)
        assert [await counters.take("a", count=3, period=60) for _ in range(4)] == [None, None, None, 20]
