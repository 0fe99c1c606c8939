"""A full disk, a lock, a death, many at once: nothing that was answered is lost, and nobody is half there."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.ports import SessionChange
from sojourn.stores.sql import SQLiteDatabase
from sojourn.stores.statements import SESSION_FIELDS
from sojourn.testing import DrivenClock
from sojourn.testing.sessions import a_record
from tests.stores.sqlite_faults import (
    DIE_HALFWAY,
    FILL,
    FIRST_SIGN_IN,
    WRITE,
    locked,
    read_line,
    rows,
    start,
    unavailable,
)

ADA = User(id="1", username="ada", email="ada@example.com")
BOB = User(id="2")
GITHUB = Account(provider="github", provider_account_id="7")

CHANGE = SessionChange(claims=b"{}", issued_at=1, expires_at=2, forget_after=1 << 40)
# Root has a small disk, everybody else a limit on the size of files.
CAN_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sojourn.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SQLiteDatabase]:
    path.parent.mkdir()
    database = SQLiteDatabase(str(path), clock=DrivenClock(), busy_timeout=0.05)
    await database.connect()
    yield database
    await database.aclose()


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


async def test_while_another_process_holds_the_lock_sessions_are_found_and_not_changed(
    database: SQLiteDatabase, path: Path
) -> None:
    await database.users.create(ADA)
    old, new = a_record(ADA.id, DrivenClock()), a_record(ADA.id, DrivenClock())
    await database.sessions.insert(old)
    with locked(path):
        await unavailable(database.sessions.insert(new))
        await unavailable(database.sessions.replace(old.sid, CHANGE, expected_version=1))
        await unavailable(database.sessions.delete(old.sid))
        await unavailable(database.sessions.delete_for_user(ADA.id))
        await unavailable(database.sessions.purge())
        assert await database.sessions.get(old.sid) == old
        assert await database.sessions.get(new.sid) is None
        assert await database.sessions.get_with_user(old.sid) == (old, ADA)
        assert list(await database.sessions.list_for_user(ADA.id)) == [old]
    await database.sessions.replace(old.sid, CHANGE, expected_version=1)
    assert await database.sessions.delete(old.sid)


@pytest.mark.parametrize("room", ["limited", "small"] if CAN_MOUNT else ["limited"])
def test_a_full_disk_refuses_writes_answers_reads_and_harms_nothing(tmp_path: Path, room: str) -> None:
    # The mount is seen by the process alone and goes with it.
    mount = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"', str(tmp_path))
    with start(FILL, str(tmp_path), room, under=mount if room == "small" else ()) as process:
        output, _ = process.communicate(timeout=60)
    assert json.loads(output) == {
        "kept": True,
        "found": True,
        "listed": True,
        "sound": "ok",
        "deleted": True,
        "sound after": "ok",
        "lost": 0,
    }


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


@pytest.mark.parametrize("lines", [1, 40, 200, 801, 1500])
def test_a_process_that_is_killed_loses_nothing_that_it_was_answered(path: Path, lines: int) -> None:
    path.parent.mkdir()
    with start(WRITE, str(path), *(f"task{number}" for number in range(16))) as process:
        said = [read_line(process) for _ in range(lines)]
        process.kill()
        assert process.stdout is not None
        said += [line.strip() for line in process.stdout]
    last = {sid: (what, int(version)) for what, sid, version in map(str.split, said)}
    stored = {str(row[0]): row for row in rows(path, "sessions")}
    for sid, (what, version) in last.items():
        if what == "ended":
            assert sid not in stored
        elif what == "lives" or sid in stored:
            assert stored[sid][SESSION_FIELDS.index("version")] in {version, version + 1}
    users, accounts = rows(path, "users"), rows(path, "accounts")
    assert {row[0] for row in users} == {row[1] for row in accounts}
    assert {row[1] for row in stored.values()} <= {row[0] for row in users}
    assert len(stored) - len(last) <= 16


async def test_of_200_parallel_checks_and_sign_outs_no_session_comes_back(database: SQLiteDatabase, path: Path) -> None:
    """Two instances as in two processes, one of which only extends."""
    other = SQLiteDatabase(str(path), busy_timeout=20)
    database.writer._busy_timeout = 20
    await database.users.create(ADA)
    records = [a_record(ADA.id, DrivenClock()) for _ in range(200)]
    await asyncio.gather(*(database.sessions.insert(record) for record in records))
    extended = 0

    async def check(sid: str) -> None:
        nonlocal extended
        while (found := await other.sessions.get(sid)) is not None:
            with suppress(Conflict):
                await other.sessions.replace(sid, CHANGE, expected_version=found.version)
                extended += 1
        await checkpoint()
        assert await database.sessions.get(sid) is None

    async def sign_out(sid: str) -> None:
        while extended < 200:
            await checkpoint()
        assert await database.sessions.delete(sid)
        assert await database.sessions.get(sid) is None
        assert await other.sessions.get(sid) is None

    async with anyio.create_task_group() as tasks:
        for record in records:
            tasks.start_soon(check, record.sid)
            tasks.start_soon(sign_out, record.sid)
    await other.aclose()
    assert rows(path, "sessions") == []
