"""Other processes and broken files for the SQLite tests."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Iterator
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


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs this script."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
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


async def unavailable(attempt: Awaitable[object]) -> str:
    """The reason why the database did not answer; anything but `StoreUnavailable` fails the test."""
    with pytest.raises(StoreUnavailable) as refused:
        await attempt
    assert refused.value.store == "database"
    return refused.value.detail
