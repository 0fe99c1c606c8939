"""The seven errors that everybody meets one day, each provoked for real: code, words, and an event with the step."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn import SessionPolicy
from sojourn.events import Event, SessionMissing, SessionRefused, SignInFailed, StoreFailed
from sojourn.http import Request, Response
from sojourn.refusals import COMMON_ERRORS, explain, public
from sojourn.testing import DrivenClock
from tests.hostile_provider import Answer, json_answer, reset
from tests.refusals.sites import begin, finish, running_site
from tests.support import ORIGIN, SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of


def assert_problem(response: Response, status: int, code: str) -> None:
    """A problem document in the words that everybody may read, with what to do in it."""
    assert (response.status, header_of(response, "content-type")) == (status, "application/problem+json")
    document = body_of(response)
    text = public(code)
    assert (document["status"], document["code"], document["title"]) == (status, code, text.title)
    assert document["detail"].startswith(text.detail)
    assert header_of(response, "cache-control") == "private, no-store"
    if status == 401:
        assert f'error="{code}"' in (header_of(response, "www-authenticate") or "")


def assert_told(event: Any, step: str, caplog: pytest.LogCaptureFixture) -> None:
    """The event names step, cause and fix, and the log has it with them."""
    assert event.step == step
    assert event.cause.startswith(explain(step).cause)
    assert event.fix
    logged = [record.__dict__ for record in caplog.records if record.__dict__.get("event") == event.name]
    assert logged[-1]["fields"]["step"] == step
    assert logged[-1]["fields"]["cause"] == event.cause


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "sojourn")
    return caplog


def last(events: list[Event], kind: type[Event]) -> Event:
    return next(event for event in reversed(events) if isinstance(event, kind))


@pytest.mark.parametrize(
    ("settings", "step", "kept"),
    [
        ({"session": SessionPolicy(token="HS256")}, COMMON_ERRORS["invalid signature"].step, False),
        ({"compat": "authjs-v5"}, COMMON_ERRORS["invalid signature"].step, False),
        # This format names no key: an edited token and one of another server's key look the same, so it is kept.
        ({}, "key", True),
    ],
    ids=["signed", "authjs-v5", "nextauth-v4"],
)
async def test_invalid_signature(
    settings: dict[str, Any], step: str, kept: bool, log: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    auth = make_auth(events=events, **settings)
    browser = Browser(auth)
    token = auth.issue(MyClaims(sub="ada"))
    middle = len(token) - 10
    name = auth._names.session
    browser.jar[name] = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    response = await browser.send("GET", "/verify")
    assert_problem(response, 401, COMMON_ERRORS["invalid signature"].code)
    assert (name in browser.jar) is kept
    assert_told(last(events, SessionRefused), step, log)


async def test_expired_token(log: pytest.LogCaptureFixture) -> None:
    expected = COMMON_ERRORS["expired token"]
    clock, events = DrivenClock(), list[Event]()
    browser = Browser(make_auth(clock, events))
    await browser.sign_in()
    clock.advance("12h")
    clock.advance("16m")
    response = await browser.send("GET", "/verify")
    assert_problem(response, 401, expected.code)
    assert SESSION not in browser.jar
    assert_told(last(events, SessionRefused), expected.step, log)


async def test_missing_cookie(log: pytest.LogCaptureFixture) -> None:
    expected = COMMON_ERRORS["missing cookie"]
    events: list[Event] = []
    auth = make_auth(events=events)
    response = await Browser(auth).send("GET", "/verify")
    assert_problem(response, 401, expected.code)
    assert set_cookies_of(response) == []
    assert_told(last(events, SessionMissing), expected.step, log)
    log.clear()
    loaded = await auth.load(Request(method="GET", path="/", headers={"host": "127.0.0.1:8000"}))
    assert log.records == []  # looking is no refusal: most pages are open to everybody
    assert_problem(auth.unauthorized(loaded), 401, expected.code)
    assert log.records[-1].__dict__["fields"]["step"] == expected.step


def lock(path: Path) -> Callable[[], None]:
    blocker = sqlite3.connect(path, isolation_level=None)
    # A reader of the old journal kind stops everybody, as a backup tool that copies the file would.
    blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    return blocker.close


def remove(path: Path) -> Callable[[], None]:
    away = path.with_suffix(".away")
    path.rename(away)

    def mend() -> None:
        away.rename(path)

    return mend


def damage(path: Path) -> Callable[[], None]:
    for side in ("-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)
    away = path.with_suffix(".good")
    path.rename(away)
    path.write_bytes(b"no database" * 1000)

    def mend() -> None:
        path.unlink()
        away.rename(path)

    return mend


@pytest.mark.parametrize("fail", [lock, remove, damage])
async def test_database_failure(
    fail: Callable[[Path], Callable[[], None]], tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    expected = COMMON_ERRORS["database failure"]
    path = tmp_path / "sojourn.db"
    events: list[Event] = []
    auth = make_auth(events=events, database=f"sqlite:///{path}")
    await auth.start()
    database: Any = auth._stores.connections[0]
    browser, newcomer = Browser(auth), Browser(auth)
    await browser.sign_in()
    kept = browser.jar[SESSION]
    database.writer._busy_timeout = database.reader._busy_timeout = 0.05  # two seconds are too long for a test
    if fail is lock:  # which needs nobody else in the file
        await database.aclose()
        for thread in (database.writer, database.reader):
            thread.reopen()
    mend = fail(path)
    try:
        form = {"csrfToken": await newcomer.csrf(), "username": "grace", "password": "right"}
        page = await newcomer.send("POST", "/callback/credentials", form=form, headers={"accept": "text/html,*/*"})
        assert page.status == 503
        assert header_of(page, "retry-after") == "2"
        assert b"Back in a moment" in page.body
        assert SESSION not in newcomer.jar
        assert_told(last(events, StoreFailed), expected.step, log)
        asked = await browser.send("GET", "/session")
        assert (asked.status, browser.jar[SESSION]) == (200, kept)  # an outage signs nobody out
        left = await browser.post("/signout")
        assert_problem(left, 503, expected.code)  # and never tells anybody that they are signed out
        assert set_cookies_of(left) == []
        assert browser.jar[SESSION] == kept
    finally:
        mend()
    assert (await newcomer.sign_in("grace")).status == 200
    assert SESSION in newcomer.jar
    await auth.aclose()


@pytest.mark.parametrize("error", ["access_denied", "server_error", "<script>"])
async def test_provider_error(error: str, log: pytest.LogCaptureFixture) -> None:
    expected = COMMON_ERRORS["provider error"]
    async with running_site() as site:
        browser = site.browser()
        pairs = await begin(browser, site.op)
        state = dict(pairs)["state"]
        answer = await finish(browser, [("error", error), ("error_description", "<b>no</b>"), ("state", state)])
        assert answer.status == 302
        assert header_of(answer, "location") == f"{ORIGIN}/api/auth/error?error={expected.code}"
        event = site.last(SignInFailed)
        assert (event.code, event.provider) == (expected.code, "op")
        assert ("<script>" in event.cause) is False
        assert_told(event, expected.step, log)
        onward = await browser.send("GET", f"/error?error={expected.code}")
        page = await browser.send("GET", str(header_of(onward, "location")))
    assert page.status == 200
    assert b"The sign-in was cancelled or could not be completed." in page.body
    assert b"choose another way to sign in" in page.body
    assert SESSION not in browser.jar


@pytest.mark.parametrize(
    ("path", "answer", "step"),
    [
        ("/token", json_answer({"error": "server_error"}, 500), "token_endpoint"),
        ("/token", reset, "unreachable"),
        ("/jwks", Answer(b"not json"), "jwks"),
    ],
)
async def test_provider_that_fails_behind_the_scenes(
    path: str, answer: Any, step: str, log: pytest.LogCaptureFixture
) -> None:
    async with running_site() as site:
        browser = site.browser()
        pairs = await begin(browser, site.op)
        site.op.answers[path] = answer
        refused = await finish(browser, pairs)
        assert header_of(refused, "location") == f"{ORIGIN}/api/auth/error?error=OAuthCallback"
        assert_told(site.last(SignInFailed), step, log)
        page = await browser.send("GET", "/signin?error=OAuthCallback")
    assert b"The answer of the sign-in service could not be accepted." in page.body
    assert SESSION not in browser.jar


async def test_clock_skew(log: pytest.LogCaptureFixture) -> None:
    expected = COMMON_ERRORS["clock skew"]
    ahead, here, events = DrivenClock(), DrivenClock(), list[Event]()
    ahead.advance("10m")
    browser = Browser(make_auth(here, events))
    browser.jar[SESSION] = make_auth(ahead).issue(MyClaims(sub="ada"))
    response = await browser.send("GET", "/verify")
    assert_problem(response, 401, expected.code)
    assert SESSION in browser.jar  # it becomes good by waiting
    event = last(events, SessionRefused)
    assert_told(event, expected.step, log)
    assert "600 s ahead of this server's clock" in repr(event)
    here.advance("10m")
    assert (await browser.send("GET", "/verify")).status == 204


async def test_clock_skew_of_a_provider(log: pytest.LogCaptureFixture) -> None:
    async with running_site() as site:
        browser = site.browser()
        site.op.now += 600
        answer = await finish(browser, await begin(browser, site.op))
        assert header_of(answer, "location") == f"{ORIGIN}/api/auth/error?error=OAuthCallback"
        assert_told(site.last(SignInFailed), "id_token.issued_at", log)


@pytest.mark.parametrize("host", ["localhost:8000", "app.example", "127.0.0.1:8001"])
async def test_cookie_domain_mismatch(host: str, log: pytest.LogCaptureFixture) -> None:
    expected = COMMON_ERRORS["cookie domain mismatch"]
    events: list[Event] = []
    browser = Browser(make_auth(events=events))
    await browser.sign_in()
    # The browser keeps its cookies for the host that set them, so at the other one it has none.
    loaded = await browser.auth.load(Request(method="GET", path="/", headers={"host": host}))
    response = browser.auth.unauthorized(loaded)
    assert_problem(response, 401, expected.code)
    detail = body_of(response)["detail"]
    assert host in detail
    assert "127.0.0.1:8000" in detail
    assert "`base_url`" in detail
    assert_told(last(events, SessionRefused), expected.step, log)


async def test_cookie_of_the_other_scheme(log: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events))
    browser.jar[f"__Secure-{SESSION}"] = make_auth().issue(MyClaims(sub="ada"))
    assert_problem(await browser.send("GET", "/verify"), 401, "session_invalid")
    assert_told(last(events, SessionRefused), "cookie_name", log)
