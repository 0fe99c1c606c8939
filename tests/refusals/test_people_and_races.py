"""Who signs in as whom, how often, and at the same moment as what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sojourn import Callbacks, ClaimsChange, Profile, RateLimit
from sojourn.errors import StoreUnavailable
from sojourn.events import Event, SignInFailed
from sojourn.passwords import PasswordHasher, insecure_testing
from sojourn.providers import Credentials
from sojourn.stores.memory_sessions import _MOST_KEYS, MemoryCounterStore
from sojourn.stores.users import add_user
from sojourn.testing import DrivenClock
from tests.refusals.sites import begin, finish, running_site
from tests.support import ORIGIN, SESSION, Browser, MyClaims, body_of, header_of, make_auth

# -- who signs in as whom ----------------------------------------------------------------------------------------------


async def test_a_password_signs_in_as_oneself_whoever_was_signed_in_before() -> None:
    browser = Browser(make_auth(database="memory:"))
    await browser.sign_in("ada")
    ada = (await browser.load()).session
    await browser.sign_in("grace")
    grace = (await browser.load()).session
    assert grace.claims.username == "grace"
    assert grace.user_id != ada.user_id
    assert (await browser.auth._stores.users.list_accounts(ada.user_id))[0].provider_account_id == "ada"
    await browser.sign_in("ada")
    assert (await browser.load()).session.user_id == ada.user_id


async def test_the_session_from_before_a_sign_in_is_dead_afterwards() -> None:
    """Session fixation: whoever planted or copied the old cookie holds nothing."""
    auth = make_auth()
    attacker, victim = Browser(auth), Browser(auth)
    await attacker.sign_in("grace")
    victim.jar[SESSION] = attacker.jar[SESSION]
    await victim.sign_in("ada")
    assert victim.jar[SESSION] != attacker.jar[SESSION]
    assert (await attacker.load()).code == "session_ended"
    assert (await victim.load()).session.user_id == "ada"


@pytest.mark.parametrize(
    "answer", [5, "ada", {"id": "ada"}, Profile(id=""), Profile(id="\ud800"), Profile(id="a\r\nb"), object()]
)
async def test_what_authorize_answers_is_a_profile_or_nobody(answer: Any) -> None:
    events: list[Event] = []
    browser = Browser(make_auth(events=events, providers=[Credentials(authorize=lambda form: answer)]))
    assert (await browser.sign_in()).status == 401
    assert SESSION not in browser.jar
    assert next(event.step for event in events if isinstance(event, SignInFailed)) == "authorize_callback"


async def test_what_authorize_answers_is_cleaned_like_a_providers_profile() -> None:
    messy: Any = Profile(id=7, name="A\x00da\ud800", email=" ADA@Example.com", image="javascript:1")  # type: ignore[arg-type]
    browser = Browser(make_auth(providers=[Credentials(authorize=lambda form: messy)]))
    assert (await browser.sign_in()).status == 200
    claims = (await browser.load()).session.claims
    assert (claims.sub, claims.name, claims.email, claims.picture) == ("7", "Ada", "ada@example.com", None)


async def test_a_disabled_user_is_not_extended_by_an_update() -> None:
    clock = DrivenClock()
    browser = Browser(make_auth(clock, database="memory:"))
    await browser.sign_in()
    users = browser.auth._stores.users
    user = await users.get((await browser.load()).session.user_id)
    assert user is not None
    await users.update(user.replace(disabled_at=clock()))
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {}})
    assert answer.body == b"{}"
    assert SESSION not in browser.jar


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_strangers_cannot_shut_everybody_out_who_signs_in_by_address() -> None:
    """One count for all names that are no user names would be a lock on the front door (CRE-03)."""
    auth = make_auth(rate_limit=RateLimit(sign_in="3/1m"))
    for number in range(12):
        stranger = Browser(auth, client=f"198.51.{number}.1")
        assert (await stranger.sign_in(f"nobody{number}@example.com", "wrong")).status == 401
        assert (await stranger.post("/callback/credentials", login=f"n{number}", password="x")).status == 401
    owner = Browser(auth, client="203.0.113.9")
    assert (await owner.sign_in("ada@example.com", "wrong")).status == 401
    assert (await owner.post("/callback/credentials", login="ada", password="wrong")).status == 401


@pytest.mark.parametrize(
    "spellings",
    [
        ["ada@example.com", "ADA@example.com", " ada@EXAMPLE.com ", "ada＠example.com"],
        ["ada", "ADA", " ada ", "ａｄａ"],
        ["no such\x07name", "NO SUCH\x07name", " no such\x07name", "no such\x07name "],
    ],
)
async def test_spellings_of_one_name_share_one_count(spellings: list[str]) -> None:
    auth = make_auth(rate_limit=RateLimit(sign_in="3/1m"))
    statuses = [
        (await Browser(auth, client=f"198.51.{n}.1").sign_in(name, "wrong")).status for n, name in enumerate(spellings)
    ]
    assert statuses == [401, 401, 401, 429]


async def test_counts_are_forgotten_in_time_and_a_flood_does_not_wash_away_who_is_guessed_at() -> None:
    clock = DrivenClock()
    counts = MemoryCounterStore(clock)
    told = [await counts.take("victim", count=3, period=60) for _ in range(4)]
    assert told == [None, None, None, 20]
    for number in range(2 * _MOST_KEYS):
        await counts.take(f"made up {number}", count=3, period=60)
    assert len(counts._recovered_at) <= _MOST_KEYS + 1
    assert await counts.take("victim", count=3, period=60) == 20
    clock.advance("2m")
    for number in range(_MOST_KEYS + 2):
        await counts.take(f"later {number}", count=3, period=60)
        clock.advance(1)
    assert len(counts._recovered_at) < _MOST_KEYS


# -- who is there ------------------------------------------------------------------------------------------------------


class CountingHasher(PasswordHasher):
    """Counts hash computations: what the time of an answer consists of."""

    calls = 0

    async def _run(self, work: Callable[[], Any]) -> Any:
        CountingHasher.calls += 1
        return await super()._run(work)


@pytest.mark.parametrize(
    "name", ["nobody", "nobody@example.com", "ada", "ada@example.com", "disabled", "x" * 300, "a\0b", ""]
)
async def test_known_and_unknown_names_cost_one_hash_and_get_one_answer(name: str) -> None:
    auth = make_auth(database="memory:", providers=[Credentials()])
    hasher = CountingHasher(insecure_testing)
    auth._endpoints._arrivals._hasher = hasher
    made = [
        await add_user(auth._stores, hasher, username=user, email=f"{user}@example.com", password="pw", now=1)
        for user in ("ada", "disabled")
    ]
    await auth._stores.users.update(made[1].replace(disabled_at=1))
    CountingHasher.calls = 0
    browser = Browser(auth)
    answer = await browser.sign_in(name, "wrong")
    assert CountingHasher.calls == 1
    assert (answer.status, body_of(answer)) == (
        401,
        {"url": f"{ORIGIN}/api/auth/error?error=CredentialsSignin&provider=credentials"},
    )
    assert [name for name, _ in answer.headers] == ["Content-Type", "Cache-Control", "Vary"]


# -- races -------------------------------------------------------------------------------------------------------------


async def test_a_sign_out_during_a_refresh_wins() -> None:
    clock = DrivenClock()
    meanwhile: list[Callable[[], Awaitable[object]]] = []

    async def slow(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        for act in meanwhile:
            await act()
        return claims

    auth = make_auth(clock, callbacks=Callbacks(claims=slow))
    for how in ("load", "update", "expired"):
        browser = Browser(auth)
        await browser.sign_in()
        other_tab = Browser(auth)
        other_tab.jar = dict(browser.jar)
        token = await other_tab.csrf()
        if how != "update":
            clock.advance("2h" if how == "load" else "12h")

        async def sign_out(tab: Browser = other_tab, token: str = token) -> None:
            meanwhile.clear()
            await tab.send("POST", "/signout", form={"csrfToken": token})

        meanwhile.append(sign_out)
        if how == "update":
            answer = await browser.send("POST", "/session", data={"csrfToken": token, "data": {}})
            assert answer.body == b"{}"
        else:
            assert (await browser.load()).code == "session_ended"
        assert SESSION not in browser.jar


async def test_a_sign_in_that_outlives_a_sign_out_of_the_old_session_is_its_own() -> None:
    async with running_site() as site:
        browser = site.browser()
        await browser.sign_in()
        pairs = await begin(browser, site.op)
        await browser.post("/signout")
        answer = await finish(browser, pairs)
        assert header_of(answer, "location") == ORIGIN
        assert (await browser.load()).session.user_id == "op|248289"


async def test_an_end_that_cannot_be_kept_starts_no_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = make_auth()
    browser = Browser(auth)
    await browser.sign_in("ada")
    kept = browser.jar[SESSION]

    async def down(_: object) -> None:
        raise StoreUnavailable("revocations", "down")

    monkeypatch.setattr(auth._stores.revocations, "append", down)
    assert (await browser.sign_in("grace")).status == 503
    assert browser.jar[SESSION] == kept
