"""The short way: a Cookie header that came twice is believed again, until its session ends, expires or is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sojourn import Auth, Claims, TokenError
from sojourn.flows import session as module
from sojourn.ports import Revocation
from sojourn.testing import DrivenClock
from tests.support import SESSION, make_auth


class Lists(Claims):
    roles: list[str] = msgspec.field(default_factory=list)


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def auth(clock: DrivenClock) -> Auth[Any]:
    auth = make_auth(clock)
    await auth.start()
    return auth


def header_for(auth: Auth[Any], more: str = "theme=dark") -> str:
    return f"{more}; {SESSION}={auth.issue(auth.config.claims(sub='ada'))}"


async def test_a_header_is_taken_apart_no_third_time(auth: Auth[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    header = header_for(auth)
    first = auth.current(header)
    assert auth.current(header) == first
    monkeypatch.setattr(module, "session_cookie_from_header", None)
    assert first is not None
    assert first.session is not None
    assert first.session.user_id == "ada"
    assert auth.current(header) == first


@pytest.mark.parametrize("wait", ["1h", "12h", "40d"])
async def test_what_is_due_or_over_is_not_answered(auth: Auth[Any], clock: DrivenClock, wait: str) -> None:
    header = header_for(auth)
    for _ in range(3):
        assert auth.current(header) is not None
    clock.advance(wait)
    assert auth.current(header) is None


@pytest.mark.parametrize("kind", ["session", "user"])
async def test_what_ended_is_not_answered(auth: Auth[Any], clock: DrivenClock, kind: str) -> None:
    header = header_for(auth)
    session = auth.verify(header.partition(f"{SESSION}=")[2])
    for _ in range(3):
        assert auth.current(header) is not None
    subject = session.sid if kind == "session" else session.user_id
    ending = Revocation(kind=kind, subject=subject, at=clock(), forget_after=clock() + 10**6)
    auth._revoker._ended.end(ending)
    assert auth.current(header) is None


async def test_a_changed_header_is_read_anew(auth: Auth[Any]) -> None:
    header = header_for(auth)
    assert auth.current(header) is not None
    assert auth.current(header[:-1]) is None
    assert auth.current("theme=dark") is None
    assert auth.current("") is None


async def test_claims_that_can_be_changed_are_never_handed_out_twice(clock: DrivenClock) -> None:
    auth = make_auth(clock, claims=Lists)
    await auth.start()
    header = header_for(auth)
    first, second = auth.current(header), auth.current(header)
    assert first is not None
    assert second is not None
    assert first.session is not None
    assert first.session is not second.session
    assert auth.current(header) is not None
    assert auth._sessions._known == {}


async def test_memory_is_bounded(auth: Auth[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    long = header_for(auth, "theme=" + "x" * module._LONGEST_KNOWN)
    once = header_for(auth)
    for header in (long, long, once):
        assert auth.current(header) is not None
    assert auth._sessions._known == {}
    monkeypatch.setattr(module, "_KNOWN", 2)
    for number in range(3):
        header = header_for(auth, f"number={number}")
        assert auth.current(header) == auth.current(header) is not None
    assert len(auth._sessions._known) == 1


async def test_what_may_be_unknown_is_not_answered(auth: Auth[Any], clock: DrivenClock) -> None:
    header = header_for(auth)
    token = header.partition(f"{SESSION}=")[2]
    for _ in range(3):
        assert auth.current(header) is not None
    ended = auth._tokens("verify").ended
    ended.trusted_until = clock() + 1
    assert auth.current(header) is not None
    assert auth.verify(token).user_id == "ada"
    clock.advance(1)
    assert auth.current(header) is None
    with pytest.raises(TokenError) as caught:
        auth.verify(token)
    assert (caught.value.step, caught.value.code) == ("stale", "unavailable")
    ended.end(Revocation(kind="user", subject="ada", at=clock(), forget_after=clock() + 900))
    with pytest.raises(TokenError, match="ended"):
        auth.verify(token)


async def test_an_auth_that_was_never_started_asks_the_log_for_a_request_and_knows_nothing_without(
    tmp_path: Path, clock: DrivenClock
) -> None:
    auth = make_auth(clock, database=f"sqlite:///{tmp_path / 'sojourn.db'}")
    header = header_for(auth)
    token = header.partition(f"{SESSION}=")[2]
    with pytest.raises(TokenError, match="stale"):
        auth.verify(token)
    assert auth.current(header) is None
    assert (await auth.find(token)).user_id == "ada"
    assert auth.current(header) is not None
    assert auth.verify(token).user_id == "ada"
    await auth.aclose()
