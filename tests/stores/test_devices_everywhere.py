"""Where somebody is signed in, and how they end it, at every place where a session can live (SES-09, SES-10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from sojourn import ConfigError, Device, StoreUnavailable
from sojourn.events import SessionEnded, SessionsEnded
from tests.devices_page import delete, ids, listed, signed_out
from tests.servers.valkey import a_server
from tests.stores.places import Place, Running
from tests.stores.test_every_place import at, cluster, place, there, urls
from tests.support import SESSION, Browser, body_of, header_of, set_cookies_of

__all__ = ["cluster", "place", "there", "urls"]

ROUNDS = 100


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with a_server() as url:
        yield url


@pytest.fixture
async def redis(server: str) -> str:
    """An empty one: where nothing keeps users, everybody's Ada is the same."""
    async with Redis.from_url(server) as client:
        await client.flushdb()
    return server


def has_a_list(place: Place) -> bool:
    return place.strategy == "database" or place.database in {"sqlite", "postgresql"} or place.redis is not None


async def signed_in(there: Running, *agents: str, name: str = "ada") -> Sequence[Browser]:
    """One process, and one browser after the other in front of it."""
    auth = await there.process()
    browsers = []
    for agent in agents:
        browser = Browser(auth, client="192.0.2.7")
        form = {"csrfToken": await browser.csrf(), "json": "true", "username": name, "password": "right"}
        answer = await browser.send("POST", "/callback/credentials", form=form, headers={"user-agent": agent})
        assert answer.status == 200, answer
        browsers.append(browser)
        there.clock.advance(1)
    return browsers


async def sid_of(browser: Browser) -> str:
    sid: str = (await browser.load()).session.sid
    return sid


@at(has_a_list)
async def test_the_list_says_where_somebody_is_signed_in(there: Running) -> None:
    began_at = there.clock()
    phone, laptop = await signed_in(there, "Phone\x1b\u202e 1", "Laptop " + "x" * 500)
    newest, oldest = await listed(laptop)
    assert (newest["id"], newest["current"]) == (await sid_of(laptop), True)
    assert newest["user_agent"] == ("Laptop " + "x" * 500)[:400]
    assert oldest == {
        "id": await sid_of(phone),
        "current": False,
        "created_at": "2023-11-14T22:13:20Z" if began_at == 1_700_000_000 else oldest["created_at"],
        "last_seen_at": oldest["created_at"],
        "expires_at": oldest["expires_at"],
        "provider": "credentials",
        "client": "192.0.2.7",
        "user_agent": "Phone 1",
    }
    assert oldest["expires_at"] > oldest["created_at"]
    assert [row["current"] for row in await listed(phone)] == [False, True]
    answer = await phone.send("GET", "/sessions")
    assert header_of(answer, "cache-control") == "private, no-store"
    assert not any(secret in answer.body.decode() for secret in (phone.jar[SESSION], "secret_hash", "claims"))


@at(has_a_list)
async def test_one_browser_ends_another(there: Running) -> None:
    phone, laptop = await signed_in(there, "Phone", "Laptop")
    gone = await sid_of(phone)
    answer = await delete(laptop, f"/{gone}")
    assert (answer.status, answer.body, set_cookies_of(answer)) == (204, b"", [])
    assert header_of(answer, "cache-control") == "private, no-store"
    assert await ids(laptop) == {await sid_of(laptop)}
    assert await signed_out(phone)
    assert (await phone.send("GET", "/sessions")).status == 401
    user_id = (await laptop.load()).session.user_id
    ended = [(event.sid, event.user_id, event.reason) for event in there.events if isinstance(event, SessionEnded)]
    assert ended == [(gone, user_id, "revoked")]
    again = await delete(laptop, f"/{gone}")
    assert (again.status, body_of(again)["code"]) == (404, "session_unknown")


@at(has_a_list)
async def test_ending_ones_own_clears_its_cookie(there: Running) -> None:
    phone, laptop = await signed_in(there, "Phone", "Laptop")
    copied = laptop.jar[SESSION]
    answer = await delete(laptop, f"/{await sid_of(laptop)}")
    assert answer.status == 204
    assert SESSION not in laptop.jar
    laptop.jar[SESSION] = copied
    assert await signed_out(laptop)
    assert await ids(phone) == {await sid_of(phone)}


@at(has_a_list)
async def test_all_others_end(there: Running) -> None:
    phone, tablet, laptop = await signed_in(there, "Phone", "Tablet", "Laptop")
    answer = await delete(laptop)
    assert (answer.status, body_of(answer), set_cookies_of(answer)) == (200, {"ended": 2}, [])
    assert await ids(laptop) == {await sid_of(laptop)}
    assert await signed_out(phone)
    assert await signed_out(tablet)
    assert body_of(await delete(laptop)) == {"ended": 0}
    assert len([event for event in there.events if isinstance(event, SessionEnded)]) == 2
    assert not any(isinstance(event, SessionsEnded) for event in there.events)


@at(has_a_list)
async def test_all_end_and_whoever_signs_in_again_is_in(there: Running) -> None:
    phone, laptop = await signed_in(there, "Phone", "Laptop")
    user_id = (await laptop.load()).session.user_id
    copied = laptop.jar[SESSION]
    answer = await delete(laptop, "?all=true")
    assert (answer.status, body_of(answer)) == (200, {"ended": 2})
    assert SESSION not in laptop.jar
    laptop.jar[SESSION] = copied
    assert await signed_out(laptop)
    assert await signed_out(phone)
    told = [event for event in there.events if isinstance(event, SessionsEnded)]
    assert [(event.user_id, event.reason) for event in told] == [(user_id, "revoked")]
    await laptop.sign_in()  # in the same second
    there.clock.advance(1)
    assert await ids(laptop) == {await sid_of(laptop)}


