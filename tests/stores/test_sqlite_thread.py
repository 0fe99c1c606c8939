"""Jobs that wait together: each whole, each answered, none for longer than it was told."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from sojourn.errors import Conflict, StoreUnavailable
from sojourn.models import Account, User
from sojourn.stores.sql import SQLiteDatabase
from sojourn.stores.sqlite_file import LOOK_EVERY
from sojourn.stores.sqlite_thread import SQLiteThread
from tests.stores.sqlite_faults import locked, pragma, rows, unavailable

ADA = User(id="1", username="ada", email="ada@example.com")
BOB = User(id="2")
ASK_THREAD = "SELECT thread() WHERE :any = ''"
FIND_USER = "SELECT id FROM users WHERE id = :id"
GITHUB = Account(provider="github", provider_account_id="7")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sojourn.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SQLiteDatabase]:
    path.parent.mkdir()
    database = SQLiteDatabase(str(path), busy_timeout=0.05)
    await database.connect()
    yield database
    await database.aclose()


async def test_those_who_queue_behind_the_lock_wait_no_longer_than_the_first(
    database: SQLiteDatabase, path: Path
) -> None:
    with locked(path):
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(unavailable, database.once.spend(f"state-{number}", 1 << 40))
        assert time.monotonic() - began < 40 * 0.05 / 2


def test_the_wait_is_two_seconds_unless_set(path: Path) -> None:
    database = SQLiteDatabase(str(path))
    assert database.writer._busy_timeout == database.reader._busy_timeout == 2.0


async def test_a_full_disk_refuses_writes_and_answers_reads(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    used = await database.writer.run(lambda c: pragma(c, "page_count"))
    await database.writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {used}"))
    large = User(id="2", name="x" * 100_000)
    assert "full" in await unavailable(database.users.create(large, GITHUB))
    assert await database.users.get(ADA.id) == ADA
    assert len(rows(path, "users")) == 1
    assert rows(path, "accounts") == []
    await database.writer.run(lambda c: c.execute("PRAGMA max_page_count = 100000"))
    await database.users.create(large, GITHUB)


@asynccontextmanager
async def held(thread: SQLiteThread) -> AsyncIterator[threading.Event]:
    """The thread is at work until the event, so that whatever is asked meanwhile waits together."""
    began, go_on = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        began.set()
        assert go_on.wait(10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.run, work)
        await to_thread.run_sync(began.wait, 10)
        try:
            yield go_on
        finally:
            go_on.set()


async def together(thread: SQLiteThread, *attempts: Awaitable[object]) -> list[object]:
    """What each of these answers, an error as it is, when all of them were waiting before the first began."""
    async with held(thread):
        asked = asyncio.gather(*attempts, return_exceptions=True)
        await checkpoint()
        await checkpoint()
    return list(await asked)


async def test_changes_that_wait_share_one_commit(database: SQLiteDatabase, path: Path) -> None:
    said: list[str] = []
    await database.writer.run(lambda c: c.set_trace_callback(said.append))
    people = [User(id=str(number)) for number in range(50)]
    assert await together(database.writer, *(database.users.create(person) for person in people)) == people
    assert len(rows(path, "users")) == 50
    assert said.count("COMMIT") == said.count("BEGIN IMMEDIATE") == 1
    said.clear()
    await database.users.create(User(id="alone"))
    assert said.count("COMMIT") == 1


async def test_all_who_waited_are_answered_with_one_call(
    database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    calls: list[object] = []

    def call(callback: Callable[..., object], *arguments: object, **options: Any) -> object:
        calls.append(callback)
        return direct(callback, *arguments, **options)

    direct = loop.call_soon_threadsafe
    async with held(database.reader) as go_on:
        monkeypatch.setattr(loop, "call_soon_threadsafe", call)
        asked = asyncio.gather(*(database.users.get(str(number)) for number in range(100)))
        await checkpoint()
        await checkpoint()
        go_on.set()
        await asked
    assert len(calls) == 2  # one for the job that held the others up


async def test_a_change_that_fails_undoes_itself_only(database: SQLiteDatabase, path: Path) -> None:
    def halfway(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO users (id, created_at) VALUES ('half', 0)")
        raise RuntimeError("no further")

    told = await together(
        database.writer,
        database.users.create(ADA),
        database.users.create(User(id="3", email=ADA.email), GITHUB),
        database.write(halfway),
        database.write(lambda c: c.execute("INSERT INTO users (id) VALUES ('x')")),
        database.users.create(BOB, GITHUB),
    )
    assert told[0] == ADA
    assert isinstance(told[1], Conflict)
    assert told[1].what == "email"
    assert isinstance(told[2], RuntimeError)
    assert isinstance(told[3], StoreUnavailable)
    assert told[4] == BOB
    assert [row[0] for row in rows(path, "users")] == ["1", "2"]
    assert len(rows(path, "accounts")) == 1


async def test_what_sqlite_undoes_for_all_is_done_again_for_each(database: SQLiteDatabase, path: Path) -> None:
    def too_large(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO users (id, created_at) VALUES ('large', 0)")
        connection.execute("ROLLBACK")  # as SQLite may on SQLITE_FULL
        connection.execute(f"PRAGMA max_page_count = {pragma(connection, 'page_count')}")
        connection.execute("INSERT INTO users (id, name, created_at) VALUES ('large', zeroblob(100000), 0)")

    told = await together(
        database.writer, database.users.create(ADA), database.write(too_large), database.users.create(BOB)
    )
    assert told[0] == ADA
    assert isinstance(told[1], StoreUnavailable)
    assert told[2] == BOB
    assert [row[0] for row in rows(path, "users")] == ["1", "2"]


async def test_a_commit_that_fails_is_tried_for_each_alone(database: SQLiteDatabase, path: Path) -> None:
    def orphan(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO sessions VALUES ('s', 'nobody', x'', x'', 0, 0, 0, 0, 1, NULL, NULL, NULL)")

    told = await together(database.writer, database.users.create(ADA), database.write(orphan))
    assert told[0] == ADA
    assert isinstance(told[1], StoreUnavailable)
    assert [row[0] for row in rows(path, "users")] == ["1"]
    assert rows(path, "sessions") == []


async def test_who_came_later_may_wait_longer_for_the_lock(database: SQLiteDatabase, path: Path) -> None:
    async with held(database.writer):
        first = asyncio.ensure_future(unavailable(database.users.create(ADA)))
        await checkpoint()
        database.writer._busy_timeout = 20
        second = asyncio.ensure_future(database.users.create(BOB))
        await checkpoint()
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    assert "locked" in await first
    assert not second.done()
    holder.close()
    assert await second == BOB
    assert [row[0] for row in rows(path, "users")] == ["2"]


async def test_what_is_done_does_not_wait_for_what_has_to_wait(database: SQLiteDatabase, path: Path) -> None:
    database.writer._busy_timeout = 20
    async with held(database.writer):
        first = asyncio.ensure_future(database.writer.run(lambda c: pragma(c, "foreign_keys")))
        await checkpoint()
        second = asyncio.ensure_future(database.users.create(BOB))
        await checkpoint()
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    assert await first == 1
    assert not second.done()
    holder.close()
    assert await second == BOB


async def test_one_row_is_found_on_the_thread_of_the_event_loop_unless_something_is_in_the_way(
    database: SQLiteDatabase,
) -> None:
    here = threading.get_ident()
    await database.reader.run(lambda c: c.create_function("thread", 0, threading.get_ident))
    assert await database.reader.find(ASK_THREAD, "any", "") == (here,)
    async with held(database.reader) as go_on:
        asked = asyncio.ensure_future(database.reader.find(ASK_THREAD, "any", ""))
        await checkpoint()
        go_on.set()
        (there,) = await asked
    assert there != here
    assert await database.reader.find(ASK_THREAD, "any", "") == (here,)
    assert "no such table" in await unavailable(database.reader.find("SELECT 1 FROM nowhere WHERE id = :id", "id", "1"))
    assert await database.reader.find(FIND_USER, "id", "1") is None


async def test_nobody_waits_for_a_lock_on_the_thread_of_the_event_loop(database: SQLiteDatabase, path: Path) -> None:
    with locked(path):
        await unavailable(database.users.create(ADA))
    for thread in (database.writer, database.reader):
        assert await thread.run(lambda c: pragma(c, "busy_timeout")) == 0


async def test_a_row_is_not_found_in_a_file_that_was_replaced(
    database: SQLiteDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.users.create(ADA)
    assert await database.reader.find(FIND_USER, "id", "1") == ("1",)
    for file in path.parent.iterdir():
        file.unlink()
    moment = time.monotonic() + LOOK_EVERY
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    assert "gone" in await unavailable(database.reader.find(FIND_USER, "id", "1"))
    other = SQLiteDatabase(str(path))
    await other.users.create(BOB)
    await other.aclose()
    await database.once.spend("state", 1 << 40)  # whoever writes has looked for everybody
    assert await database.reader.find(FIND_USER, "id", "1") is None
    assert await database.reader.find(FIND_USER, "id", "2") == ("2",)


async def test_event_loops_may_use_it_in_turn_and_at_once(database: SQLiteDatabase, path: Path) -> None:
    def run(first: int) -> None:
        async def use() -> None:
            people = [User(id=str(number)) for number in range(first, first + 50)]
            await asyncio.gather(*(database.users.create(person) for person in people))
            for person in people:
                assert await database.users.get(person.id) == person
                assert await database.reader.find(FIND_USER, "id", person.id)

        asyncio.run(use())

    database.writer._busy_timeout = database.reader._busy_timeout = 20
    async with anyio.create_task_group() as tasks:
        for first in (100, 200, 300):
            tasks.start_soon(to_thread.run_sync, run, first)
    await to_thread.run_sync(run, 400)
    assert len(rows(path, "users")) == 200


async def test_an_event_loop_that_is_gone_is_not_waited_for(database: SQLiteDatabase, path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        began.set()
        assert go_on.wait(10)
        connection.execute("INSERT INTO users (id, created_at) VALUES ('slow', 0)")

    def run() -> None:
        async def use() -> None:
            asked = asyncio.ensure_future(database.write(slow))
            await to_thread.run_sync(began.wait, 10)
            asked.cancel()

        asyncio.run(use())

    await to_thread.run_sync(run)
    go_on.set()
    assert await database.users.create(BOB) == BOB
    assert sorted(str(row[0]) for row in rows(path, "users")) == ["2", "slow"]


async def test_a_cancelled_caller_leaves_a_job_undone_or_whole(database: SQLiteDatabase, path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO users (id, created_at) VALUES ('slow', 0)")
        began.set()
        assert go_on.wait(10)
        connection.execute("INSERT INTO users (id, created_at) VALUES ('slower', 0)")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, slow)
        await to_thread.run_sync(began.wait, 10)
        tasks.start_soon(database.users.create, ADA, GITHUB)
        await checkpoint()
        tasks.cancel_scope.cancel()
    go_on.set()
    await database.users.create(BOB)
    assert sorted(str(row[0]) for row in rows(path, "users")) == ["2", "slow", "slower"]
    assert rows(path, "accounts") == []


async def test_callers_cancelled_at_any_moment_get_nobody_elses_answer(database: SQLiteDatabase) -> None:
    people = [User(id=str(number), username=str(number)) for number in range(20)]
    for person in people:
        await database.users.create(person)
    for round_ in range(30):
        async with anyio.create_task_group() as tasks:
            for person in people:
                tasks.start_soon(database.users.get_by_username, person.id)
            for _ in range(round_ % 5):
                await checkpoint()
            tasks.cancel_scope.cancel()
        person = people[round_ % 20]
        assert await database.users.get_by_username(person.id) == (person, None)


async def test_closing_finishes_what_was_accepted_and_ends_the_threads(database: SQLiteDatabase, path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(database.users.create, User(id=f"user-{number}"))
        await checkpoint()
        await database.aclose()
    assert len(rows(path, "users")) == 20
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("sojourn-sqlite")]
    assert sorted(file.name for file in path.parent.iterdir()) == ["sojourn.db"]
    assert "closed" in await unavailable(database.users.get("user-1"))
    await database.aclose()
    await database.connect()
    assert await database.users.get("user-1") == User(id="user-1")


async def test_closing_behind_jobs_that_wait_comes_after_them(database: SQLiteDatabase) -> None:
    async with held(database.writer):
        asked = asyncio.ensure_future(database.users.create(ADA))
        await checkpoint()
        closing = asyncio.ensure_future(database.writer.aclose())
        await checkpoint()
        assert "closed" in await unavailable(database.users.create(BOB))
    assert await asked == ADA
    await closing


async def test_what_the_driver_makes_up_is_unavailable_too(database: SQLiteDatabase) -> None:
    await unavailable(database.read("SELECT :missing", {}))
    await unavailable(database.read("no SQL", {}))
    await unavailable(database.write(lambda c: c.execute("INSERT INTO users (id) VALUES ('x')")))
    assert await database.users.get("x") is None
