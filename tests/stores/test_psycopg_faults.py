"""A PostgreSQL behind psycopg that is killed, paused, restarted or read-only: as test_postgres_faults.py has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from anyio import to_thread

from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.psycopg_driver import PSYCOPG
from tests.servers.postgres import OwnPostgres
from tests.stores.postgres_load import Load
from tests.stores.sqlite_faults import unavailable
from tests.stores.test_postgres_failover import pair, url_of
from tests.stores.test_postgres_faults import (
    WRITERS,
    server,
    test_a_hang_under_load_loses_and_doubles_nothing,
    test_a_server_that_ends_under_load_loses_and_doubles_nothing,
    test_a_server_that_hangs_is_given_up_in_time_and_taken_up_again,
    test_a_server_that_takes_no_writes_answers_reads,
    test_an_idle_connection_that_the_server_closed_is_replaced_unseen,
    test_two_hundred_cancelled_calls_mix_up_no_answers,
    url,
)

# These are collected here too, and find the database of this file.
__all__ = [
    "pair",
    "server",
    "test_a_hang_under_load_loses_and_doubles_nothing",
    "test_a_server_that_ends_under_load_loses_and_doubles_nothing",
    "test_a_server_that_hangs_is_given_up_in_time_and_taken_up_again",
    "test_a_server_that_takes_no_writes_answers_reads",
    "test_an_idle_connection_that_the_server_closed_is_replaced_unseen",
    "test_two_hundred_cancelled_calls_mix_up_no_answers",
    "url",
]


def over_psycopg(url: str) -> PostgresDatabase:
    return PostgresDatabase(url, clock=lambda: 0, pool=PostgresPool(url, size=WRITERS, driver=PSYCOPG))


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = over_psycopg(url)
    await database.connect()
    yield database
    await database.aclose()


async def test_a_standby_takes_over_and_whoever_takes_writes_is_found(
    pair: tuple[OwnPostgres, OwnPostgres],
) -> None:
    primary, standby = pair
    database = over_psycopg(url_of(standby, primary))
    await database.connect()
    load = Load(database)
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(load.write, writer)
        await load.reaches(50)
        await to_thread.run_sync(primary.kill)
        assert "takes writes" in await unavailable(over_psycopg(url_of(primary, standby)).connect())
        await load.is_refused()
        await to_thread.run_sync(standby.promote)
        await load.reaches(50)
        load.stop()
    await load.check(standby.url("postgres"))
    await database.aclose()
