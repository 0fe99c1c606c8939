"""The built-in pages in Chromium with JavaScript switched off, and under their own Content-Security-Policy with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette

from sojourn.providers import Credentials
from tests.node.real_parts import CertifiedProvider, serving
from tests.node.site import PASSWORD, check_password, client_of, make_app, make_auth

pytestmark = pytest.mark.browser

TIME_LIMIT = 15_000  # milliseconds that one step may take


@pytest.fixture(scope="module", params=["nextauth-v4", "authjs-v5"])
def site(request: pytest.FixtureRequest, op: CertifiedProvider) -> Iterator[str]:
    def build(url: str) -> Starlette:
        return make_app(
            make_auth(url, [client_of(op, url), Credentials(authorize=check_password)], compat=request.param)
        )

    with serving(build) as url:
        yield url


@pytest.fixture(params=[False, True], ids=["without script", "with script"])
async def page(request: pytest.FixtureRequest, chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(java_script_enabled=request.param)
    context.set_default_timeout(TIME_LIMIT)
    page = await context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    yield page
    await context.close()
    assert refused == []


async def signed_in_as(page: Page, site: str) -> Any:
    answer = await page.request.get(f"{site}/me")
    return (await answer.json())["name"] if answer.ok else None


async def test_sign_in_with_a_password_and_out_again(page: Page, site: str) -> None:
    await page.goto(f"{site}/api/auth/signin?callbackUrl=/page")
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.locator("form", has=page.get_by_label("Password")).get_by_role("button").click()
    await page.wait_for_url(f"{site}/page")
    assert await signed_in_as(page, site) == "Ada"

    await page.goto(f"{site}/api/auth/signout")
    await page.locator("form").get_by_role("button").click()
    await page.wait_for_url(f"{site}/page")
    assert await signed_in_as(page, site) is None


async def test_a_wrong_password_comes_back_to_the_page_with_a_reason(page: Page, site: str) -> None:
    await page.goto(f"{site}/api/auth/signin?callbackUrl=/page")
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password").fill("wrong")
    await page.locator("form", has=page.get_by_label("Password")).get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert page.url.startswith(f"{site}/api/auth/signin?error=CredentialsSignin")


async def test_sign_in_through_the_certified_provider(page: Page, site: str) -> None:
    await page.goto(f"{site}/api/auth/signin?callbackUrl=/page")
    await page.get_by_role("button", name="Example").click()
    await page.get_by_label("Login").fill("grace")
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url(f"{site}/page")
    assert await signed_in_as(page, site) == "Grace"
