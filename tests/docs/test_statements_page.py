"""The page of statements names every one, who asks it, and the plan that a real PostgreSQL makes for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.docs.statements import ASKED, PLANS, calls_of_postgres, calls_of_sqlite, plans_of
from tests.servers.postgres import a_server


@pytest.fixture
def empty_url() -> Iterator[str]:
    with a_server() as server:
        name = server.make_database()
        yield server.url(name)
        server.drop_database(name)


@pytest.mark.parametrize("calls", [calls_of_sqlite(), calls_of_postgres()], ids=["sqlite", "postgres"])
def test_every_statement_is_asked_by_somebody_whom_the_page_names(calls: dict[str, list[str]]) -> None:
    assert [name for name, found in calls.items() if not found] == []
    assert {call for found in calls.values() for call in found} == ASKED.keys()


def test_the_plans_are_those_that_postgresql_makes(empty_url: str) -> None:
    assert json.loads(PLANS.read_text()) == asyncio.run(plans_of(empty_url)), "run python -m tests.docs.statements"
