"""What is asked again through psycopg and what is not: as test_postgres_retries.py has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.postgres_pool import PostgresPool
from sojourn.stores.psycopg_driver import PSYCOPG
from tests.servers.postgres_proxy import Proxy
from tests.stores.test_postgres_retries import *  # noqa: F403
from tests.stores.test_postgres_retries import ADA, NOW


@pytest.fixture
async def database(proxy: Proxy) -> AsyncIterator[PostgresDatabase]:  # type: ignore[no-redef]
    pool = PostgresPool(proxy.url, size=2, driver=PSYCOPG)
    database = PostgresDatabase(proxy.url, clock=lambda: NOW, pool=pool)
    await database.users.create(ADA)
    yield database
    await database.aclose()
