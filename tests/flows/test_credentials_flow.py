from __future__ import annotations

import anyio
import pytest

from sojourn import Callbacks, ClaimsChange, Profile, RateLimit, SignInAttempt, StoreUnavailable
from sojourn.errors import Conflict
from sojourn.events import Event, SessionStarted, SignInFailed, UserCreated
from sojourn.providers import Credentials
from sojourn.testing import DrivenClock
from tests.support import SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of

ERROR = "http://127.0.0.1:8000/api/auth/error"


async def test_the_right_password_starts_a_session_with_the_seeds_claims() -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events))
    answer = await browser.sign_in()
    assert (answer.status, body_of(answer)) == (200, {"url": "http://127.0.0.1:8000"})
    session = browser.auth.verify(browser.jar[SESSION])
    assert (session.claims.sub, session.claims.username, session.claims.email) == ("ada", "ada", "ada@example.com")
    assert session.claims.is_sponsor is False
    assert session.sid
    assert session.claims.jti
    assert session.auth_time == session.issued_at
    started = next(event for event in events if isinstance(event, SessionStarted))
    assert (started.sid, started.user_id, started.provider) == (session.sid, "ada", "credentials")


async def test_the_wrong_password_and_the_unknown_user_get_the_same_answer() -> None:
    answers = []
    for name in ("ada", "nobody"):
        browser = Browser(make_auth())
        answers.append(await browser.sign_in(name, "wrong"))
        assert SESSION not in browser.jar
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].body == answers[1].body
    assert body_of(answers[0]) == {"url": f"{ERROR}?error=CredentialsSignin&provider=credentials"}


async def test_a_plain_form_is_redirected() -> None:
    browser = Browser(make_auth())
    form = {"csrfToken": await browser.csrf(), "username": "ada", "password": "wrong"}
    answer = await browser.send("POST", "/callback/credentials", form=form)
    assert answer.status == 302
    assert header_of(answer, "location") == f"{ERROR}?error=CredentialsSignin&provider=credentials"


async def test_without_csrf_nobody_is_signed_in() -> None:
    browser = Browser(make_auth())
    form = {"csrfToken": "z", "username": "ada", "password": "right", "json": "true"}
    answer = await browser.send("POST", "/callback/credentials", form=form)
    assert answer.status == 403
    assert SESSION not in browser.jar


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
async def test_another_site_cannot_sign_anybody_in_even_with_the_token(headers: dict[str, str]) -> None:
    browser = Browser(make_auth())
    form = {"csrfToken": await browser.csrf(), "username": "ada", "password": "right", "json": "true"}
    answer = await browser.send("POST", "/callback/credentials", form=form, headers=headers)
    assert answer.status == 403
    assert SESSION not in browser.jar


async def test_what_authorize_raises_never_reaches_the_browser() -> None:
    def broken(form: object) -> Profile | None:
        raise RuntimeError("dsn=postgres://user:hunter2@db")

    events: list[Event] = []
    browser = Browser(make_auth(events=events, providers=[Credentials(authorize=broken)]))
    answer = await browser.sign_in()
    assert answer.status == 401
    assert b"hunter2" not in answer.body
    assert "hunter2" not in repr(events)
    assert next(event.step for event in events if isinstance(event, SignInFailed)) == "authorize_callback"


async def test_the_application_may_refuse_with_sign_in() -> None:
    def only_grace(attempt: SignInAttempt) -> bool:
        return attempt.profile.username == "grace"

    browser = Browser(make_auth(callbacks=Callbacks(sign_in=only_grace)))
    answer = await browser.sign_in()
    assert (answer.status, body_of(answer)) == (403, {"url": f"{ERROR}?error=AccessDenied"})
    assert (await browser.sign_in("grace")).status == 200


@pytest.mark.parametrize(
    ("page", "expected"),
    [("/wait", "http://127.0.0.1:8000/wait"), ("https://evil.example", "http://127.0.0.1:8000")],
)
async def test_a_page_named_by_sign_in_goes_through_the_redirect_rule(page: str, expected: str) -> None:
    def elsewhere(attempt: SignInAttempt) -> str:
        return page

    browser = Browser(make_auth(callbacks=Callbacks(sign_in=elsewhere)))
    assert body_of(await browser.sign_in()) == {"url": expected}
    assert SESSION not in browser.jar


async def test_the_claims_callback_fills_claims_but_never_the_subject() -> None:
    triggers: list[str] = []

    async def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        triggers.append(change.trigger)
        return claims.replace(is_sponsor=True, sub="grace")

    browser = Browser(make_auth(database="memory:", callbacks=Callbacks(claims=fill)))
    await browser.sign_in()
    session = browser.auth.verify(browser.jar[SESSION])
    assert session.claims.is_sponsor is True
    assert session.user_id != "grace"
    await browser.sign_in()
    assert triggers == ["sign_up", "sign_in"]


async def test_the_first_login_makes_the_record_and_the_next_updates_the_last_login() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    browser = Browser(make_auth(clock, events, database="memory:"))
    await browser.sign_in()
    user = await (await browser.load()).session.user()
    assert (user.email, user.created_at, user.last_login_at, user.email_verified_at) == (
        "ada@example.com",
        clock(),
        clock(),
        None,
    )
    created = clock()
    clock.advance("1h")
    await browser.sign_in()
    again = await (await browser.load()).session.user()
    assert (again.id, again.created_at, again.last_login_at) == (user.id, created, created + 3600)
    assert sum(isinstance(event, UserCreated) for event in events) == 1


