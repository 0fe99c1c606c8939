from __future__ import annotations

import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sojourn import Auth, Callbacks, ClaimsChange, SessionPolicy, demo
from sojourn.demo.app import DemoSettings, demo_app
from sojourn.demo.claims import DemoClaims, fill_claims
from sojourn.models import User

ORIGIN = "http://127.0.0.1:8000"
COOKIE = "next-auth.session-token"
ADA = DemoClaims(sub="1", username="ada", name="Ada", email="ada@example.com", is_sponsor=True)


class DrivenTime:
    now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> DrivenTime:
    return DrivenTime()


@pytest.fixture
def auth(clock: DrivenTime) -> Auth[DemoClaims]:
    ages = SessionPolicy(max_age="60s", update_age="20s", grace_period="30s", absolute_age="10m", leeway="0s")
    return Auth(
        secret="demo-demo-demo-demo-demo-demo-demo",
        base_url=ORIGIN,
        claims=DemoClaims,
        callbacks=Callbacks(claims=fill_claims),
        session=ages,
        clock=clock,
    )


@pytest.fixture
async def browser(auth: Auth[DemoClaims], clock: DrivenTime) -> AsyncIterator[httpx2.AsyncClient]:
    async def beside(_: object) -> PlainTextResponse:
        return PlainTextResponse("beside")

    app = demo_app(auth, DemoSettings(more_routes=[Route("/beside", beside)], clock=clock))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
        yield client


async def test_the_page_and_all_that_it_loads_are_served(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="(/demo/[^"]+)"', page.text)
    modules = [path for path in loaded if path.endswith(".js")]
    for module in modules:
        loaded += [f"/demo/{name}" for name in re.findall(r'from "\./([^"]+)"', (await browser.get(module)).text)]
    assert len(loaded) == 5
    for path in loaded:
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(("text/javascript", "text/css"))


async def test_the_page_carries_nothing_inline(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert re.search(r"<script(?![^>]* src=)|\son[a-z]+=", page.text) is None


async def test_every_element_that_the_modules_name_is_on_the_page() -> None:
    static = files(demo).joinpath("static")
    page = static.joinpath("index.html").read_text()
    ids = set(re.findall(r'id="([^"]+)"', page))
    named = set()
    for module in ("demo.js", "timeline.js"):
        named |= set(re.findall(r'byId\("([^"]+)"\)', static.joinpath(module).read_text()))
    assert len(named) > 20
    assert named <= ids


async def test_settings_name_the_demo_user_and_the_durations(browser: httpx2.AsyncClient) -> None:
    answer = (await browser.get("/demo/settings")).json()
    assert answer == {
        "basePath": "/api/auth",
        "demoUser": {"username": "ada", "password": "stay-a-while"},
        "providers": [],
        "policy": {"maxAge": 60, "updateAge": 20, "gracePeriod": 30, "absoluteAge": 600},
    }


async def test_claims_are_shown_under_their_names_on_the_wire(
    browser: httpx2.AsyncClient, auth: Auth[DemoClaims], clock: DrivenTime
) -> None:
    answer = await browser.get("/demo/claims", headers={"Cookie": f"{COOKIE}={auth.issue(ADA)}"})
    assert answer.headers["cache-control"] == "private, no-store"
    document = answer.json()
    assert document["now"] == clock.now
    assert document["policy"]["gracePeriod"] == 30
    claims = document["claims"]
    assert claims["isSponsor"] is True
    assert (claims["iat"], claims["exp"], claims["auth_time"]) == (clock.now, clock.now + 60, clock.now)
    assert claims["sid"]
    assert claims["jti"]


async def test_looking_never_extends(browser: httpx2.AsyncClient, auth: Auth[DemoClaims], clock: DrivenTime) -> None:
    headers = {"Cookie": f"{COOKIE}={auth.issue(ADA)}"}
    clock.now += 59
    answer = await browser.get("/demo/claims", headers=headers)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    clock.now += 11
    answer = await browser.get("/demo/claims", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("cookie", "code"), [("", "session_missing"), (f"{COOKIE}=x", "session_invalid")])
async def test_without_a_session_there_are_no_claims(browser: httpx2.AsyncClient, cookie: str, code: str) -> None:
    answer = await browser.get("/demo/claims", headers={"Cookie": cookie})
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_more_is_served_beside_and_sojourn_is_mounted(browser: httpx2.AsyncClient) -> None:
    assert (await browser.get("/beside")).text == "beside"
    assert (await browser.get("/api/auth/session")).json() == {}


@pytest.mark.parametrize(
    ("change", "sponsor"),
    [
        (ClaimsChange(trigger="sign_in", user=User(id="1", username="ada")), True),
        (ClaimsChange(trigger="sign_up", user=User(id="2"), raw={"sponsor": True}), True),
        (ClaimsChange(trigger="sign_in", user=User(id="2"), raw={"sponsor": "true"}), False),
        (ClaimsChange(trigger="sign_in"), False),
    ],
)
def test_sponsors_are_known_at_sign_in(change: ClaimsChange, sponsor: bool) -> None:
    assert fill_claims(ADA.replace(is_sponsor=False), change).is_sponsor is sponsor


def test_an_update_changes_the_display_name() -> None:
    changed = fill_claims(
        ADA, ClaimsChange(trigger="update", data={"name": " Lady Ada ", "isSponsor": False, "sub": "2"})
    )
    assert changed == ADA.replace(name="Lady Ada")


@pytest.mark.parametrize(
    "data", [None, "Ada", {}, {"name": ""}, {"name": "  "}, {"name": 1}, {"name": "x" * 61}, {"name": "a\nb"}]
)
def test_an_update_takes_nothing_else(data: Any) -> None:
    assert fill_claims(ADA, ClaimsChange(trigger="update", data=data)) == ADA


def test_a_refresh_keeps_what_the_session_says() -> None:
    assert fill_claims(ADA, ClaimsChange(trigger="refresh", user=User(id="1"))) == ADA
