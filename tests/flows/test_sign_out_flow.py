from __future__ import annotations

import pytest

from sojourn import StoreUnavailable, TokenError
from sojourn.events import Event, SessionEnded
from sojourn.ports import Revocation
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, body_of, header_of, make_auth, set_cookies_of


async def test_the_copied_cookie_is_refused_at_once_everywhere_in_this_process() -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events))
    await browser.sign_in()
    copied = browser.jar[SESSION]
    answer = await browser.post("/signout", callbackUrl="/bye")
    assert body_of(answer) == {"url": "http://127.0.0.1:8000/bye"}
    assert SESSION not in browser.jar
    with pytest.raises(TokenError) as caught:
        browser.auth.verify(copied)
    assert (caught.value.step, caught.value.code) == ("ended", "session_ended")
    browser.jar[SESSION] = copied
    assert await browser.session() == {}
    assert [event.reason for event in events if isinstance(event, SessionEnded)] == ["sign_out"]


async def test_every_chunk_is_cleared_with_max_age_zero() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    token = browser.jar.pop(SESSION)
    browser.jar |= {f"{SESSION}.0": token[:100], f"{SESSION}.1": token[100:]}
    assert await browser.session() != {}
    answer = await browser.post("/signout")
    cleared = [text for text in set_cookies_of(answer) if text.startswith(SESSION)]
    assert cleared == [f"{SESSION}.{n}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax" for n in (0, 1)]


async def test_without_csrf_nothing_ends() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    answer = await browser.send("POST", "/signout", form={"csrfToken": "z", "json": "true"})
    assert answer.status == 403
    assert body_of(answer)["url"].startswith("http://127.0.0.1:8000/api/auth/signout?csrf=true")
    assert await browser.session() != {}


async def test_a_plain_form_is_sent_home() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    answer = await browser.send("POST", "/signout", form={"csrfToken": await browser.csrf()})
    assert (answer.status, header_of(answer, "location")) == (302, "http://127.0.0.1:8000")


async def test_signing_out_twice_is_fine() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    await browser.post("/signout")
    assert (await browser.post("/signout")).status == 200


async def test_when_the_end_cannot_be_made_durable_nobody_is_told_they_are_out(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(make_auth())
    await browser.sign_in()

    async def down(revocation: Revocation) -> None:
        raise StoreUnavailable("revocations", "down")

    with monkeypatch.context() as patch:
        patch.setattr(browser.auth._stores.revocations, "append", down)
        answer = await browser.post("/signout")
        assert answer.status == 503
        assert header_of(answer, "retry-after")
        assert set_cookies_of(answer) == []
    assert await browser.session() != {}
    assert (await browser.post("/signout")).status == 200
    assert await browser.session() == {}


async def test_a_later_token_of_the_same_session_is_ended_too_and_nothing_new_is_issued() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock))
    await browser.sign_in()
    early = browser.jar[SESSION]
    clock.advance("2h")
    await browser.load()
    late = browser.jar[SESSION]
    browser.jar[SESSION] = early
    await browser.post("/signout")
    for token in (early, late):
        browser.jar[SESSION] = token
        assert (await browser.load()).code == "session_ended"


async def test_signing_in_again_ends_the_session_that_came_with_the_request() -> None:
    browser = Browser(make_auth())
    await browser.sign_in("ada")
    first = browser.jar[SESSION]
    await browser.sign_in("grace")
    assert browser.jar[SESSION] != first
    with pytest.raises(TokenError):
        browser.auth.verify(first)
    assert browser.auth.verify(browser.jar[SESSION]).user_id == "grace"


async def test_what_ended_stays_ended_after_a_restart(tmp_path: object) -> None:
    clock = DrivenClock()
    database = f"sqlite:///{tmp_path}/sojourn.db"
    browser = Browser(make_auth(clock, database=database))
    await browser.auth.start()
    await browser.sign_in()
    copied = browser.jar[SESSION]
    await browser.post("/signout")
    await browser.auth.aclose()
    restarted = make_auth(clock, database=database)
    await restarted.start()
    try:
        with pytest.raises(TokenError):
            restarted.verify(copied)
    finally:
        await restarted.aclose()
