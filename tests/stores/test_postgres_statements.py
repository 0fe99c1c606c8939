"""Every statement finds its rows by an index, however full the tables are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from sojourn.ports import SessionChange, SessionRecord
from sojourn.stores import postgres_statements
from sojourn.stores.postgres_statements import Statement

STATEMENTS = {name: found for name, found in vars(postgres_statements).items() if isinstance(found, Statement)}

FILL = """
INSERT INTO users (id, username, email, created_at)
    SELECT n, 'name' || n, n || '@example.com', n FROM generate_series(1, 20000) n;
INSERT INTO accounts (provider, provider_account_id, type, user_id, created_at)
    SELECT 'github', n, 'oauth', n, n FROM generate_series(1, 20000) n;
INSERT INTO sessions (sid, user_id, secret_hash, claims, auth_time, issued_at, expires_at, forget_after, version)
    SELECT n, n % 5000 + 1, '', '', n, n, n, n, 1 FROM generate_series(1, 20000) n;
INSERT INTO limits (key, recovered_at) SELECT n, n FROM generate_series(1, 20000) n;
INSERT INTO spent (key, forget_after) SELECT n, n FROM generate_series(1, 20000) n;
INSERT INTO revocations (position, kind, subject, at, forget_after)
    SELECT n, 'session', n, n, n FROM generate_series(1, 20000) n;
"""


@pytest.fixture
async def full(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    await connection.execute(FILL)
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


async def explained(connection: Any, statement: Statement) -> list[dict[str, Any]]:
    """Every node of the plan that fits every parameter."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE looked_at AS {statement.text}")
    nothing = f"({', '.join('NULL' for _ in statement.names)})" if statement.names else ""
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at{nothing}")
    await connection.execute("DEALLOCATE looked_at")
    return list(nodes(json.loads(plan)[0]["Plan"]))


async def scans(connection: Any, statement: Statement) -> list[tuple[str, str]]:
    """How that plan reads each table."""
    found = await explained(connection, statement)
    return [(node["Relation Name"], node["Node Type"]) for node in found if node["Node Type"].endswith("Scan")
            and "Relation Name" in node]  # fmt: skip


def test_every_statement_is_looked_at() -> None:
    assert set(STATEMENTS) == set(postgres_statements.__all__) - {"PAGE", "Statement", "compiled"}


async def test_each_finds_its_rows_by_an_index(full: Any) -> None:
    for name, statement in STATEMENTS.items():
        found = await scans(full, statement)
        # One row, one page: PostgreSQL reads the counters whole because that is shorter than their index.
        assert [scan for scan in found if scan[1] == "Seq Scan" and scan[0] != "sojourn_counters"] == [], name
        assert bool(found) == ("WHERE" in statement.text), name


async def test_even_the_counter_has_an_index(full: Any) -> None:
    await full.execute("SET enable_seqscan = off")
    for name, statement in STATEMENTS.items():
        assert "Seq Scan" not in [kind for _, kind in await scans(full, statement)], name


@pytest.mark.parametrize(
    ("table", "column", "statement"),
    [
        ("revocations", "forget_after", postgres_statements.APPEND),
        ("limits", "recovered_at", postgres_statements.TAKE),
        ("sessions", "forget_after", postgres_statements.PURGE_SESSIONS),
        ("sessions", "user_id", postgres_statements.DELETE_SESSIONS),
    ],
)
async def test_a_table_without_its_index_would_be_noticed(
    full: Any, table: str, column: str, statement: Statement
) -> None:
    await full.execute(f"DROP INDEX ix_{table}_{column}")
    assert (table, "Seq Scan") in await scans(full, statement)


def test_statements_on_the_path_of_a_request_take_their_values_in_the_order_that_the_stores_give() -> None:
    changes = tuple(f"new_{name}" for name in SessionChange.__struct_fields__)
    assert postgres_statements.INSERT_SESSION.names == SessionRecord.__struct_fields__
    assert postgres_statements.REPLACE_SESSION.names == (*changes, "session_id", "expected_version")


def test_nothing_that_counts_or_appends_is_asked_twice() -> None:
    assert {name for name, statement in STATEMENTS.items() if statement.repeatable} == {
        "CONFIRM",
        "GET",
        "GET_BY_ACCOUNT",
        "GET_BY_EMAIL",
        "GET_BY_USERNAME",
        "GET_SESSION",
        "GET_SESSION_WITH_USER",
        "LIST_ACCOUNTS",
        "LIST_SESSIONS",
        "READ",
        "STANDBY",
    }


async def test_whoever_deletes_a_user_ends_their_sessions(full: Any) -> None:
    """By the tables alone, so also for an application that deletes users itself."""
    assert await full.fetchval("SELECT count(*) FROM sessions WHERE user_id = '7'") == 4
    await full.execute("DELETE FROM users WHERE id = '7'")
    assert await full.fetchval("SELECT count(*) FROM sessions WHERE user_id = '7'") == 0
    assert await full.fetchval("SELECT count(*) FROM sessions") == 19996
    await full.execute("SET enable_seqscan = off")
    plan = json.loads(await full.fetchval("EXPLAIN (FORMAT JSON) DELETE FROM sessions WHERE user_id = '8'"))
    assert "ix_sessions_user_id" in json.dumps(plan)
