"""The process dies at every step of a sign-in and a sign-out: the same sign-in works afterwards (F-32)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sojourn import SessionPolicy
from tests.support import Browser, make_auth

ROOT = Path(__file__).parents[2]


async def run(database: str, strategy: str, step: int, when: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.faults.crash", database, strategy, str(step), when]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.parametrize("strategy", ["jwt", "database"])
async def test_f32_every_crash_leaves_an_account_that_works(tmp_path: Path, strategy: str) -> None:
    code, out = await run(f"sqlite:///{tmp_path / 'whole.db'}", strategy, 0, "before")
    assert code == 0
    steps = int(out.split()[1])
    assert steps >= 8
    # After one step is before the next: what is stored is the same.
    points = [*((step, "before") for step in range(1, steps + 1)), (steps, "after")]

    async def crash(step: int, when: str) -> None:
        database = f"sqlite:///{tmp_path / f'{step}-{when}.db'}"
        assert await run(database, strategy, step, when) == (137, "")
        auth: Any = make_auth(database=database, session=SessionPolicy(strategy=strategy))
        await auth.start()
        browser = Browser(auth)
        await browser.sign_in()
        assert (await browser.session())["user"]["name"] == "Ada"
        loaded = await browser.load()
        user = await auth._stores.users.get_by_email("ada@example.com")
        assert loaded.session.user_id == user.id
        assert len(await auth._stores.users.list_accounts(user.id)) == 1
        await auth.aclose()

    for start in range(0, len(points), 4):
        await asyncio.gather(*(crash(*point) for point in points[start : start + 4]))
