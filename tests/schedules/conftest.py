"""The servers of the places where sign-out is raced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.valkey import a_server
from tests.stores.conftest import postgres, template, url

__all__ = ["postgres", "template", "url", "valkey"]


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """One server for all tests: no two make the same session."""
    with a_server() as url:
        yield url
