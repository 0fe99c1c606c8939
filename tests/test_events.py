from __future__ import annotations

import logging

import pytest

from sojourn.events import Dispatcher, Event, SessionEnded, StoreFailed


async def test_an_event_is_logged_and_handed_on_plain_or_async(caplog: pytest.LogCaptureFixture) -> None:
    event = SessionEnded(at=1, sid="s", user_id="u", reason="sign_out")
    seen: list[Event] = []

    async def later(event: Event) -> None:
        seen.append(event)

    with caplog.at_level(logging.INFO, "sojourn"):
        await Dispatcher(seen.append)(event)
        await Dispatcher(later)(event)
        await Dispatcher()(event)
    assert seen == [event, event]
    assert [record.__dict__["event"] for record in caplog.records] == ["session_ended"] * 3


async def test_what_the_listener_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("listener")

    await Dispatcher(broken)(SessionEnded(at=1, sid="s", user_id="u", reason="sign_out"))
    assert "on_event failed for session_ended" in caplog.text


async def test_a_log_line_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sojourn"):
        await Dispatcher()(SessionEnded(at=1, sid="s\r\nINFO forged \x1b[31m", user_id="u", reason="sign_out"))
    assert "\n" not in caplog.records[0].getMessage()
    assert "\x1b" not in caplog.records[0].getMessage()


async def test_an_outage_is_logged_once_a_second_and_handed_on_every_time(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Event] = []
    tell = Dispatcher(seen.append)
    for at, store in ((1, "database"), (1, "database"), (1, "redis"), (2, "redis"), (2, "redis")):
        await tell(StoreFailed(at=at, store=store, detail="down", step="store", cause="c", fix="f"))
    assert len(seen) == 5
    assert [record.__dict__["fields"]["at"] for record in caplog.records] == [1, 1, 2]
