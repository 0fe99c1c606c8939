"""`/sessions` over HTTP: what is refused, and that nothing ends then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from sojourn import Auth, SessionPolicy, StoreUnavailable
from sojourn.events import Event, SessionEnded
from sojourn.ports import Revocation
from sojourn.testing import DrivenClock
from tests.devices_page import delete, ids, signed_out
from tests.support import ORIGIN, SESSION, Browser, body_of, header_of, make_auth, set_cookies_of

CSRF = "next-auth.csrf-token"


class Site:
    """An application that lists sessions, and two browsers of Ada's."""

    def __init__(self, auth: Auth[Any], clock: DrivenClock, events: list[Event]) -> None:
        self.auth = auth
        self.clock = clock
        self.events = events
        self.phone = Browser(auth)
        self.laptop = Browser(auth)

    async def sign_in(self) -> None:
        for browser in (self.phone, self.laptop):
            await browser.sign_in()
            self.clock.advance(1)

    async def sid(self, browser: Browser) -> str:
        sid: str = (await browser.load()).session.sid
        return sid

    def told(self) -> list[Event]:
        return [event for event in self.events if isinstance(event, SessionEnded)]


@pytest.fixture(params=["jwt", "database"])
async def site(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Site]:
    clock, events = DrivenClock(), []  # type: ignore[var-annotated]
    policy = SessionPolicy(strategy=request.param)
    auth = make_auth(clock, events, database=f"sqlite:///{tmp_path / 'sojourn.db'}", session=policy)
    await auth.start()
    site = Site(auth, clock, events)
    await site.sign_in()
    yield site
    await auth.aclose()


async def test_nobody_has_no_sessions(site: Site) -> None:
    nobody = Browser(site.auth)
    for answer in (
        await nobody.send("GET", "/sessions"),
        await delete(nobody),
        await delete(nobody, "?all=true"),
        await delete(nobody, f"/{await site.sid(site.phone)}"),
    ):
        assert (answer.status, body_of(answer)["code"]) == (401, "session_missing")
        assert header_of(answer, "www-authenticate") is not None
        assert header_of(answer, "cache-control") == "private, no-store"
    assert len(await ids(site.laptop)) == 2


async def test_a_cookie_that_ended_is_nobody(site: Site) -> None:
    copied = site.phone.jar[SESSION]
    await delete(site.laptop)
    answer = await delete(site.phone, "?all=true")
    assert answer.status == 401
    assert SESSION not in site.phone.jar
    site.phone.jar[SESSION] = copied[:-1]
    assert (await delete(site.phone, "?all=true")).status == 401
    assert len(await ids(site.laptop)) == 1


REFUSED: dict[str, Mapping[str, str]] = {
    "no token": {"x-csrf-token": ""},
    "somebody else's token": {"x-csrf-token": "0" * 64},
    "another site": {"origin": "https://evil.example"},
    "no origin that can be told": {"origin": "null"},
    "another port": {"origin": "http://127.0.0.1:8001"},
    "cross-site": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8001"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
async def test_what_its_own_page_did_not_send_ends_nothing(site: Site, headers: Mapping[str, str]) -> None:
    for path in ("", "?all=true", f"/{await site.sid(site.phone)}", f"/{await site.sid(site.laptop)}"):
        answer = await delete(site.laptop, path, headers)
        assert (answer.status, body_of(answer)["code"]) == (403, "csrf")
        assert set_cookies_of(answer) == []
    assert len(await ids(site.laptop)) == 2
    assert site.told() == []


async def test_the_token_counts_with_its_cookie_and_in_the_header_alone(site: Site) -> None:
    token = await site.laptop.csrf()
    form = {"csrfToken": token}
    assert (await site.laptop.send("DELETE", "/sessions", form=form)).status == 403
    assert (await site.laptop.send("DELETE", f"/sessions?csrfToken={token}")).status == 403
    pair = site.laptop.jar.pop(CSRF)
    assert (await site.laptop.send("DELETE", "/sessions", headers={"x-csrf-token": token})).status == 403
    site.laptop.jar[CSRF] = pair
    assert len(await ids(site.laptop)) == 2
    # No browser's word on where it comes from: an API client, which the token alone lets in.
    assert (await site.laptop.send("DELETE", "/sessions", headers={"x-csrf-token": token})).status == 200


async def test_an_override_of_the_method_is_none(site: Site) -> None:
    fields = {"_method": "DELETE"}
    answer = await site.laptop.send(
        "POST", "/sessions?_method=DELETE", form=fields, headers={"x-http-method-override": "DELETE"}
    )
    assert answer.status == 400
    await site.laptop.send("GET", "/sessions?all=true&_method=DELETE")
    assert len(await ids(site.laptop)) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sessions"),
        ("PUT", "/sessions"),
        ("HEAD", "/sessions"),
        ("PATCH", "/sessions/1"),
        ("GET", "/sessions/1"),
        ("GET", "/sessions/"),
        ("DELETE", "/sessions/"),
        ("DELETE", "/sessions//"),
        ("DELETE", "/sessions/1/"),
        ("DELETE", "/sessions/1/2"),
    ],
)
async def test_everything_else_is_no_route(site: Site, method: str, path: str) -> None:
    headers = {"x-csrf-token": await site.laptop.csrf()}
    answer = await site.laptop.send(method, path, headers=headers)
    assert answer.status == 400
    assert f"This action with HTTP {method} is not supported" in answer.body.decode()
    assert len(await ids(site.laptop)) == 2


