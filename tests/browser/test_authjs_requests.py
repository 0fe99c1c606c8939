"""What the Auth.js 5 client sends and reads, made with `fetch` in Chromium under `compat = "authjs-v5"`.

npm has no final release of that client, so its requests are written out here: the header `X-Auth-Return-Redirect`, no
`json` field, a `?` after every address, and a session that is `null` for nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page
from starlette.applications import Starlette

from sojourn.providers import Credentials
from tests.node.real_parts import CertifiedProvider, serving
from tests.node.site import PASSWORD, check_password, client_of, make_app, make_auth

pytestmark = pytest.mark.browser

TIME_LIMIT = 15_000  # milliseconds that one step may take

POST = """async ([path, fields]) => {
    const { csrfToken } = await (await fetch("/api/auth/csrf")).json();
    const answer = await fetch(`/api/auth/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/x-www-form-urlencoded", "X-Auth-Return-Redirect": "1" },
        body: new URLSearchParams({ ...fields, csrfToken, callbackUrl: location.href }),
    });
    return { status: answer.status, ok: answer.ok, ...(await answer.json()) };
}"""
UPDATE = """async (data) => {
    const { csrfToken } = await (await fetch("/api/auth/csrf")).json();
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ csrfToken, data });
    const answer = await fetch("/api/auth/session", { method: "POST", headers, body });
    return answer.json();
}"""
SESSION = "async () => (await fetch('/api/auth/session', { headers: { 'Content-Type': 'application/json' } })).json()"


@pytest.fixture(scope="module")
def site(op: CertifiedProvider) -> Iterator[str]:
    def build(url: str) -> Starlette:
        return make_app(make_auth(url, [client_of(op, url), Credentials(authorize=check_password)], compat="authjs-v5"))

    with serving(build) as url:
        yield url


@pytest.fixture
async def page(chromium: Browser, site: str) -> AsyncIterator[Page]:
    context = await chromium.new_context()
    context.set_default_timeout(TIME_LIMIT)
    page = await context.new_page()
    await page.goto(f"{site}/page")
    yield page
    await context.close()


async def test_sign_in_update_and_sign_out(page: Page, site: str) -> None:
    assert await page.evaluate(SESSION) is None
    answer = await page.evaluate(POST, ["callback/credentials?", {"username": "ada", "password": PASSWORD}])
    assert answer == {"status": 200, "ok": True, "url": f"{site}/page"}
    assert (await page.evaluate(SESSION))["user"]["name"] == "Ada"
    assert (await page.evaluate(UPDATE, {"name": "Grace"}))["user"]["name"] == "Grace"
    names = {cookie["name"] for cookie in await page.context.cookies()}
    assert {"authjs.session-token", "authjs.csrf-token"} <= names
    assert await page.evaluate("document.cookie") == ""
    assert (await page.evaluate(POST, ["signout", {}]))["url"] == f"{site}/page"
    assert await page.evaluate(SESSION) is None


async def test_a_wrong_password_has_a_type_and_a_code(page: Page, site: str) -> None:
    answer = await page.evaluate(POST, ["callback/credentials?", {"username": "ada", "password": "wrong"}])
    assert answer["url"] == f"{site}/api/auth/signin?error=CredentialsSignin&code=credentials"


async def test_the_client_is_sent_to_the_provider_and_comes_back_signed_in(
    page: Page, site: str, op: CertifiedProvider
) -> None:
    answer = await page.evaluate(POST, ["signin/op?", {}])
    assert answer["url"].startswith(f"{op.issuer}/auth?")
    await page.goto(answer["url"])
    await page.get_by_label("Login").fill("grace")
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url(f"{site}/page")
    assert (await page.evaluate(SESSION))["user"]["name"] == "Grace"
