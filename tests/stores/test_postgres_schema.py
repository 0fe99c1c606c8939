"""The tables are made once, by whoever comes first, beside nobody else's; and what can never work is said by name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.models import Account, User
from sojourn.stores import open_database
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.schema import SCHEMA_VERSION
from tests.stores.refused_databases import refusal_of
from tests.stores.sqlite_faults import FIRST_SIGN_IN, read_line, start, unavailable

ADA = User(id="1", username="ada", email="ada@example.com")
TABLES = ["accounts", "limits", "revocations", "sessions", "sojourn_counters", "sojourn_schema", "spent", "users"]
FIND_TABLES = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT LIKE 'pg%' \
    AND schemaname <> 'information_schema' ORDER BY 1"


@pytest.fixture
async def operator(empty_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


async def tables(operator: Any) -> list[str]:
    return [row[0] for row in await operator.fetch(FIND_TABLES)]


async def refused(url: str) -> ConfigError:
    return await refusal_of(PostgresDatabase(url))


async def test_the_tables_are_made_once(empty_url: str, operator: Any) -> None:
    for _ in range(2):
        database = PostgresDatabase(empty_url)
        await database.connect()
        await database.aclose()
    assert await tables(operator) == [f"public.{name}" for name in TABLES]
    assert await operator.fetchval("SELECT array_agg(version) FROM sojourn_schema") == [SCHEMA_VERSION]


async def test_many_who_start_at_once_make_them_together(empty_url: str, operator: Any) -> None:
    databases = [PostgresDatabase(empty_url) for _ in range(8)]
    await asyncio.gather(*(database.connect() for database in databases))
    for database in databases:
        await database.aclose()
    assert await operator.fetchval("SELECT array_agg(value) FROM sojourn_counters") == [0]


def test_processes_that_start_and_sign_in_at_once_make_one_user(empty_url: str) -> None:
    script = FIRST_SIGN_IN.replace("stores.sql import SQLiteDatabase", "stores.postgres import PostgresDatabase")
    script = script.replace("SQLiteDatabase(sys.argv[1], busy_timeout=20)", "PostgresDatabase(sys.argv[1])")
    assert "SQLite" not in script
    processes = [start(script, empty_url, str(number)) for number in range(3)]
    for process in processes:
        assert read_line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    results = [result for result, _ in answers]
    assert results.count("created") == 1
    assert set(results) <= {"created", "account", "email"}
    assert len({user_id for _, user_id in answers}) == 1

    async def count() -> list[int]:
        connection: Any = await asyncpg.connect(empty_url)
        counts = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in ("users", "accounts")]
        await connection.close()
        return counts

    assert asyncio.run(count()) == [1, 1]


async def test_tables_of_the_same_name_are_never_taken_for_ours(empty_url: str, operator: Any) -> None:
    await operator.execute("CREATE TABLE users (id int); CREATE VIEW spent AS SELECT 1")
    error = await refused(empty_url)
    assert "did not make: spent, users" in error.seen
    assert "search_path" in error.fix
    assert await tables(operator) == ["public.users"]


async def test_a_schema_of_its_own_keeps_them_apart(empty_url: str, operator: Any) -> None:
    await operator.execute("CREATE TABLE users (id int); CREATE SCHEMA auth")
    stores = open_database(f"{empty_url}?search_path=auth")
    await stores.start()
    await stores.users.create(ADA, Account(provider="github", provider_account_id="7"))
    assert await stores.users.get_by_email("ada@example.com") == ADA
    await stores.aclose()
    assert await tables(operator) == [*(f"auth.{name}" for name in TABLES), "public.users"]
    assert await operator.fetchval("SELECT count(*) FROM public.users") == 0
    assert "no schema that exists" in (await refused(f"{empty_url}?search_path=nowhere")).seen


async def test_a_schema_may_have_a_name_that_needs_quotes(empty_url: str, operator: Any) -> None:
    await operator.execute('CREATE SCHEMA "My Auth"')
    stores = open_database(f"{empty_url}?search_path=%22My%20Auth%22")
    await stores.start()
    await stores.aclose()
    assert await tables(operator) == [f"My Auth.{name}" for name in TABLES]


async def test_a_database_of_a_newer_release_is_left_alone(empty_url: str, operator: Any) -> None:
    database = PostgresDatabase(empty_url)
    await database.connect()
    await operator.execute("INSERT INTO sojourn_schema VALUES (99)")
    assert "schema version 99" in (await refused(empty_url)).seen
    await database.aclose()


async def test_who_may_not_make_tables_is_told(empty_url: str, operator: Any) -> None:
    name = await operator.fetchval("SELECT current_database()")
    await operator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'")
    try:
        mere = asyncpg_url(empty_url, name)
        assert "may not make" in (await refused(mere)).seen
        await PostgresDatabase(empty_url).connect()
        await operator.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        database = PostgresDatabase(mere)
        await database.connect()
        await database.users.create(ADA)
        await database.aclose()
    finally:
        await operator.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def asyncpg_url(url: str, user: str, password: str = "s3cret") -> str:
    return f"postgresql://{user}:{password}@{url.rpartition('@')[2]}"


async def test_what_can_never_work_is_said_without_the_url(empty_url: str) -> None:
    assert "user or password" in (await refused(asyncpg_url(empty_url, "postgres"))).seen
    assert "no database" in (await refused(f"{empty_url}_missing")).seen
    for wrong in ("//ada:s3cret@127.0.0.1:port/x", "//ada:s3cret@127.0.0.1:99999999/x", "//[s3cret/x"):
        assert "cannot be read" in (await refused(f"postgresql:{wrong}")).seen, wrong


async def test_a_host_without_a_name_or_a_server_may_have_one_later() -> None:
    for host in ("127.0.0.1:1", "nowhere.invalid"):
        database = PostgresDatabase(f"postgresql://ada:s3cret@{host}/app")
        assert "s3cret" not in await unavailable(database.connect())
        assert "s3cret" not in await unavailable(database.users.get("1"))
        await database.aclose()


async def test_of_several_hosts_the_one_that_takes_writes_is_used(url: str) -> None:
    address, _, name = url.rpartition("/")
    user, _, host = address.rpartition("@")
    database = PostgresDatabase(f"{user}@127.0.0.1:1,{host}/{name}?target_session_attrs=primary")
    await database.connect()
    await database.users.create(ADA)
    await database.aclose()


@pytest.mark.parametrize("missing", ["asyncpg", "sqlalchemy"])
def test_without_a_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.startswith("sojourn.stores.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"{missing} is not installed.*sojourn\[postgres\]"):
        open_database("postgresql://ada:s3cret@db.example/app")


async def test_the_other_spellings_of_the_scheme_open_it_too(url: str) -> None:
    address = url.partition(":")[2]
    for scheme in ("postgres", "postgresql+asyncpg"):
        stores = open_database(f"{scheme}:{address}")
        await stores.start()
        assert await stores.users.get("1") is None
        await stores.aclose()
        with pytest.raises(StoreUnavailable):
            await stores.users.get("1")
