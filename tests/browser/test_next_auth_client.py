"""The real `next-auth/react` of npm `next-auth` 4 in Chromium, on a page of an application that mounts Sojourn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette

from sojourn.providers import Credentials
from tests.node.real_parts import CertifiedProvider, Workshop, serving
from tests.node.site import PASSWORD, check_password, client_of, make_app, make_auth

pytestmark = pytest.mark.browser

TIME_LIMIT = 15_000  # milliseconds that one step may take


@pytest.fixture(scope="module")
def site(workshop: Workshop, op: CertifiedProvider) -> Iterator[str]:
    script = workshop.bundle("page.jsx")

    def build(url: str) -> Starlette:
        return make_app(make_auth(url, [client_of(op, url), Credentials(authorize=check_password)]), script)

    with serving(build) as url:
        yield url


@pytest.fixture
async def page(chromium: Browser, site: str) -> AsyncIterator[Page]:
    """A page of a new browser profile; whatever goes wrong in it fails the test."""
    context = await chromium.new_context()
    context.set_default_timeout(TIME_LIMIT)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "next-auth" in message.text else None)
    await page.goto(f"{site}/page")
    await expect(page.locator("#status")).to_have_text("unauthenticated")
    yield page
    await context.close()
    assert wrong == []


async def sign_in(page: Page, password: str) -> Any:
    """Sign in with the form; what `signIn` answered."""
    await page.get_by_label("Username").fill("ada")
    await page.get_by_label("Password").fill(password)
    await page.locator("#sign-in").click()
    return await result(page)


async def result(page: Page) -> Any:
    shown = page.locator("#result")
    await expect(shown).not_to_be_empty()
    return json.loads(await shown.inner_text())


async def session(page: Page) -> Any:
    return json.loads(await page.locator("#session").inner_text())


async def test_a_password_signs_in_and_the_session_is_shown(page: Page, site: str) -> None:
    answer = await sign_in(page, PASSWORD)
    assert answer == {"error": None, "status": 200, "ok": True, "url": f"{site}/page"}
    await expect(page.locator("#status")).to_have_text("authenticated")
    assert (await session(page))["user"] == {"name": "Ada", "email": "ada@app.example", "image": None}
    await page.reload()
    await expect(page.locator("#name")).to_have_text("Ada")


async def test_a_wrong_password_is_an_error_that_the_client_understands(page: Page) -> None:
    assert await sign_in(page, "wrong") == {"error": "CredentialsSignin", "status": 401, "ok": False, "url": None}
    await expect(page.locator("#status")).to_have_text("unauthenticated")


async def test_a_csrf_failure_is_an_error_that_the_client_understands(page: Page) -> None:
    await page.route("**/api/auth/csrf", lambda route: route.fulfill(json={"csrfToken": "0" * 64}))
    assert await sign_in(page, PASSWORD) == {"error": "MissingCSRF", "status": 403, "ok": False, "url": None}
    await expect(page.locator("#status")).to_have_text("unauthenticated")


async def test_the_session_is_updated_and_stays_updated(page: Page) -> None:
    await sign_in(page, PASSWORD)
    await expect(page.locator("#status")).to_have_text("authenticated")
    await page.locator("#update").click()
    await expect(page.locator("#name")).to_have_text("Grace")
    await page.reload()
    await expect(page.locator("#name")).to_have_text("Grace")


async def test_signing_out_ends_the_session_in_every_tab(page: Page, site: str) -> None:
    await sign_in(page, PASSWORD)
    await expect(page.locator("#status")).to_have_text("authenticated")
    other = await page.context.new_page()
    await other.goto(f"{site}/page")
    await expect(other.locator("#status")).to_have_text("authenticated")
    await page.locator("#sign-out").click()
    await expect(page.locator("#status")).to_have_text("unauthenticated")
    await expect(other.locator("#status")).to_have_text("unauthenticated")
    assert (await page.request.get(f"{site}/me")).status == 401


async def test_sign_out_leads_where_the_application_says(page: Page, site: str) -> None:
    await sign_in(page, PASSWORD)
    await page.locator("#sign-out-away").click()
    await page.wait_for_url(f"{site}/page?left=1")
    await expect(page.locator("#status")).to_have_text("unauthenticated")


async def test_the_certified_provider_signs_in(page: Page, site: str) -> None:
    await page.locator("#sign-in-op").click()
    await page.get_by_label("Login").fill("grace")
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url(f"{site}/page?back=1")
    await expect(page.locator("#status")).to_have_text("authenticated")
    assert (await session(page))["user"] == {"name": "Grace", "email": "grace@op.example", "image": None}


async def test_the_client_sees_the_providers(page: Page, site: str) -> None:
    await page.locator("#providers").click()
    providers = await result(page)
    assert list(providers) == ["op", "credentials"]
    assert providers["op"]["signinUrl"] == f"{site}/api/auth/signin/op"


async def test_no_script_reads_our_cookies(page: Page) -> None:
    await sign_in(page, PASSWORD)
    await expect(page.locator("#status")).to_have_text("authenticated")
    assert await page.evaluate("document.cookie") == ""
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    assert "next-auth.session-token" in cookies
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies.values())
