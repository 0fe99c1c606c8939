"""What goes wrong with a file, and that it is then unavailable, whole, and back without a restart."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import Account, User
from sojourn.stores.sql import SQLiteDatabase
from tests.stores.sqlite_faults import DIE_HALFWAY, FIRST_SIGN_IN, locked, read_line, rows, start, unavailable

ADA = User(id="1", username="ada", email="ada@example.com")
BOB = User(id="2")
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


async def test_a_new_file_is_private_durable_and_keeps_its_references(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name
    for thread in (database.writer, database.reader):
        assert await thread.run(lambda c: _pragma(c, "journal_mode")) == "wal"
        assert await thread.run(lambda c: _pragma(c, "synchronous")) == 2
        assert await thread.run(lambda c: _pragma(c, "foreign_keys")) == 1


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_while_another_process_holds_the_lock_writes_are_unavailable_and_reads_go_on(
    database: SQLiteDatabase, path: Path
) -> None:
    await database.users.create(ADA, GITHUB)
    with locked(path):
        assert "locked" in await unavailable(database.users.create(BOB, password_hash="x"))
        await unavailable(database.users.record_login("1", 5))
        await unavailable(database.once.spend("state", 1 << 40))
        assert await database.users.get_by_account("github", "7") == ADA
    assert len(rows(path, "users")) == 1
    assert rows(path, "spent") == []
    assert await database.once.spend("state", 1 << 40)
    await database.users.create(BOB, password_hash="x")


async def test_those_who_queue_behind_the_lock_wait_no_longer_than_the_first(
    database: SQLiteDatabase, path: Path
) -> None:
    with locked(path):
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(unavailable, database.once.spend(f"state-{number}", 1 << 40))
        assert time.monotonic() - began < 40 * 0.05 / 2


async def test_a_lock_that_goes_in_time_is_waited_for(database: SQLiteDatabase, path: Path) -> None:
    patient = SQLiteDatabase(str(path), busy_timeout=20)
    await patient.connect()
    async with anyio.create_task_group() as tasks:
        with locked(path):
            tasks.start_soon(patient.users.create, ADA)
            await checkpoint()
            assert await patient.users.get(ADA.id) is None
    assert await patient.users.get(ADA.id) == ADA
    await patient.aclose()


def test_the_wait_is_two_seconds_unless_set(path: Path) -> None:
    database = SQLiteDatabase(str(path))
    assert database.writer._busy_timeout == database.reader._busy_timeout == 2.0


async def test_a_full_disk_refuses_writes_and_answers_reads(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    used = await database.writer.run(lambda c: _pragma(c, "page_count"))
    await database.writer.run(lambda c: c.execute(f"PRAGMA max_page_count = {used}"))
    large = User(id="2", name="x" * 100_000)
    assert "full" in await unavailable(database.users.create(large, GITHUB))
    assert await database.users.get(ADA.id) == ADA
    assert len(rows(path, "users")) == 1
    assert rows(path, "accounts") == []
    await database.writer.run(lambda c: c.execute("PRAGMA max_page_count = 100000"))
    await database.users.create(large, GITHUB)


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
async def test_a_file_that_may_not_be_written_is_unavailable_until_it_may(folder_mode: int) -> None:
    # Root may write anything: be nobody meanwhile, in a folder that nobody can reach.
    folder = Path(tempfile.mkdtemp())
    path = folder / "sojourn.db"
    database = SQLiteDatabase(str(path), busy_timeout=0.05)
    try:
        await database.connect()
        await database.users.create(ADA)
        await database.aclose()
        folder.chmod(folder_mode)
        path.chmod(0o444)
        with _as_nobody():
            with suppress(StoreUnavailable):
                await database.connect()
            await unavailable(database.users.create(BOB))
            await unavailable(database.users.record_login(ADA.id, 5))
        folder.chmod(0o755)
        for file in folder.iterdir():
            file.chmod(0o600)  # -wal and -shm took the mode of the file
        await database.users.create(BOB)
        assert await database.users.get(ADA.id) == ADA
    finally:
        await database.aclose()
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_file_that_is_no_database_is_unavailable_until_it_is_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all " * 1000)
    database = SQLiteDatabase(str(path), busy_timeout=0.05)
    assert "not a database" in await unavailable(database.connect())
    assert "not a database" in await unavailable(database.users.get("1"))
    assert path.read_bytes() == b"no database at all " * 1000
    path.unlink()
    await database.users.create(ADA)
    assert await database.users.get("1") == ADA
    await database.aclose()


async def test_a_damaged_file_is_unavailable_and_its_restored_copy_is_used(
    database: SQLiteDatabase, path: Path
) -> None:
    await database.users.create(ADA, GITHUB)
    copy = path.with_suffix(".copy")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    await database.aclose()
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (size - 100))
    await unavailable(database.connect())
    await unavailable(database.users.get("1"))
    copy.replace(path)
    assert await database.users.get("1") == ADA
    await database.users.create(BOB)


async def test_a_replaced_file_is_noticed_and_nothing_goes_to_the_old_one(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    copy = path.with_suffix(".copy")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    await database.users.create(BOB)
    for file in (path, *path.parent.glob("*-wal"), *path.parent.glob("*-shm")):
        file.unlink()
    copy.replace(path)
    assert await database.users.get(BOB.id) is None
    await database.users.create(User(id="3"))
    assert [row[0] for row in rows(path, "users")] == ["1", "3"]


async def test_a_folder_that_vanishes_is_unavailable_and_not_made_again(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    kept = path.parent.with_name("kept")
    path.parent.rename(kept)
    assert "gone" in await unavailable(database.users.get("1"))
    assert "gone" in await unavailable(database.users.create(BOB))
    path.parent.mkdir()
    assert "gone" in await unavailable(database.users.create(BOB))
    assert list(path.parent.iterdir()) == []
    path.parent.rmdir()
    kept.rename(path.parent)
    assert await database.users.get("1") == ADA
    await database.users.create(BOB)


async def test_a_missing_folder_is_named_at_start(path: Path) -> None:
    database = SQLiteDatabase(str(path))
    with pytest.raises(ConfigError, match="does not exist") as refused:
        await database.connect()
    assert refused.value.key == "database"
    await unavailable(database.users.get("1"))
    await database.aclose()


async def test_a_folder_is_no_file(path: Path) -> None:
    path.mkdir(parents=True)
    database = SQLiteDatabase(str(path))
    with pytest.raises(ConfigError, match="is a folder"):
        await database.connect()
    await unavailable(database.users.get("1"))
    await database.aclose()


async def test_a_file_of_a_newer_release_is_left_alone(database: SQLiteDatabase, path: Path) -> None:
    await database.aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO sojourn_schema VALUES (99)")
        connection.commit()
    with pytest.raises(ConfigError, match="schema version 99"):
        await database.connect()


async def test_an_applications_own_tables_may_share_the_file(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoices (id)")
        connection.execute("PRAGMA user_version = 42")
    database = SQLiteDatabase(str(path))
    await database.connect()
    await database.users.create(ADA)
    await database.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert _pragma(connection, "user_version") == 42
        assert connection.execute("SELECT * FROM invoices").fetchall() == []


async def test_a_new_file_that_another_process_holds_is_unavailable_until_it_lets_go(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoices (id)")
    database = SQLiteDatabase(str(path), busy_timeout=0.05)
    with locked(path):
        assert "locked" in await unavailable(database.connect())
        await unavailable(database.users.get("1"))
    await database.users.create(ADA)
    assert await database.users.get("1") == ADA
    await database.aclose()


async def test_the_switch_to_wal_is_waited_for_although_sqlite_does_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as holder:
        holder.execute("CREATE TABLE invoices (id)")
        holder.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(time, "sleep", lambda pause: holder.rollback())
        database = SQLiteDatabase(str(path), busy_timeout=20)
        await database.connect()
    await database.users.create(ADA)
    await database.aclose()


async def test_tables_of_the_same_name_are_never_taken_for_ours(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id)")
    database = SQLiteDatabase(str(path))
    with pytest.raises(ConfigError, match="tables that Sojourn did not make: users"):
        await database.connect()
    await database.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]


async def test_processes_that_start_and_sign_in_at_once_make_one_file_and_one_user(path: Path) -> None:
    path.parent.mkdir()
    processes = [start(FIRST_SIGN_IN, str(path), str(number)) for number in range(3)]
    for process in processes:
        assert read_line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=30)[0].split() for process in processes]
    assert sorted(result for result, _ in answers) == ["created", "email", "email"]
    assert len({user_id for _, user_id in answers}) == 1
    assert len(rows(path, "users")) == len(rows(path, "accounts")) == 1


async def test_a_process_that_dies_halfway_leaves_no_trace(database: SQLiteDatabase, path: Path) -> None:
    with start(DIE_HALFWAY, str(path)) as process:
        process.communicate(timeout=30)
        assert process.returncode == 137
    assert rows(path, "users") == []
    await database.users.create(ADA, GITHUB)


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
    people = [User(id=str(number), email=f"{number}@example.com") for number in range(20)]
    for person in people:
        await database.users.create(person)
    for round_ in range(30):
        async with anyio.create_task_group() as tasks:
            for person in people:
                tasks.start_soon(database.users.get, person.id)
            for _ in range(round_ % 5):
                await checkpoint()
            tasks.cancel_scope.cancel()
        person = people[round_ % 20]
        assert await database.users.get(person.id) == person


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


async def test_what_the_driver_makes_up_is_unavailable_too(database: SQLiteDatabase) -> None:
    await unavailable(database.read("SELECT :missing", {}))
    await unavailable(database.read("no SQL", {}))
    await unavailable(database.write(lambda c: c.execute("INSERT INTO users (id) VALUES ('x')")))
    assert await database.users.get("x") is None
