"""The browser itself: what the other tests rest on."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

pytestmark = pytest.mark.browser


async def test_the_browser_runs_scripts(chromium: Browser) -> None:
    page = await chromium.new_page()
    await page.set_content("<output></output><script>document.querySelector('output').textContent = 6 * 7</script>")
    assert await page.text_content("output") == "42"
    await page.close()
