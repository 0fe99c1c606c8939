"""Chromium, driven by Playwright, and the real parts it meets."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.node.real_parts import CertifiedProvider, Workshop, certified_provider, make_workshop, required

# No sandbox: tests run as root in containers. Nothing that loosens the web's own rules.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-zygote"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for the session, so that the browser is started once."""
    return "asyncio"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def op(workshop: Workshop) -> Iterator[CertifiedProvider]:
    with certified_provider(workshop) as running:
        yield running


@pytest.fixture(scope="session")
async def chromium(workshop: Workshop) -> AsyncIterator[Browser]:
    executable = Path(required("SOJOURN_CHROMIUM"))
    environment: dict[str, str | float | bool] = {**os.environ}
    # A Chromium that was unpacked from an npm package brings the libraries along that a bare system lacks.
    libraries = executable.parent / "al2023" / "lib"
    if libraries.is_dir():
        environment["LD_LIBRARY_PATH"] = str(libraries)
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", workshop.node)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(executable), args=ARGUMENTS, env=environment)
        yield browser
        await browser.close()