async def test_two_first_logins_at_once_make_one_user() -> None:
    events: list[Event] = []
    auth = make_auth(events=events, database="memory:")
    browsers = [Browser(auth) for _ in range(10)]
    async with anyio.create_task_group() as group:
        for browser in browsers:
            group.start_soon(browser.sign_in)
    assert sum(isinstance(event, UserCreated) for event in events) == 1
    assert len({auth.verify(browser.jar[SESSION]).user_id for browser in browsers}) == 1


async def test_too_many_failures_are_blocked_and_logged_and_waiting_helps() -> None:
    clock = DrivenClock()
    events: list[Event] = []
    browser = Browser(make_auth(clock, events, rate_limit=RateLimit(sign_in="3/1m")))
    assert [(await browser.sign_in("Ada ", "wrong")).status for _ in range(2)] == [401, 401]
    assert (await browser.sign_in("ada", "wrong")).status == 401
    blocked = await browser.sign_in("ada", "right")
    assert blocked.status == 429
    assert header_of(blocked, "retry-after") == "20"
    assert body_of(blocked)["url"].startswith(f"{ERROR}?error=RateLimited")
    assert SESSION not in browser.jar
    assert [event.step for event in events if isinstance(event, SignInFailed)][-1] == "rate_limited"
    clock.advance("20s")
    assert (await browser.sign_in("ada", "right")).status == 200


async def test_the_owners_success_starts_the_account_afresh() -> None:
    browser = Browser(make_auth(rate_limit=RateLimit(sign_in="3/1m")))
    for _ in range(4):
        await browser.sign_in("ada", "wrong")
        await browser.sign_in("ada", "wrong")
        assert (await browser.sign_in("ada", "right")).status == 200


async def test_one_network_cannot_guess_at_many_accounts_for_ever() -> None:
    browser = Browser(make_auth(rate_limit=RateLimit(sign_in="1/1m")))
    statuses = [(await browser.sign_in(f"user{n}", "wrong")).status for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    elsewhere = Browser(browser.auth, client="198.51.100.7")
    assert (await elsewhere.sign_in("ada", "right")).status == 200


@pytest.mark.parametrize("value", [{"a": 1}, ["ada"], None, True, "\x00", "x" * 100_000, "", 1e300])
async def test_odd_credentials_are_a_plain_failure(value: object) -> None:
    browser = Browser(make_auth())
    data = {"csrfToken": await browser.csrf(), "username": value, "password": value, "json": "true"}
    answer = await browser.send("POST", "/callback/credentials", data=data)
    assert answer.status == 401
    assert not [text for text in set_cookies_of(answer) if text.startswith(SESSION)]


async def test_a_new_user_page_gets_the_way_back() -> None:
    from sojourn import Pages

    browser = Browser(make_auth(database="memory:", pages=Pages(new_user="/welcome")))
    answer = await browser.post("/callback/credentials", username="ada", password="right", callbackUrl="/in?x=1")
    assert body_of(answer) == {"url": "/welcome?callbackUrl=http%3A%2F%2F127.0.0.1%3A8000%2Fin%3Fx%3D1"}


async def test_claims_too_large_to_sign_in_with_are_refused_and_the_session_before_lives_on() -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(picture="x" * 30_000) if claims.sub == "grace" else claims

    events: list[Event] = []
    browser = Browser(make_auth(events=events, callbacks=Callbacks(claims=fill)))
    await browser.sign_in("ada")
    answer = await browser.sign_in("grace")
    assert body_of(answer) == {"url": f"{ERROR}?error=Callback"}
    assert [event.step for event in events if isinstance(event, SignInFailed)] == ["claims_too_large"]
    assert (await browser.session())["user"]["name"] == "Ada"


async def test_an_authorize_whose_store_is_down_is_an_outage_and_no_wrong_password() -> None:
    def down(form: object) -> Profile | None:
        raise StoreUnavailable("directory", "down")

    browser = Browser(make_auth(providers=[Credentials(authorize=down)]))
    answer = await browser.sign_in()
    assert answer.status == 503
    assert header_of(answer, "retry-after")


async def test_limits_can_be_switched_off() -> None:
    browser = Browser(make_auth(rate_limit=RateLimit(sign_in=None)))
    for _ in range(30):
        assert (await browser.sign_in("ada", "wrong")).status == 401
    assert (await browser.sign_in("ada", "right")).status == 200


async def test_starting_a_credentials_sign_in_leads_to_its_form() -> None:
    browser = Browser(make_auth())
    answer = await browser.post("/signin/credentials")
    assert body_of(answer) == {"url": "http://127.0.0.1:8000/api/auth/signin"}


async def test_whoever_keeps_losing_the_race_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(make_auth(database="memory:"))

    async def taken(user: object, account: object = None, password_hash: object = None) -> object:
        raise Conflict("account")

    monkeypatch.setattr(browser.auth._stores.users, "create", taken)
    answer = await browser.sign_in()
    assert answer.status == 503
    assert SESSION not in browser.jar
