"""Callbacks of the application that raise, answer junk or do as the browser says: nobody becomes somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sojourn import Callbacks, ClaimsChange
from sojourn.events import Event, SignInFailed, StoreFailed
from sojourn.testing import DrivenClock
from tests.support import ORIGIN, SESSION, Browser, MyClaims, body_of, make_auth, set_cookies_of


def broken(*_: object) -> Any:
    raise RuntimeError("dsn=postgres://user:hunter2@db")


async def test_an_update_cannot_become_somebody_else_nor_unreadable() -> None:
    def merge_all(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(**change.data) if change.trigger == "update" else claims

    browser = Browser(make_auth(callbacks=Callbacks(claims=merge_all)))
    await browser.sign_in()
    before = (await browser.load()).session
    stolen = {"sub": "grace", "sid": "f" * 32, "auth_time": 1, "exp": 2**40, "iat": 5, "jti": "x", "name": "New"}
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": stolen})
    assert body_of(answer)["user"]["name"] == "New"
    after = (await browser.load()).session
    assert (after.user_id, after.sid, after.auth_time) == (before.user_id, before.sid, before.auth_time)
    assert after.expires_at == before.expires_at
    kept = browser.jar[SESSION]
    for junk in ({"name": {"a": 1}}, {"is_sponsor": "yes"}, {"email": 5}, {"unknown": 1}, None, [1]):
        answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": junk})
        assert (answer.status, body_of(answer)["code"]) == (503, "unavailable")
        assert browser.jar[SESSION] == kept


@pytest.mark.parametrize("junk", [None, 5, "x", {"sub": "root"}, []])
async def test_claims_callbacks_that_answer_junk_start_and_extend_nothing(junk: Any) -> None:
    events: list[Event] = []
    answers: list[Any] = []
    clock = DrivenClock()

    def claims(given: MyClaims, change: ClaimsChange) -> Any:
        return answers[0] if answers else given

    browser = Browser(make_auth(clock, events, callbacks=Callbacks(claims=claims)))
    await browser.sign_in()
    kept = browser.jar[SESSION]
    answers.append(junk)
    clock.advance("2h")
    assert (await browser.load()).session.user_id == "ada"
    assert browser.jar[SESSION] == kept
    assert next(event.step for event in events if isinstance(event, StoreFailed)) == "claims_callback"
    await browser.sign_in("grace")
    assert browser.jar[SESSION] == kept
    assert next(event.step for event in events if isinstance(event, SignInFailed)) == "claims_callback"


@pytest.mark.parametrize(
    "session",
    [
        broken,
        lambda *_: None,
        lambda *_: 5,
        lambda *_: {"a": object()},
        lambda *_: {"a": {1: {2: b"\xff"}, "\ud800": 1}},
    ],
)
async def test_a_session_callback_that_fails_is_no_sign_out_and_tells_nothing(
    session: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events, callbacks=Callbacks(session=session)))
    await browser.sign_in()
    answer = await browser.send("GET", "/session")
    assert (answer.status, body_of(answer)["code"]) == (503, "unavailable")
    assert set_cookies_of(answer) == []
    assert events[-1].name == "store_failed"
    assert b"hunter2" not in answer.body
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "callback",
    [
        broken,
        lambda *_: None,
        lambda *_: 5,
        lambda *_: "https://evil.example",
        lambda *_: "//evil.example/x",
        lambda *_: "/\r\nx: y",
    ],
)
async def test_a_redirect_callback_cannot_send_anybody_away(
    callback: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(make_auth(callbacks=Callbacks(redirect=callback)))
    answer = await browser.post("/callback/credentials", username="ada", password="right", callbackUrl="/in")
    assert body_of(answer) == {"url": ORIGIN}
    assert "hunter2" not in caplog.text
