"""Two processes on one database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sojourn.stores import open_database
from sojourn.testing import DrivenClock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def databases(url: str, tmp_path: Path) -> Mapping[str, str]:
    return {"sqlite": f"sqlite:///{tmp_path / 'sojourn.db'}", "postgresql": url}


@pytest.mark.parametrize("strategy", ["jwt", "database"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_f09_a_first_sign_in_at_once_makes_one_user(
    databases: Mapping[str, str], kind: str, strategy: str
) -> None:
    command = [sys.executable, "-m", "tests.faults.first_login", databases[kind], strategy]
    processes = [
        await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    ids = [user_id for out, _ in told for user_id in out.split()]
    assert len(ids) == 10
    assert len(set(ids)) == 1
    stores = open_database(databases[kind], clock=DrivenClock())
    await stores.start()
    found = await stores.users.get_by_email("ada@example.com")
    assert found is not None
    assert [found.id.encode()] == list(set(ids))
    assert len(await stores.users.list_accounts(found.id)) == 1
    assert len(await stores.sessions.list_for_user(found.id)) == 10  # those in tokens are listed there too
    await stores.aclose()
