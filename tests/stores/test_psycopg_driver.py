"""What can go wrong with a PostgreSQL behind psycopg: the same promises, kept by another driver."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import pytest
from anyio.lowlevel import checkpoint

from sojourn.errors import ConfigError
from sojourn.models import User
from sojourn.stores import kind_of, open_database
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.postgres_terms import SETTINGS
from sojourn.stores.psycopg_driver import PSYCOPG
from tests.stores.refused_databases import refusal_of
from tests.stores.sqlite_faults import unavailable
from tests.stores.test_postgres_pool import (
    own_backends,
    test_a_lock_that_does_not_go_is_not_waited_for_longer_than_promised_and_nothing_happens_later,
    test_a_long_log_is_read_whole,
    test_a_number_that_fits_no_column_is_refused_before_it_is_sent,
    test_a_schema_changed_underneath_is_survived,
    test_a_text_that_postgresql_cannot_hold_is_nobodys,
    test_an_ending_that_is_rolled_back_leaves_no_gap,
    test_callers_cancelled_at_any_moment_get_nobody_elses_answer,
    test_many_who_spend_and_forget_at_once_do_not_wait_for_each_other_for_ever,
    test_the_servers_own_level_of_isolation_does_not_matter,
    test_two_event_loops_at_once_are_refused,
    test_what_the_server_refuses_is_told_without_values,
    test_who_reads_up_to_a_position_misses_nothing_that_is_committed_later,
    test_whoever_is_cancelled_takes_the_connection_along,
)

# These are collected here too, and find the fixtures of this file.
__all__ = [
    "test_a_lock_that_does_not_go_is_not_waited_for_longer_than_promised_and_nothing_happens_later",
    "test_a_long_log_is_read_whole",
    "test_a_number_that_fits_no_column_is_refused_before_it_is_sent",
    "test_a_schema_changed_underneath_is_survived",
    "test_a_text_that_postgresql_cannot_hold_is_nobodys",
    "test_an_ending_that_is_rolled_back_leaves_no_gap",
    "test_callers_cancelled_at_any_moment_get_nobody_elses_answer",
    "test_many_who_spend_and_forget_at_once_do_not_wait_for_each_other_for_ever",
    "test_the_servers_own_level_of_isolation_does_not_matter",
    "test_two_event_loops_at_once_are_refused",
    "test_what_the_server_refuses_is_told_without_values",
    "test_who_reads_up_to_a_position_misses_nothing_that_is_committed_later",
    "test_whoever_is_cancelled_takes_the_connection_along",
]

ADA = User(id="1", username="ada", name="Ada", email="ada@example.com")


def over_psycopg(url: str, *, size: int = 10) -> PostgresDatabase:
    return PostgresDatabase(url, pool=PostgresPool(url, size=size, driver=PSYCOPG))


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = over_psycopg(url)
    yield database
    await database.aclose()


@pytest.fixture
async def other(url: str) -> AsyncIterator[Any]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def test_a_backend_that_was_ended_is_replaced_unseen(database: PostgresDatabase, other: Any) -> None:
    await database.users.create(ADA)
    before = await own_backends(other)
    for ended in before:
        await other.execute("SELECT pg_terminate_backend($1, 10000)", ended)
    await database.users.create(User(id="2"))
    assert not before & await own_backends(other)


async def test_each_statement_is_prepared_once_whatever_the_size_of_its_numbers(url: str) -> None:
    connection = await PSYCOPG.connect(url, 5, 5, SETTINGS)
    for number in (1, 1 << 20, 1 << 40, -1):
        assert await (await connection.prepare("SELECT $1 + 1", timeout=1)).fetch(number) == [(number + 1,)]
    assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 1
    connection.terminate()


async def test_whoever_waits_too_long_waits_for_no_end_of_the_transaction(url: str) -> None:
    connection = await PSYCOPG.connect(url, 5, 0.1, SETTINGS)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with connection.transaction():
            await connection.execute("SELECT pg_sleep(5)")
    assert time.monotonic() - began < 2
    assert connection.is_closed()


async def test_closing_leaves_no_connection(database: PostgresDatabase, other: Any) -> None:
    await database.users.create(ADA)
    assert await own_backends(other)
    await database.aclose()
    with anyio.fail_after(10):
        while await own_backends(other):
            await checkpoint()


def test_an_event_loop_after_another_gets_connections_of_its_own(url: str) -> None:
    database = over_psycopg(url)

    async def write() -> None:
        await database.users.create(ADA)

    async def read() -> User | None:
        found = await database.users.get("1")
        await database.aclose()
        return found

    asyncio.run(write())
    assert asyncio.run(read()) == ADA


async def refused(url: str) -> ConfigError:
    return await refusal_of(over_psycopg(url))


def another_user(url: str, user: str, password: str = "s3cret") -> str:
    return f"postgresql://{user}:{password}@{url.rpartition('@')[2]}"


async def test_what_can_never_work_is_said_without_the_url(empty_url: str) -> None:
    assert "user or password" in (await refused(another_user(empty_url, "postgres"))).seen
    assert "user or password" in (await refused(another_user(empty_url, "nobody_here"))).seen
    assert "no database" in (await refused(f"{empty_url}_missing")).seen
    for wrong in (
        "//ada:s3cret@127.0.0.1:port/x",
        "//ada:s3cret@127.0.0.1:99999999/x",
        "//[s3cret/x",
        "//ada:s3cret@127.0.0.1:1/x?sslmode=s3cret",
        "//ada:s3cret@127.0.0.1:1/%zz",
    ):
        assert "cannot be read" in (await refused(f"postgresql:{wrong}")).seen, wrong


async def test_a_host_without_a_name_or_a_server_may_have_one_later() -> None:
    for host, told in (("127.0.0.1:1", "refused"), ("nowhere.invalid", "resolve host")):
        database = over_psycopg(f"postgresql://ada:s3cret@{host}/app")
        assert told in await unavailable(database.connect())
        assert "s3cret" not in await unavailable(database.users.get("1"))
        await database.aclose()


async def test_who_may_not_make_tables_or_enter_is_told(empty_url: str, url: str, other: Any) -> None:
    role = f"{empty_url.rpartition('/')[2]}_mere"
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'")
    try:
        assert "may not make" in (await refused(another_user(empty_url, role))).seen
        await other.execute(f"REVOKE CONNECT ON DATABASE {name} FROM public")
        assert "may not make" in (await refused(another_user(url, role))).seen
    finally:
        await other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_parameters_of_the_url_that_are_settings_reach_the_server(empty_url: str) -> None:
    operator: Any = await asyncpg.connect(empty_url)
    await operator.execute("CREATE TABLE users (id int); CREATE SCHEMA auth")
    assert "did not make: users" in (await refused(empty_url)).seen
    stores = open_database(empty_url.replace("postgresql:", "postgres+psycopg:") + "?search_path=auth")
    await stores.start()
    await stores.users.create(ADA)
    assert await operator.fetchval("SELECT id FROM auth.users") == "1"
    assert await operator.fetchval("SELECT count(*) FROM public.users") == 0
    await stores.aclose()
    assert "no schema that exists" in (await refused(f"{empty_url}?search_path=nowhere")).seen
    await operator.close()


async def test_of_several_hosts_the_one_that_takes_writes_is_used(url: str) -> None:
    address, _, name = url.rpartition("/")
    user, _, host = address.rpartition("@")
    database = over_psycopg(f"{user}@127.0.0.1:1,{host}/{name}?target_session_attrs=primary")
    await database.connect()
    await database.users.create(ADA)
    await database.aclose()


async def test_many_who_start_at_once_make_the_tables_together(empty_url: str) -> None:
    databases = [over_psycopg(empty_url), PostgresDatabase(empty_url)] * 4
    await asyncio.gather(*(database.connect() for database in databases))
    operator: Any = await asyncpg.connect(empty_url)
    assert await operator.fetchval("SELECT array_agg(value) FROM sojourn_counters") == [0]
    await operator.close()


async def test_settings_reach_the_server_whatever_stands_in_them(url: str) -> None:
    parameters = "options=-c%20lock_timeout%3D7s&connect_timeout=9&search_path=%22a%5Cb%22%2C%20public&timezone=utc"
    connection = await PSYCOPG.connect(f"{url}?{parameters}", 5, 5, SETTINGS)
    expected = {
        "statement_timeout": "2s",
        "default_transaction_isolation": "read committed",
        "application_name": "sojourn",
        "lock_timeout": "7s",
        "search_path": '"a\\b", public',
        "timezone": "UTC",
    }
    assert {name: await connection.fetchval(f"SHOW {name}") for name in expected} == expected
    connection.terminate()


async def test_a_server_that_says_nothing_is_left_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gc.disable()
        try:
            address = f"postgresql://ada:s3cret@127.0.0.1:{silent.getsockname()[1]}/app?sslmode=disable"
            with pytest.raises(TimeoutError):
                await PSYCOPG.connect(address, 0.05, 5, SETTINGS)
            accepted, _ = silent.accept()
            with accepted:
                accepted.settimeout(5)
                while accepted.recv(1000):
                    pass
        finally:
            gc.enable()


@pytest.mark.parametrize("missing", ["psycopg", "sqlalchemy"])
def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.startswith("sojourn.stores.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"{missing} is not installed.*sojourn\[psycopg\]"):
        open_database("postgresql+psycopg://ada:s3cret@db.example/app")


def test_without_asyncpg_it_works_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sojourn.stores.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    open_database("postgresql+psycopg://ada:s3cret@db.example/app")


def test_its_kind_may_be_told() -> None:
    assert kind_of("postgresql+psycopg://ada:s3cret@db.example/app") == "postgresql"
    assert kind_of("postgres+psycopg://ada:s3cret@db.example/app") == "postgresql"


def test_a_url_without_a_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a host"):
        open_database("postgresql+psycopg:s3cret")


def test_a_driver_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="another driver than asyncpg and psycopg") as caught:
        open_database("postgresql+pg8000://ada:s3cret@db.example/app")
    assert "s3cret" not in str(caught.value)
