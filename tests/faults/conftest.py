"""Servers of the fault tests: the store's, with a network in front that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.servers.proxy import ChaosProxy, chaos
from tests.stores.conftest import postgres, template, url

__all__ = ["postgres", "template", "url"]


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[ChaosProxy]:
    """In front of PostgreSQL."""
    parts = urlsplit(url)
    async with chaos(parts.hostname or "", parts.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def behind(url: str, proxy: ChaosProxy) -> str:
    """The database's URL by way of the proxy."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"))
