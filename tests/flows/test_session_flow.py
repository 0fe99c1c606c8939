from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from sojourn import Callbacks, ClaimsChange, Session, SessionPolicy, StoreUnavailable, User
from sojourn.events import Event, SessionRefreshed, SessionRefused, StoreFailed
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of


async def test_a_reader_does_not_write() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    answer = await browser.send("GET", "/session")
    assert body_of(answer)["user"] == {"name": "Ada", "email": "ada@example.com", "image": None}
    assert set_cookies_of(answer) == []


async def test_anonymous_reading_sets_no_cookie_either() -> None:
    answer = await Browser(make_auth()).send("GET", "/session")
    assert answer.body == b"{}"
    assert set_cookies_of(answer) == []
    assert header_of(answer, "cache-control") == "private, no-cache, no-store"


async def test_after_update_age_a_read_extends_and_before_it_does_not() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock))
    await browser.sign_in()
    before = browser.jar[SESSION]
    clock.advance("59m")
    await browser.load()
    assert browser.jar[SESSION] == before
    clock.advance("1m")
    loaded = await browser.load()
    assert browser.jar[SESSION] != before
    assert loaded.session.expires_at == clock() + 12 * 3600


async def test_update_age_zero_extends_at_every_read_as_next_auth_does() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, session=SessionPolicy(update_age="0s")))
    await browser.sign_in()
    clock.advance("1s")
    assert len(set_cookies_of(await browser.send("GET", "/session"))) == 1


async def test_in_grace_the_same_answer_carries_the_new_cookie_and_the_handler_runs_signed_in() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    browser = Browser(make_auth(clock, events))
    await browser.sign_in()
    first = browser.auth.verify(browser.jar[SESSION])
    clock.advance("12h")
    clock.advance("14m")
    loaded = await browser.load()
    assert loaded.session is not None
    assert (loaded.session.sid, loaded.session.auth_time) == (first.sid, first.auth_time)
    assert browser.auth.verify(browser.jar[SESSION]).expires_at == clock() + 12 * 3600
    assert any(isinstance(event, SessionRefreshed) and event.trigger == "refresh" for event in events)


async def test_past_grace_the_cookie_is_cleared_and_the_refusal_is_named() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    browser = Browser(make_auth(clock, events))
    await browser.sign_in()
    clock.advance("12h")
    clock.advance("16m")
    loaded = await browser.load()
    assert loaded.session is None
    assert loaded.code == "session_expired"
    assert SESSION not in browser.jar
    assert [event.step for event in events if isinstance(event, SessionRefused)] == ["expired"]


async def test_grace_zero_switches_grace_off_and_the_cookie_ends_with_its_token() -> None:
    clock = DrivenClock(1_700_000_000)
    browser = Browser(make_auth(clock, session=SessionPolicy(grace_period="0s")))
    answer = await browser.sign_in()
    assert "Expires=Wed, 15 Nov 2023 10:13:20 GMT" in next(c for c in set_cookies_of(answer) if c.startswith(SESSION))
    clock.advance("12h")
    clock.advance("16s")
    assert (await browser.load()).code == "session_expired"


async def test_refreshing_never_passes_the_absolute_age() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, session=SessionPolicy(max_age="12h", absolute_age="2d")))
    await browser.sign_in()
    end = clock() + 2 * 86400
    while clock() + 3600 < end:
        clock.advance("1h")
        loaded = await browser.load()
        assert loaded.session is not None
        assert loaded.session.expires_at <= end
    clock.advance("2h")
    assert (await browser.load()).code == "session_expired"


async def test_one_due_token_gives_every_request_the_same_successor() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock))
    await browser.sign_in()
    old = browser.jar[SESSION]
    clock.advance("2h")
    successors = set()
    for _ in range(5):
        browser.jar[SESSION] = old
        await browser.load()
        successors.add(browser.jar[SESSION])
    assert len(successors) == 1


