"""Other processes and broken files for the SQLite tests."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sojourn.errors import StoreUnavailable

# Holds the write lock from the line it prints until the line it reads.
HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""

# Signs the same person in for the first time: makes the file if need be, starts when told, prints who they are.
FIRST_SIGN_IN = """
import asyncio, sys
from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.stores.sql import SQLiteDatabase

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    database = SQLiteDatabase(sys.argv[1], busy_timeout=20)
    await database.connect()
    user = User(id=sys.argv[2], email="ada@example.com")
    try:
        await database.users.create(user, Account(provider="github", provider_account_id="7"))
        print("created", flush=True)
    except Conflict as conflict:
        print(conflict.what, flush=True)
    print((await database.users.get_by_account("github", "7")).id, flush=True)
    await database.aclose()

asyncio.run(main())
"""

# Dies between the row of the user and the row of the account.
DIE_HALFWAY = """
import asyncio, os, sys
from sojourn.models import Account, User
from sojourn.stores import sql

async def main():
    database = sql.SQLiteDatabase(sys.argv[1])
    await database.connect()
    whole = sql.asdict
    sql.asdict = lambda value: whole(value) if isinstance(value, User) else os._exit(137)
    user = User(id="1", email="ada@example.com")
    await database.users.create(user, Account(provider="github", provider_account_id="7"))

asyncio.run(main())
"""

# Fills what room there is, in a folder of its own: stores until refused, sees what is still there, makes room, goes on.
# The room is a limit on the size of files unless the folder is small by itself.
FILL = """
import asyncio, json, resource, sqlite3, sys
from pathlib import Path
from sojourn.errors import StoreUnavailable
from sojourn.models import User
from sojourn.stores.sql import SQLiteDatabase
from sojourn.testing import DrivenClock
from sojourn.testing.sessions import a_record

folder, small = Path(sys.argv[1]), sys.argv[2] == "small"
ballast = folder / "ballast"

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

async def refused(attempt):
    try:
        await attempt
    except StoreUnavailable:
        return True
    return False

async def main():
    clock = DrivenClock()
    if small:
        ballast.write_bytes(bytes(1 << 20))
    database = SQLiteDatabase(str(folder / "sojourn.db"), clock=clock)
    await database.connect()
    await database.users.create(User(id="1"))
    if not small:
        limit(1 << 20)
    kept, full = [], 0
    while full < 3:
        records = [a_record("1", clock) for _ in range(8)]
        answers = await asyncio.gather(*(refused(database.sessions.insert(record)) for record in records))
        kept += [record for record, no in zip(records, answers) if not no]
        full += any(answers)
    found = [await database.sessions.get(record.sid) for record in kept]
    listed = await database.sessions.list_for_user("1")
    with sqlite3.connect(folder / "sojourn.db") as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    ballast.unlink() if small else limit(resource.RLIM_INFINITY)
    more = a_record("1", clock)
    await database.sessions.insert(more)
    deleted = await database.sessions.delete(kept[0].sid)
    await database.aclose()
    with sqlite3.connect(folder / "sojourn.db") as connection:
        sound_after = connection.execute("PRAGMA integrity_check").fetchone()[0]
        (rows,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
    print(json.dumps({
        "kept": len(kept) > 100, "found": found == kept, "listed": len(listed) == len(kept), "sound": sound,
        "deleted": deleted, "sound after": sound_after, "lost": len(kept) - rows,
    }))

asyncio.run(main())
"""

# Writes without end, from many tasks, and says each time before a step what it begins and after it what is done.
WRITE = """
import asyncio, os, sys
from sojourn.models import Account, User
from sojourn.ports import SessionChange
from sojourn.stores.sql import SQLiteDatabase
from sojourn.testing import DrivenClock
from sojourn.testing.sessions import a_record

def say(*words):
    os.write(1, (" ".join(words) + chr(10)).encode())

async def sign_in(database, clock, task):
    for number in range(1_000_000):
        user_id = f"{task}-{number}"
        await database.users.create(User(id=user_id), Account(provider="github", provider_account_id=user_id))
        record = a_record(user_id, clock)
        await database.sessions.insert(record)
        say("lives", record.sid, "1")
        change = SessionChange(claims=b"{}", issued_at=1, expires_at=2, forget_after=1 << 40)
        await database.sessions.replace(record.sid, change, expected_version=1)
        say("lives", record.sid, "2")
        if number % 2:
            say("ends", record.sid, "2")
            await database.sessions.delete(record.sid)
            say("ended", record.sid, "2")

async def main():
    database = SQLiteDatabase(sys.argv[1], busy_timeout=20)
    await database.connect()
    await asyncio.gather(*(sign_in(database, DrivenClock(), task) for task in sys.argv[2:]))

asyncio.run(main())
"""


def start(script: str, *arguments: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A process of its own that runs this script, `under` a command that starts it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [*under, sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds BEGIN IMMEDIATE."""
    with start(HOLD_LOCK, str(path)) as process:
        assert read_line(process) == "locked"
        try:
            yield
        finally:
            process.communicate("\n", timeout=10)


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    """What a sound file holds."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def pragma(connection: sqlite3.Connection, name: str) -> object:
    """What this connection is set to."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def unavailable(attempt: Awaitable[object]) -> str:
    """The reason why the database did not answer; anything but `StoreUnavailable` fails the test."""
    with pytest.raises(StoreUnavailable) as refused:
        await attempt
    assert refused.value.store == "database"
    return refused.value.detail
