"""PostgreSQL for the tests of the stores: one server a run, one database a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sojourn.stores.postgres import PostgresDatabase
from tests.servers.postgres import Postgres, a_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with a_server() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[str]:
    """A database with Sojourn's tables, to be copied."""
    name = postgres.make_database()
    asyncio.run(PostgresDatabase(postgres.url(name)).connect())
    yield name
    postgres.drop_database(name)


@pytest.fixture
def url(postgres: Postgres, template: str) -> Iterator[str]:
    """A database with Sojourn's tables and no rows."""
    name = postgres.make_database(template)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    """A database without any table."""
    name = postgres.make_database()
    yield postgres.url(name)
    postgres.drop_database(name)
