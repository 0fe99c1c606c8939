"""Their tables are looked for and never changed; what cannot work is said at the start."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from sojourn.errors import ConfigError
from sojourn.models import User
from sojourn.stores.authjs import AuthJSDatabase
from sojourn.stores.authjs_tables import beside_theirs
from tests.stores import authjs_ddl

_COLUMNS = (
    "SELECT table_schema, table_name, column_name, data_type, column_default FROM information_schema.columns "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3"
)


async def connected(url: str) -> None:
    database = AuthJSDatabase(url, max_age=3600)
    try:
        await database.connect()
    finally:
        await database.aclose()


async def test_theirs_stay_as_they_are_and_ours_lie_apart(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL)
    before = await authjs_ddl.rows(empty_url, _COLUMNS)
    await connected(empty_url)
    after = await authjs_ddl.rows(empty_url, _COLUMNS)
    assert [row for row in after if row["table_schema"] != "sojourn"] == before
    assert {"limits", "spent", "revocations"} <= {row["table_name"] for row in after}
    await connected(empty_url)
    assert await authjs_ddl.rows(empty_url, _COLUMNS) == after


async def test_many_may_start_at_once(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL)
    await asyncio.gather(*(connected(empty_url) for _ in range(8)))


async def test_an_older_function_is_replaced(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL)
    await connected(empty_url)
    body = "SELECT prosrc FROM pg_proc WHERE proname = 'authjs_taken'"
    (made,) = await authjs_ddl.rows(empty_url, body)
    await authjs_ddl.run(
        empty_url,
        "CREATE OR REPLACE FUNCTION sojourn.authjs_taken(users regclass, accounts regclass, address text, provider "
        "text, account_id text, but text) RETURNS text LANGUAGE sql AS 'SELECT ''old'''",
    )
    await connected(empty_url)
    assert await authjs_ddl.rows(empty_url, body) == [made]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP TABLE users", "compat_tables: the database has no table users on this user's search path. Make the"),
        ("DROP TABLE sessions", "no table sessions"),
        ("DROP TABLE accounts", "no table accounts"),
        ('ALTER TABLE users DROP COLUMN "emailVerified"', "the table users lacks emailVerified. Bring it"),
        ('ALTER TABLE sessions RENAME "sessionToken" TO session_token', "the table sessions lacks sessionToken"),
        (
            "ALTER TABLE sessions ALTER expires TYPE timestamp",
            "sessions.expires is a timestamp. Make it one of timestamp",
        ),
        ('ALTER TABLE accounts ALTER "userId" TYPE numeric', "accounts.userId is a numeric. Make it one of int2"),
        ("ALTER TABLE users ALTER id DROP DEFAULT", "users.id has no default"),
        ("CREATE SCHEMA sojourn; ALTER TABLE users SET SCHEMA sojourn", "no table users"),
    ],
)
async def test_what_is_missing_is_named(empty_url: str, change: str, message: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL + change)
    with pytest.raises(ConfigError) as caught:
        await connected(empty_url)
    assert message in str(caught.value)


async def test_theirs_cannot_lie_where_ours_do(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, "CREATE SCHEMA sojourn; SET search_path = sojourn;" + authjs_ddl.OFFICIAL)
    with pytest.raises(ConfigError, match="lies in the schema sojourn"):
        await connected(f"{empty_url}?search_path=sojourn")


async def test_theirs_are_found_on_the_applications_search_path(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, 'CREATE SCHEMA "My App"; SET search_path = "My App";' + authjs_ddl.OFFICIAL)
    database = AuthJSDatabase(f'{empty_url}?search_path="My App"'.replace('"', "%22").replace(" ", "%20"), max_age=60)
    await database.connect()
    made = await database.users.create(User(id="x", email="ada@example.com"))
    assert await database.users.get(made.id) == made
    await database.aclose()
    assert len(await authjs_ddl.rows(empty_url, 'SELECT FROM "My App".users')) == 1


async def test_a_user_who_may_make_nothing_can_run_it_once_it_is_made(empty_url: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL)
    name = empty_url.rpartition("/")[2]
    role = f"app_{name}"
    await authjs_ddl.run(empty_url, f"CREATE ROLE {role} LOGIN PASSWORD 'app'")
    address = empty_url.rpartition("@")[2]
    try:
        with pytest.raises(ConfigError, match="may not make Sojourn's tables"):
            await connected(f"postgresql://{role}:app@{address}")
        await connected(empty_url)
        await authjs_ddl.run(
            empty_url,
            f"GRANT USAGE ON SCHEMA sojourn TO {role};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sojourn, public TO {role};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        )
        database = AuthJSDatabase(f"postgresql://{role}:app@{address}", max_age=3600)
        await database.connect()
        made = await database.users.create(User(id="x", email="ada@example.com"))
        assert await database.users.get(made.id) == made
        assert await database.once.spend("key", 2_000_000_000)
        await database.aclose()
    finally:
        await authjs_ddl.run(empty_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("postgresql://a:b@h/n", "postgresql://a:b@h/n?search_path=sojourn"),
        ("postgresql://a:b%3F@h,i/n?search_path=x", "postgresql://a:b%3F@h,i/n?search_path=sojourn"),
        ("postgresql:///n?host=/run/pg&sslmode=", "postgresql:///n?host=%2Frun%2Fpg&sslmode=&search_path=sojourn"),
    ],
)
def test_ours_have_a_url_of_their_own(url: str, ours: str) -> None:
    assert beside_theirs(url) == ours


async def test_asyncpg_reads_that_url(empty_url: str) -> None:
    connection = await asyncpg.connect(beside_theirs(empty_url))
    assert await connection.fetchval("SHOW search_path") == "sojourn"
    await connection.close()
