"""A PostgreSQL behind psycopg that is killed, paused, restarted or read-only: as test_postgres_faults.py has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.psycopg_driver import PSYCOPG
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
    "server",
    "test_a_hang_under_load_loses_and_doubles_nothing",
    "test_a_server_that_ends_under_load_loses_and_doubles_nothing",
    "test_a_server_that_hangs_is_given_up_in_time_and_taken_up_again",
    "test_a_server_that_takes_no_writes_answers_reads",
    "test_an_idle_connection_that_the_server_closed_is_replaced_unseen",
    "test_two_hundred_cancelled_calls_mix_up_no_answers",
    "url",
]


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url, pool=PostgresPool(url, size=WRITERS, driver=PSYCOPG))
    await database.connect()
    yield database
    await database.aclose()
