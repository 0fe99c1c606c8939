"""`sojourn db upgrade`: rows stay, two at once do not collide, and what cannot be is refused by name."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import Account, User
from sojourn.stores import migrations, open_database
from sojourn.stores.upgrade import upgrade_tables
from tests.servers.postgres import Postgres
from tests.stores.databases import Database, PostgresDatabase, SQLiteFile, an_empty_database

ADA = User(id="1", username="ada", email="ada@example.com", created_at=7)
GITHUB = Account(provider="github", provider_account_id="7", type="oauth", user_id="1", created_at=8)
ROWS = """
INSERT INTO users (id, username, email, created_at, password_hash) VALUES ('1', 'ada', 'ada@example.com', 7, 'hash');
INSERT INTO accounts (provider, provider_account_id, type, user_id, created_at) VALUES ('github', '7', 'oauth', '1', 8);
INSERT INTO spent ("key", forget_after) VALUES ('once', 9000000000);
INSERT INTO revocations (position, kind, subject, at, forget_after) VALUES (5, 'user', '1', 6, 9000000000);
"""
UPGRADE = """
import asyncio, sys
from sojourn.stores.migrations import running
from sojourn.stores.upgrade import upgrade_tables
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(upgrade_tables(sys.argv[1])))
"""


@pytest.fixture(params=["sqlite", "asyncpg", "psycopg"])
def database(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[Database]:
    """Empty, of each engine and driver."""
    with an_empty_database(request.param, postgres, tmp_path) as database:
        yield database


@pytest.fixture
def older(database: Database) -> Database:
    """With the tables of version 1, and rows in each."""
    database.execute(database.version_1 + ROWS)
    return database


async def refused(database: Database) -> ConfigError:
    """Why this database cannot be upgraded; no secret and no address is part of it."""
    with pytest.raises(ConfigError) as caught:
        await upgrade_tables(database.url)
    assert caught.value.key == "database"
    assert "://" not in str(caught.value)
    return caught.value


async def test_an_empty_database_gets_its_tables_without_alembic(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_alembic(monkeypatch)
    assert await upgrade_tables(database.url) is None
    assert database.rows("SELECT version FROM sojourn_schema") == [(2,)]
    before = database.layout()
    assert await upgrade_tables(database.url) is None
    assert database.layout() == before


async def test_a_start_refuses_older_tables_and_names_the_command(older: Database) -> None:
    before = older.layout()
    stores = open_database(older.url)
    with pytest.raises(ConfigError, match="version 1, this version of Sojourn needs 2") as caught:
        await stores.start()
    assert caught.value.fix == "Run `sojourn db upgrade`."
    with pytest.raises((StoreUnavailable, ConfigError), match="schema version 1"):
        await stores.users.get("1")
    await stores.aclose()
    assert older.layout() == before


async def test_rows_are_kept_and_a_second_time_changes_nothing(older: Database) -> None:
    assert await upgrade_tables(older.url) == 1
    after = older.layout()
    assert await upgrade_tables(older.url) is None
    assert older.layout() == after
    assert "alembic_version" not in [name for (name,) in older.rows(ALL_TABLES[older.dialect])]
    stores = open_database(older.url)
    await stores.start()
    assert await stores.users.get_by_username("ada") == (ADA, "hash")
    assert await stores.users.list_accounts("1") == [GITHUB]
    assert await stores.once.spend("once", 9_000_000_000) is False
    assert [entry.subject for entry in (await stores.revocations.read())[1]] == ["1"]
    assert await stores.sessions.list_for_user("1") == []
    await stores.aclose()


ALL_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables",
}


def test_of_many_at_once_one_upgrades_and_the_others_wait(older: Database) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", UPGRADE, older.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert {out for out, _ in answers} <= {"1\n", "None\n"}
    assert older.rows("SELECT version FROM sojourn_schema") == [(2,)]


async def test_many_in_one_process_do_not_mix_up_their_databases(
    older: Database, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with an_empty_database("sqlite", postgres, tmp_path / "other") as other:
        other.execute(other.version_1 + ROWS)
        found = await asyncio.gather(*(upgrade_tables(url) for url in (older.url, other.url) for _ in range(3)))
        assert set(found) <= {1, None}
        for database in (older, other):
            assert database.rows("SELECT version FROM sojourn_schema") == [(2,)]
            assert database.rows("SELECT id FROM users") == [("1",)]


async def test_a_newer_release_is_refused_by_name(older: Database) -> None:
    older.execute("UPDATE sojourn_schema SET version = 99")
    before = older.layout()
    error = await refused(older)
    assert "schema version 99" in error.seen
    assert "newer" in error.fix
    assert older.layout() == before


async def test_without_alembic_the_extra_is_named(older: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_alembic(monkeypatch)
    error = await refused(older)
    assert (error.seen, error.fix) == ("alembic is not installed", "Install sojourn[migrations].")
    assert older.rows("SELECT version FROM sojourn_schema") == [(1,)]


def forget_alembic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sojourn.stores.migrations.running", raising=False)
    monkeypatch.delattr(migrations, "running", raising=False)
    for name in [name for name in sys.modules if name.startswith("alembic.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "alembic", None)


async def test_what_stands_in_the_way_leaves_everything_as_it_was(older: Database) -> None:
    older.execute("CREATE TABLE limits (mine INTEGER)")
    before = older.layout()
    with pytest.raises(StoreUnavailable, match=r"limits.*already exists") as caught:
        await upgrade_tables(older.url)
    assert caught.value.__cause__ is None
    assert older.layout() == before
    assert older.rows("SELECT version FROM sojourn_schema") == [(1,)]


def test_who_may_not_change_tables_is_told_who_may(postgres: Postgres, tmp_path: Path) -> None:
    for driver in ("asyncpg", "psycopg"):
        with an_empty_database(driver, postgres, tmp_path) as database:
            assert isinstance(database, PostgresDatabase)
            name = f"mere_{driver}"
            database.execute(database.version_1)
            database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'")
            try:
                database.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}")
                mere = PostgresDatabase(f"postgresql://{name}:s3cret@{database.url.rpartition('@')[2]}", driver)
                error = asyncio.run(refused(mere))
                assert "may not make" in error.seen
                assert "owner" in error.fix
            finally:
                database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_schema_of_its_own_is_upgraded_there(postgres: Postgres, tmp_path: Path) -> None:
    for driver in ("asyncpg", "psycopg"):
        name = await asyncio.to_thread(postgres.make_database)
        database = PostgresDatabase(postgres.url(name), driver)
        database.execute("CREATE SCHEMA auth; SET search_path = auth;" + database.version_1)
        database.execute("CREATE TABLE public.sessions (mine INTEGER)")
        before = database.layout()
        assert await upgrade_tables(f"{database.url}?search_path=auth") == 1
        assert database.layout() == before
        assert database.rows("SELECT version FROM auth.sojourn_schema") == [(2,)]
        await asyncio.to_thread(postgres.drop_database, name)


async def test_a_lock_that_is_held_is_waited_for(older: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from sojourn.stores.migrations import running

    monkeypatch.setattr(running, "_WAIT", 0.05)
    monkeypatch.setattr(running, "_SETTINGS", {**running._SETTINGS, "lock_timeout": "50"})
    if isinstance(older, SQLiteFile):
        with closing(sqlite3.connect(older.path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await upgrade_tables(older.url)
    else:
        address = older.alchemy_url.replace("+psycopg", "")
        with psycopg.connect(address) as held:
            held.execute("LOCK TABLE users")
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                await upgrade_tables(older.url)
    assert older.rows("SELECT version FROM sojourn_schema") == [(1,)]
    assert await upgrade_tables(older.url) == 1
