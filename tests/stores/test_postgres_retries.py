"""What is asked again and what is not: an answer may be lost, a transaction undone, a server on its way out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest
from anyio.lowlevel import checkpoint

from sojourn.errors import Conflict
from sojourn.models import User
from sojourn.ports import Revocation, SessionChange, SessionRecord
from sojourn.stores.postgres import PostgresDatabase
from tests.servers.postgres_proxy import Proxy
from tests.stores.sqlite_faults import unavailable

NOW = 1_000_000
ADA = User(id="1", name="Ada")
RECORD = SessionRecord("sid", "1", b"h" * 32, b"{}", NOW, NOW, NOW + 60, NOW + 60)
OTHERS = SessionRecord("sid", "1", b"x" * 32, b"{}", NOW, NOW, NOW + 60, NOW + 60)
CHANGE = SessionChange(claims=b'{"a":1}', issued_at=NOW + 1, expires_at=NOW + 90, forget_after=NOW + 90)
ENDING = Revocation(kind="session", subject="sid", at=NOW, forget_after=1 << 40)

OWN_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sojourn' AND datname = current_database()"

FAIL = """
CREATE SEQUENCE tries;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'as told' USING ERRCODE = '{sqlstate}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON limits FOR EACH ROW EXECUTE FUNCTION fail();
"""


@pytest.fixture
async def operator(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with Proxy(url).running() as proxy:
        yield proxy


@pytest.fixture
async def database(proxy: Proxy) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(proxy.url, clock=lambda: NOW, pool_size=2)
    await database.users.create(ADA)
    yield database
    await database.aclose()


async def stored(operator: Any, columns: str = "*", table: str = "sessions") -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await operator.fetch(f"SELECT {columns} FROM {table}")]


async def backends(operator: Any) -> set[int]:
    await operator.execute("SELECT pg_stat_clear_snapshot()")
    return {row[0] for row in await operator.fetch(OWN_BACKENDS)}


async def test_a_read_whose_answer_is_lost_is_asked_again(database: PostgresDatabase, proxy: Proxy) -> None:
    await database.sessions.insert(RECORD)
    await database.sessions.get("sid")
    before = proxy.connected
    proxy.lose(RECORD.secret_hash)
    assert await database.sessions.get("sid") == RECORD
    assert proxy.connected == before + 1
    proxy.lose(RECORD.secret_hash)
    assert await database.sessions.get_with_user("sid") == (RECORD, ADA)


async def test_a_sign_in_whose_answer_is_lost_is_one_sign_in(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    proxy.lose(b"INSERT 0 1")
    await database.sessions.insert(RECORD)
    assert await stored(operator, "sid, version") == [("sid", 1)]
    with pytest.raises(Conflict, match="session"):
        await database.sessions.insert(RECORD)


async def test_somebody_elses_session_stays_theirs_though_the_answer_is_lost(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    await database.sessions.insert(OTHERS)
    proxy.lose(b"sessions_pkey")
    with pytest.raises(Conflict, match="session"):
        await database.sessions.insert(RECORD)
    assert await stored(operator, "secret_hash") == [(OTHERS.secret_hash,)]


async def test_an_extension_whose_answer_is_lost_is_one_extension(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    await database.sessions.insert(RECORD)
    proxy.lose(b"UPDATE 1")
    await database.sessions.replace("sid", CHANGE, expected_version=1)
    assert await stored(operator, "version, expires_at") == [(2, NOW + 90)]


async def test_an_extension_that_came_too_late_stays_too_late_though_the_answer_is_lost(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    await database.sessions.insert(RECORD)
    await database.sessions.replace("sid", CHANGE, expected_version=1)
    proxy.lose(b"UPDATE 0")
    with pytest.raises(Conflict, match="session"):
        await database.sessions.replace("sid", CHANGE, expected_version=0)
    proxy.lose(b"UPDATE 0")
    with pytest.raises(Conflict, match="session"):
        await database.sessions.replace("gone", CHANGE, expected_version=1)
    assert await stored(operator, "version") == [(2,)]


async def test_a_sign_out_whose_answer_is_lost_is_a_sign_out(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    await database.sessions.insert(RECORD)
    proxy.lose(b"DELETE 1")
    assert await database.sessions.delete("sid") is True
    assert await stored(operator) == []
    assert await database.sessions.delete("sid") is False


async def test_what_counts_or_tells_is_not_repeated(database: PostgresDatabase, proxy: Proxy, operator: Any) -> None:
    assert await database.counters.take("key", count=60, period=60) is None
    proxy.lose(b"SELECT 1")
    await unavailable(database.counters.take("key", count=60, period=60))
    assert await stored(operator, "recovered_at", "limits") == [((NOW + 2) * 1_000_000,)]
    await database.revocations.read()
    proxy.lose(b"INSERT 0 1")
    await unavailable(database.revocations.append(ENDING))
    assert await stored(operator, "position", "revocations") == [(1,)]
    await database.sessions.insert(RECORD)
    proxy.lose(b"DELETE 1")
    await unavailable(database.sessions.delete_for_user("1"))
    assert await stored(operator) == []


async def test_half_an_answer_is_none_and_its_connection_is_nobodys(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    await database.sessions.insert(RECORD)
    await database.sessions.get("sid")
    asked, before = proxy.count(RECORD.secret_hash), await backends(operator)
    proxy.stall(RECORD.secret_hash)
    began = time.monotonic()
    assert "in time" in await unavailable(database.sessions.get("sid"))
    assert time.monotonic() - began < 3
    # A time-out is not repeated: the server is busy enough.
    assert proxy.count(RECORD.secret_hash) == asked + 1
    assert await database.sessions.get_with_user("sid") == (RECORD, ADA)
    with anyio.fail_after(5):
        while before & await backends(operator):
            await checkpoint()


@pytest.mark.parametrize(
    ("sqlstate", "repeats", "moves"),
    [("40001", 3, False), ("40P01", 3, False), ("25006", 1, True), ("57P01", 1, True), ("57P03", 1, True)],
)
async def test_what_was_undone_is_tried_again_and_not_for_ever(
    database: PostgresDatabase, proxy: Proxy, operator: Any, sqlstate: str, repeats: int, moves: bool
) -> None:
    await operator.execute(FAIL.format(times=2 * repeats + 1, sqlstate=sqlstate))
    assert await unavailable(database.counters.take("key", count=60, period=60)) == "as told"
    assert await operator.fetchval("SELECT last_value FROM tries") == repeats + 1
    await database.users.get("1")
    before = proxy.connected
    assert await database.counters.take("key", count=60, period=60) is None
    assert await stored(operator, "recovered_at", "limits") == [((NOW + 1) * 1_000_000,)]
    assert proxy.connected - before == (1 if moves else 0)


@pytest.mark.parametrize("sqlstate", ["57014", "53100", "XX000"])
async def test_what_would_end_the_same_is_not_tried_again(
    database: PostgresDatabase, operator: Any, sqlstate: str
) -> None:
    await operator.execute(FAIL.format(times=1, sqlstate=sqlstate))
    assert await unavailable(database.counters.take("key", count=60, period=60)) == "as told"
    assert await stored(operator, "recovered_at", "limits") == []


async def test_two_who_wait_for_each_other_both_get_through(
    database: PostgresDatabase, proxy: Proxy, operator: Any
) -> None:
    name = await operator.fetchval("SELECT current_database()")
    await operator.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '50ms'")
    proxy.hang_up()
    for sid in ("a", "b"):
        await database.sessions.insert(SessionRecord(sid, "1", b"", b"{}", NOW, NOW, NOW + 60, NOW + 60))
    await operator.execute("SET enable_seqscan = off")
    async with anyio.create_task_group() as tasks:
        transaction = operator.transaction()
        await transaction.start()
        await operator.execute("UPDATE sessions SET version = 2 WHERE sid = 'b'")
        tasks.start_soon(database.sessions.delete_for_user, "1")
        watcher = await asyncpg.connect(proxy.url)
        with anyio.fail_after(5):
            while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await checkpoint()
        await watcher.close()
        await operator.execute("UPDATE sessions SET version = 2 WHERE sid = 'a'")
        await transaction.commit()
    assert await stored(operator) == []


async def test_two_hundred_callers_after_an_outage_dial_no_more_than_the_pool_holds(
    database: PostgresDatabase, proxy: Proxy
) -> None:
    await asyncio.gather(*(database.users.get("1") for _ in range(20)))
    proxy.hang_up()
    before = proxy.connected
    assert await asyncio.gather(*(database.users.get("1") for _ in range(200))) == [ADA] * 200
    assert proxy.connected - before <= 2
