"""The page that the guide on devices shows, in two browsers of one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from sojourn import SessionPolicy
from sojourn.adapters.starlette import mount
from sojourn.providers import Credentials
from tests.docs.blocks import ROOT, blocks
from tests.node.real_parts import serving
from tests.node.site import PASSWORD, check_password, make_auth

pytestmark = pytest.mark.browser

TIME_LIMIT = 15_000  # milliseconds that one step may take
(PAGE,) = blocks(ROOT / "docs" / "guides" / "devices.md", "html")


async def devices(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.text)


@pytest.fixture(params=["jwt", "database"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    def build(url: str) -> Starlette:
        policy = SessionPolicy(strategy=request.param)
        providers = [Credentials(authorize=check_password)]
        app = Starlette(routes=[Route("/devices", devices)])
        mount(app, make_auth(url, providers, database=tmp_path / "app.db", session=policy))
        return app

    with serving(build) as url:
        yield url


async def signed_in(chromium: Browser, site: str, agent: str) -> tuple[BrowserContext, Page]:
    context = await chromium.new_context(user_agent=agent)
    context.set_default_timeout(TIME_LIMIT)
    page = await context.new_page()
    await page.goto(f"{site}/api/auth/signin?callbackUrl=/devices")
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.locator("form", has=page.get_by_label("Password")).get_by_role("button").click()
    await page.wait_for_url(f"{site}/devices")
    return context, page


async def test_people_end_their_sessions_on_the_page_of_the_guide(chromium: Browser, site: str) -> None:
    phone_context, phone = await signed_in(chromium, site, "<b>Phone</b>")
    context, laptop = await signed_in(chromium, site, "Laptop")
    rows = laptop.locator("#sessions li")
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="Laptop")).to_contain_text("(this one)")
    await rows.filter(has_text="<b>Phone</b>").get_by_role("button").click()
    await expect(rows).to_have_count(1)
    await expect(laptop.get_by_role("status")).to_have_text("Done.")
    await phone.reload()
    await phone.wait_for_url(f"{site}/api/auth/signin")
    await laptop.get_by_role("button", name="Sign out everywhere else").click()
    await expect(laptop.get_by_role("status")).to_have_text("Done.")
    await laptop.get_by_role("button", name="Sign out everywhere", exact=True).click()
    await laptop.wait_for_url(f"{site}/api/auth/signin")
    await phone_context.close()
    await context.close()
