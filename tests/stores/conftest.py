"""PostgreSQL for the tests of the stores: one server a run, one database a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sojourn.stores.postgres import PostgresDatabase
from tests.servers.postgres import Postgres, a_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with a_server() as server:
        yield server


@pytest.fixture(scope="session")
async def template(postgres: Postgres) -> AsyncIterator[str]:
    """A database with Sojourn's tables, to be copied."""
    name = await postgres.make_database()
    database = PostgresDatabase(postgres.url(name))
    await database.connect()
    await database.aclose()
    yield name
    await postgres.drop_database(name)


@pytest.fixture
async def url(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """A database with Sojourn's tables and no rows."""
    name = await postgres.make_database(template)
    yield postgres.url(name)
    await postgres.drop_database(name)


@pytest.fixture
async def empty_url(postgres: Postgres) -> AsyncIterator[str]:
    """A database without any table."""
    name = await postgres.make_database()
    yield postgres.url(name)
    await postgres.drop_database(name)