@pytest.mark.parametrize("odd", ["", "1", "True", "yes", "TRUE", "%00"])
async def test_all_is_true_or_not_there(site: Site, odd: str) -> None:
    answer = await delete(site.laptop, f"?all={odd}")
    assert (answer.status, body_of(answer)["code"]) == (400, "invalid_query")
    assert len(await ids(site.laptop)) == 2


async def test_all_false_means_the_others(site: Site) -> None:
    assert body_of(await delete(site.laptop, "?all=false")) == {"ended": 1}
    assert not await signed_out(site.laptop)


async def test_a_due_session_is_extended_and_keeps_its_cookie(site: Site) -> None:
    site.clock.advance("2h")
    answer = await delete(site.laptop)
    assert [text.partition("=")[0] for text in set_cookies_of(answer)] == [SESSION]
    assert not await signed_out(site.laptop)
    site.clock.advance("2h")
    assert len(set_cookies_of(await site.laptop.send("GET", "/sessions"))) == 1
    site.clock.advance("2h")
    gone = await delete(site.laptop, "?all=true")
    assert [text for text in set_cookies_of(gone) if "Max-Age=0" not in text] == []
    assert SESSION not in site.laptop.jar


async def test_what_expired_is_not_listed(site: Site) -> None:
    for _ in range(29):
        site.clock.advance("1d")
        site.laptop.jar.pop(SESSION)
        await site.laptop.sign_in()
    fresh = await ids(site.laptop)
    assert await site.sid(site.laptop) in fresh
    if site.auth.config.session.strategy == "database":
        assert len(fresh) == 1
        return
    assert len(fresh) == 31  # a token's own end is nobody's to know but its holder's
    site.clock.advance("2d")
    await site.laptop.sign_in()
    assert len(await ids(site.laptop)) == 29


@pytest.mark.parametrize("path", ["", "?all=true", "/SID"])
async def test_a_store_that_is_down_ends_nothing(site: Site, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stores: Any = site.auth._stores
    wanted = path.replace("SID", await site.sid(site.phone))
    jars = dict(site.phone.jar), dict(site.laptop.jar)

    async def down(*arguments: Any, **named: Any) -> Any:
        raise StoreUnavailable("database", "it is down")

    # Whichever it is that fails: looking, writing down the end, deleting the record.
    for store, names in (
        (stores.sessions, ("get", "list_for_user", "delete", "delete_for_user")),
        (stores.revocations, ("append",)),
    ):
        with monkeypatch.context() as broken:
            for name in names:
                broken.setattr(store, name, down)
            if store is stores.revocations and site.auth.config.session.strategy == "database":
                continue  # no log is asked
            answer = await delete(site.laptop, wanted)
        assert (answer.status, body_of(answer)["code"]) == (503, "unavailable")
        assert header_of(answer, "retry-after") is not None
        assert (site.phone.jar[SESSION], site.laptop.jar[SESSION]) == (jars[0][SESSION], jars[1][SESSION])
        assert site.told() == []
        assert len(await ids(site.laptop)) == len(await ids(site.phone)) == 2
    with monkeypatch.context() as broken:
        broken.setattr(stores.sessions, "list_for_user", down)
        assert (await site.laptop.send("GET", "/sessions")).status == 503


async def test_a_list_that_cannot_be_written_is_a_sign_in_that_failed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: Any = site.auth._stores

    async def down(*arguments: Any) -> Any:
        raise StoreUnavailable("database", "it is down")

    with monkeypatch.context() as broken:
        broken.setattr(stores.sessions, "insert", down)
        tablet = Browser(site.auth)
        answer = await tablet.sign_in()
        assert answer.status == 503
        assert SESSION not in tablet.jar
    assert len(await ids(site.laptop)) == 2


async def test_v5_has_its_own_word_for_no_route(tmp_path: Any) -> None:
    auth = make_auth(database=f"sqlite:///{tmp_path / 'sojourn.db'}", compat="authjs-v5")
    await auth.start()
    browser = Browser(auth)
    for method, path in (("POST", "/sessions"), ("DELETE", "/sessions/"), ("DELETE", "/sessions/1/2")):
        answer = await browser.send(method, path, headers={"origin": ORIGIN})
        assert (answer.status, body_of(answer)) == (400, "Bad request.")
    await browser.post("/callback/credentials", username="ada", password="right")
    assert body_of(await delete(browser)) == {"ended": 0}
    (own,) = await ids(browser)
    assert (await delete(browser, f"/{own}")).status == 204
    assert body_of(await browser.send("GET", "/session")) is None
    await auth.aclose()


async def test_a_cut_off_by_a_clock_ahead_is_no_crash(site: Site) -> None:
    if site.auth.config.session.strategy == "database":
        return  # no cut-offs there
    revoker: Any = site.auth._revoker
    user_id = (await site.laptop.load()).session.user_id
    ahead = Revocation(kind="user", subject=user_id, at=site.clock() + 5, forget_after=site.clock() + 9_999)
    revoker._ended.end(ahead)
    answer = await site.laptop.sign_in()
    assert (answer.status, body_of(answer)["code"]) == (503, "unavailable")
    site.clock.advance(6)
    assert (await site.laptop.sign_in()).status == 200
    assert not await signed_out(site.laptop)
