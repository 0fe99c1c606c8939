"""A primary with a synchronous standby: the primary is gone under load, the standby takes over, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.models import User
from sojourn.stores.postgres import PostgresDatabase
from tests.servers.postgres import OwnPostgres, own_pair
from tests.stores.postgres_load import Load
from tests.stores.sqlite_faults import unavailable

WRITERS = 8


@pytest.fixture
def pair() -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    """For one test: nobody makes the old primary follow the new one."""
    with own_pair() as pair:
        yield pair


def url_of(first: OwnPostgres, second: OwnPostgres) -> str:
    return first.url("postgres").replace(f":{first.port}/", f":{first.port},127.0.0.1:{second.port}/")


async def there(database: PostgresDatabase, user_id: str) -> bool:
    with suppress(StoreUnavailable):
        return await database.users.get(user_id) is not None
    return False


async def test_the_one_that_takes_writes_is_found_wherever_it_stands(pair: tuple[OwnPostgres, OwnPostgres]) -> None:
    primary, standby = pair
    database = PostgresDatabase(url_of(standby, primary))
    await database.connect()
    await database.users.create(User(id="1"))
    await database.aclose()
    # Of one host alone is asked what it can give, which comes there a moment later.
    alone = PostgresDatabase(standby.url("postgres"))
    with anyio.fail_after(5):
        while not await there(alone, "1"):
            await checkpoint()
    assert "read-only" in await unavailable(alone.users.create(User(id="2")))
    await alone.aclose()
    await to_thread.run_sync(primary.kill)
    assert "takes writes" in await unavailable(PostgresDatabase(url_of(primary, standby)).connect())


@pytest.mark.parametrize("ending", ["killed", "hanging"])
async def test_a_standby_takes_over_without_a_loss_or_a_restart(
    pair: tuple[OwnPostgres, OwnPostgres], ending: str
) -> None:
    primary, standby = pair
    database = PostgresDatabase(url_of(primary, standby), clock=lambda: 0, pool_size=WRITERS)
    await database.connect()
    load = Load(database)
    async with anyio.create_task_group() as tasks:
        for writer in range(WRITERS):
            tasks.start_soon(load.write, writer)
        await load.reaches(50)
        if ending == "killed":
            await to_thread.run_sync(primary.kill)
        else:
            primary.freeze()
        await load.is_refused()
        await to_thread.run_sync(standby.promote)
        promoted = time.monotonic()
        await load.reaches(1)
        assert time.monotonic() - promoted < 5
        await load.reaches(50)
        load.stop()
    await load.check(standby.url("postgres"))
    await database.aclose()
    # Whoever starts now asks the old one first, and has time left for the other.
    late = PostgresDatabase(url_of(primary, standby))
    assert await late.users.get("nobody") is None
    await late.aclose()