@at(has_a_list)
async def test_a_foreign_session_is_not_there_and_lives_on(there: Running) -> None:
    (ada,) = await signed_in(there, "Ada's")
    grace = Browser(ada.auth)
    await grace.sign_in("grace")
    foreign = await delete(ada, f"/{await sid_of(grace)}")
    made_up = await delete(ada, "/01920b7c-5e10-7c11-9d52-6f1e0a3c5b2d")
    odd = await delete(ada, "/' or 1=1 --\x00\ud800")
    assert foreign.status == made_up.status == odd.status == 404
    assert foreign.body == made_up.body == odd.body
    assert body_of(await delete(ada, "?all=true")) == {"ended": 1}
    assert await ids(grace) == {await sid_of(grace)}


@at(has_a_list)
async def test_whoever_was_here_before_signing_in_leaves_the_list(there: Running) -> None:
    (laptop,) = await signed_in(there, "Laptop")
    await laptop.sign_in()
    there.clock.advance(1)
    assert await ids(laptop) == {await sid_of(laptop)}
    await laptop.post("/signout")
    await laptop.sign_in()
    there.clock.advance(1)
    assert len(await ids(laptop)) == 1


@at(has_a_list)
async def test_an_application_lists_and_ends_without_a_request(there: Running) -> None:
    browsers = await signed_in(there, "One", "Two", "Three")
    auth = browsers[0].auth
    user_id = (await browsers[0].load()).session.user_id
    devices = await auth.sessions(user_id)
    assert [type(device) for device in devices] == [Device] * 3
    assert [device.user_agent for device in devices] == ["Three", "Two", "One"]
    assert await auth.end_session(devices[0].sid)
    assert await auth.end_sessions(user_id, devices[1].sid, reason="password_changed") == 1
    assert [device.sid for device in await auth.sessions(user_id)] == [devices[1].sid]
    assert await auth.end_sessions(user_id, reason="password_changed") == 1
    assert [await signed_out(browser) for browser in browsers] == [True] * 3
    reasons = [event.reason for event in there.events if isinstance(event, SessionEnded)]
    assert reasons == ["revoked", "password_changed", "password_changed"]
    assert await auth.sessions("nobody") == []


@at(lambda place: not has_a_list(place))
async def test_without_a_lasting_store_there_is_no_list_and_all_can_still_end(there: Running) -> None:
    (laptop,) = await signed_in(there, "Laptop")
    for answer in (
        await laptop.send("GET", "/sessions"),
        await delete(laptop),
        await delete(laptop, f"/{await sid_of(laptop)}"),
    ):
        assert (answer.status, body_of(answer)["code"]) == (404, "not_available")
    auth, session = laptop.auth, (await laptop.load()).session
    for asked in (auth.sessions(session.user_id), auth.end_sessions(session.user_id, "another")):
        with pytest.raises(ConfigError, match="lasting"):
            await asked
    assert not await signed_out(laptop)
    assert await auth.end_sessions(session.user_id) == 0
    assert await signed_out(laptop)


@at(has_a_list)
async def test_what_ended_while_it_was_extended_stays_ended(there: Running) -> None:
    (laptop,) = await signed_in(there, "Laptop")
    auth = laptop.auth
    kinds: dict[int, Any] = {
        0: lambda sid, user_id: delete(laptop, f"/{sid}"),
        1: lambda sid, user_id: auth.end_session(sid),
        2: lambda sid, user_id: auth.end_sessions(user_id),
        3: lambda sid, user_id: auth.end_sessions(user_id, "another"),
    }
    revived = 0
    for number in range(ROUNDS):
        laptop.jar.pop(SESSION, None)
        await laptop.sign_in()
        there.clock.advance(1)
        session = (await laptop.load()).session
        old = laptop.jar[SESSION]
        token = await laptop.csrf()
        there.clock.advance("2h")  # so that every check wants to extend
        others = [Browser(auth) for _ in range(4)]
        for other in others:
            other.jar = dict(laptop.jar)
        update = {"csrfToken": token, "data": {"name": "x"}}
        work = [other.load() for other in others[:2]] + [others[2].send("POST", "/session", data=update)]
        work.insert(number % 4, kinds[number // 4 % 4](session.sid, session.user_id))
        work.append(others[3].send("GET", "/session"))
        await asyncio.gather(*work)
        for cookie in {old, *(other.jar.get(SESSION, old) for other in others)}:
            laptop.jar[SESSION] = cookie
            revived += not await signed_out(laptop)
    assert revived == 0


@at(has_a_list)
@pytest.mark.parametrize("path", ["", "?all=true", "/SID"])
async def test_while_the_store_is_down_nothing_ends(there: Running, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    phone, laptop = await signed_in(there, "Phone", "Laptop")
    path = path.replace("SID", await sid_of(phone))
    stores: Any = laptop.auth._stores
    ends = ("delete", "delete_for_user") if there.place.strategy == "database" else ("append",)

    async def down(*arguments: Any, **named: Any) -> Any:
        raise StoreUnavailable("it", "it is down")

    with monkeypatch.context() as broken:
        for name in ends:
            broken.setattr(stores.revocations if name == "append" else stores.sessions, name, down)
        answer = await delete(laptop, path)
        assert (answer.status, body_of(answer)["code"]) == (503, "unavailable")
        assert header_of(answer, "retry-after") is not None
        assert set_cookies_of(answer) == []
    assert await ids(laptop) == await ids(phone) == {await sid_of(laptop), await sid_of(phone)}
    assert not any(isinstance(event, SessionEnded | SessionsEnded) for event in there.events)
    assert (await delete(laptop, path)).status in {200, 204}
    assert await signed_out(phone)
