"""Signed out in one process, refused in all: with word of it, after a pause, and from a cold start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.several import rounds, several
from tests.servers.valkey import own_server

ROUNDS = 12
WITHIN = 1.0


@pytest.fixture
def databases(url: str, tmp_path: Path) -> Mapping[str, str]:
    psycopg = url.replace("postgresql://", "postgresql+psycopg://")
    return {"sqlite": f"sqlite:///{tmp_path / 'sojourn.db'}", "postgresql": url, "psycopg": psycopg}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "psycopg"])
async def test_a_copied_cookie_is_refused_in_every_process(databases: Mapping[str, str], kind: str) -> None:
    async with several(4, databases[kind]) as members:
        assert max(await rounds(ROUNDS, members)) < WITHIN


async def test_on_one_valkey_too_and_in_a_process_that_was_stopped_or_started_meanwhile() -> None:
    with own_server() as valkey:
        async with several(4, "-", valkey.url) as members:
            assert max(await rounds(ROUNDS, members)) < WITHIN
            signer, stopped, *_ = members
            _, cookie = await signer.ask("sign_in")
            _, seen = await stopped.ask("sid", cookie)
            assert seen != "nobody"
            stopped.stop()
            assert (await signer.ask("sign_out", cookie))[1] == "200"
            async with several(1, "-", valkey.url) as (newcomer,):
                assert (await newcomer.ask("sid", cookie))[1] == "nobody"
            stopped.go_on()
            assert (await asyncio.wait_for(stopped.ask("refused", cookie), WITHIN))[1] == "session_ended"
