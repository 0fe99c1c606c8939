"""A file that is broken, foreign or replaced: unavailable, whole, and back without a restart."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import Account, User
from sojourn.stores import sqlite_file
from sojourn.stores.sql import SQLiteDatabase
from tests.stores.sqlite_faults import locked, pragma, rows, unavailable

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


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LOOK_EVERY", 0.0)


async def test_a_new_file_is_private_durable_and_keeps_its_references(database: SQLiteDatabase, path: Path) -> None:
    await database.users.create(ADA)
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name
    for thread in (database.writer, database.reader):
        assert await thread.run(lambda c: pragma(c, "journal_mode")) == "wal"
        assert await thread.run(lambda c: pragma(c, "synchronous")) == 2
        assert await thread.run(lambda c: pragma(c, "foreign_keys")) == 1


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
        assert pragma(connection, "user_version") == 42
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
