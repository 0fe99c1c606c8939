"""Tables of `@auth/pg-adapter` in two layouts, each reached by another driver."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sojourn.stores.authjs import AuthJSDatabase
from sojourn.stores.postgres_connection import ASYNCPG
from sojourn.stores.psycopg_driver import PSYCOPG
from sojourn.testing import DrivenClock
from tests.stores import authjs_ddl

__all__ = ["KEPT", "MAX_AGE", "clock", "database", "layout", "their_url"]

MAX_AGE = 3600
KEPT = 100


@pytest.fixture(params=["serial", "uuid"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def their_url(layout: str, empty_url: str) -> str:
    await authjs_ddl.run(empty_url, authjs_ddl.LAYOUTS[layout])
    return empty_url


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def database(layout: str, their_url: str, clock: DrivenClock) -> AsyncIterator[AuthJSDatabase]:
    driver = PSYCOPG if layout == "uuid" else ASYNCPG
    database = AuthJSDatabase(their_url, max_age=MAX_AGE, kept=KEPT, clock=clock, driver=driver)
    await database.connect()
    yield database
    await database.aclose()
