"""What is asked again through psycopg and what is not: as test_postgres_retries.py has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sojourn.models import User
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.psycopg_driver import PSYCOPG
from tests.servers.postgres_proxy import Proxy
from tests.stores.test_postgres_retries import *  # noqa: F403
from tests.stores.test_postgres_retries import ADA, NOW


@pytest.fixture  # type: ignore[no-redef]
async def database(proxy: Proxy) -> AsyncIterator[PostgresDatabase]:
    pool = PostgresPool(proxy.url, size=2, driver=PSYCOPG)
    database = PostgresDatabase(proxy.url, clock=lambda: NOW, pool=pool)
    await database.users.create(ADA)
    yield database
    await database.aclose()


async def test_a_connection_that_ended_without_a_word_is_not_asked(database: PostgresDatabase, proxy: Proxy) -> None:
    """This write would not be asked twice, so it has to be known beforehand."""
    proxy.hang_up()
    await asyncio.sleep(0)
    await database.users.create(User(id="2"))