async def test_parallel_requests_agree_on_the_successor_even_while_the_callback_waits() -> None:
    clock = DrivenClock()
    refreshes = 0

    async def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        nonlocal refreshes
        if change.trigger == "refresh":
            refreshes += 1
            await anyio.lowlevel.checkpoint()
        return claims.replace(name=f"Ada {refreshes}")

    browser = Browser(make_auth(clock, callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    clock.advance("12h")
    clock.advance("5m")
    others = [Browser(browser.auth) for _ in range(20)]
    async with anyio.create_task_group() as group:
        for other in others:
            other.jar = dict(browser.jar)
            group.start_soon(other.load)
    assert len({other.jar[SESSION] for other in others}) == 1


async def test_with_short_lives_a_late_request_gets_a_successor_that_is_fresh_itself() -> None:
    clock = DrivenClock()
    policy = SessionPolicy(max_age="3s", update_age="1s", grace_period="10s", leeway="0s")
    browser = Browser(make_auth(clock, session=policy))
    await browser.sign_in()
    old = browser.jar[SESSION]
    for _ in range(4):
        clock.advance("2s")
        browser.jar[SESSION] = old
        assert (await browser.load()).session.expires_at == clock() + 3


async def test_the_claims_callback_sees_a_refresh_and_may_change_claims() -> None:
    clock = DrivenClock()

    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(is_sponsor=True) if change.trigger == "refresh" else claims

    browser = Browser(make_auth(clock, callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    clock.advance("2h")
    assert (await browser.load()).session.claims.is_sponsor is True


async def test_a_failing_claims_callback_is_never_a_sign_out() -> None:
    clock = DrivenClock()
    events: list[Event] = []

    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        if change.trigger in ("refresh", "update"):
            raise RuntimeError("provider down, token=abc")
        return claims

    browser = Browser(make_auth(clock, events, callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    clock.advance("2h")
    assert (await browser.load()).session is not None
    clock.advance("10h")
    loaded = await browser.load()
    assert loaded.unavailable is not None
    assert SESSION in browser.jar
    answer = await browser.send("GET", "/session")
    assert answer.status == 503
    assert header_of(answer, "retry-after")
    assert "abc" not in repr(events)
    assert any(isinstance(event, StoreFailed) for event in events)


async def test_update_merges_nothing_by_itself_and_what_the_callback_takes_is_kept() -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(name=change.data["name"]) if change.trigger == "update" else claims

    plain, taking = Browser(make_auth()), Browser(make_auth(callbacks=Callbacks(claims=fill)))
    for browser, expected in ((plain, "Ada"), (taking, "Countess")):
        await browser.sign_in()
        data = {"csrfToken": await browser.csrf(), "data": {"name": "Countess", "sub": "grace", "isSponsor": True}}
        answer = await browser.send("POST", "/session", data=data)
        assert body_of(answer)["user"]["name"] == expected
        session = browser.auth.verify(browser.jar[SESSION])
        assert session.user_id == "ada"
        assert session.claims.is_sponsor is False


async def test_update_without_csrf_is_refused_and_keeps_the_session() -> None:
    browser = Browser(make_auth())
    await browser.sign_in()
    answer = await browser.send("POST", "/session", data={"csrfToken": "z", "data": {}})
    assert (answer.status, answer.body) == (400, b"{}")
    assert await browser.session() != {}


async def test_an_oversized_session_is_refused_when_claims_are_added_and_the_old_one_stays() -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(name="x" * 30_000) if change.trigger == "update" else claims

    browser = Browser(make_auth(callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    before = browser.jar[SESSION]
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": 1})
    assert answer.status == 400
    assert body_of(answer)["code"] == "session_too_large"
    assert browser.jar[SESSION] == before


async def test_a_session_of_several_chunks_comes_back_whole_and_shrinks_without_left_overs() -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(name="é" * int(change.data)) if change.trigger == "update" else claims

    browser = Browser(make_auth(callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    for size, names in ((4000, 3), (1000, 1), (3000, 3), (2000, 2)):
        await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": size})
        held = [name for name in browser.jar if name.startswith(SESSION)]
        assert len(held) == names, held
        assert (await browser.session())["user"]["name"] == "é" * size


async def test_the_session_callback_decides_what_is_shown() -> None:
    async def show(view: dict[str, object], session: Session[MyClaims]) -> dict[str, object]:
        return view | {"sponsor": session.claims.is_sponsor}

    browser = Browser(make_auth(callbacks=Callbacks(session=show)))
    await browser.sign_in()
    assert (await browser.session())["sponsor"] is False


@pytest.mark.parametrize(
    ("value", "step"), [("garbage", "form"), ("a.b.c.d.e", "form"), ("eyJhbGciOiJub25lIn0..x.y.z", "header")]
)
async def test_a_cookie_that_is_no_token_is_cleared(value: str, step: str) -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events))
    browser.jar[SESSION] = value
    assert await browser.session() == {}
    assert SESSION not in browser.jar
    assert [event.step for event in events if isinstance(event, SessionRefused)] == [step]


async def test_a_token_of_another_servers_key_is_refused_by_that_name_and_kept() -> None:
    events: list[Event] = []
    other = Browser(make_auth(secret="another-secret-of-thirty-two-byt!"))
    await other.sign_in()
    browser = Browser(make_auth(events=events))
    browser.jar[SESSION] = other.jar[SESSION]
    loaded = await browser.load()
    assert (loaded.code, loaded.step) == ("session_invalid", "key")
    assert SESSION in browser.jar
    refused = next(event for event in events if isinstance(event, SessionRefused))
    assert "key" in refused.cause


async def test_an_old_secret_opens_until_it_is_dropped_and_the_newest_seals() -> None:
    old, new = "old-secret-old-secret-old-secret-1", "new-secret-new-secret-new-secret-2"
    clock = DrivenClock()
    browser = Browser(make_auth(clock, secret=old))
    await browser.sign_in()
    browser.auth = make_auth(clock, secret=None, secrets=[new, old])
    clock.advance("2h")
    assert (await browser.load()).session is not None
    browser.auth = make_auth(clock, secret=new)
    assert (await browser.load()).session is not None


async def test_clock_skew_is_named_with_its_offset_and_the_cookie_stays() -> None:
    events: list[Event] = []
    ahead = DrivenClock()
    ahead.advance("5m")
    browser = Browser(make_auth(ahead))
    await browser.sign_in()
    browser.auth = make_auth(DrivenClock(), events)
    loaded = await browser.load()
    assert (loaded.code, loaded.step) == ("session_invalid", "issued_in_future")
    assert SESSION in browser.jar
    assert "300" in next(event.cause for event in events if isinstance(event, SessionRefused))


async def test_session_user_is_loaded_once_per_request(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(make_auth(database="memory:"))
    await browser.sign_in()
    users = browser.auth._stores.users
    calls: list[str] = []
    get = users.get

    async def counting(user_id: str) -> User | None:
        calls.append(user_id)
        return await get(user_id)

    monkeypatch.setattr(users, "get", counting)
    session = (await browser.load()).session
    assert calls == []
    assert await session.user() == await session.user()
    assert calls == [session.user_id]


async def test_a_database_that_is_down_extends_nothing_and_signs_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, database="memory:"))
    await browser.sign_in()

    async def down(user_id: str) -> User | None:
        raise StoreUnavailable("users", "down")

    monkeypatch.setattr(browser.auth._stores.users, "get", down)
    clock.advance("2h")
    session = (await browser.load()).session
    assert session is not None
    with pytest.raises(StoreUnavailable):
        await session.user()


async def test_a_disabled_user_is_not_extended() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, database="memory:"))
    await browser.sign_in()
    users = browser.auth._stores.users
    user = await users.get((await browser.load()).session.user_id)
    assert user is not None
    await users.update(user.replace(disabled_at=clock()))
    clock.advance("2h")
    loaded = await browser.load()
    assert loaded.code == "session_ended"
    assert SESSION not in browser.jar


async def test_a_stale_form_beside_the_real_one_signs_nobody_out_and_goes_with_the_next_write() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock))
    await browser.sign_in()
    token = browser.jar[SESSION]
    browser.jar |= {SESSION: "stale", f"{SESSION}.0": token[:100], f"{SESSION}.1": token[100:]}
    assert (await browser.load()).session is not None
    clock.advance("2h")
    await browser.load()
    assert [name for name in browser.jar if name.startswith(SESSION)] == [SESSION]
    browser.jar |= {f"{SESSION}.0": "stale", SESSION: "stale too"}
    assert (await browser.load()).code == "session_invalid"


async def test_claims_that_grow_too_large_at_a_refresh_leave_the_session_as_it_was() -> None:
    clock = DrivenClock()

    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(name="x" * 30_000) if change.trigger == "refresh" else claims

    browser = Browser(make_auth(clock, callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    before = browser.jar[SESSION]
    clock.advance("2h")
    assert (await browser.load()).session is not None
    assert browser.jar[SESSION] == before


async def test_updating_without_a_session_is_no_session() -> None:
    browser = Browser(make_auth())
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": 1})
    assert (answer.status, answer.body) == (200, b"{}")
