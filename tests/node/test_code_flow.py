"""The whole authorization code flow against the certified provider, over real sockets, redirects followed by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from starlette.applications import Starlette

from sojourn.events import Event, SignInFailed
from tests.node.real_parts import CertifiedProvider, serving
from tests.node.site import client_of, make_app, make_auth, rows
from tests.node.visitor import Visitor

pytestmark = pytest.mark.browser

METHODS = ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"]


@dataclass(frozen=True)
class Place:
    """A running site, its database and what happened in it."""

    url: str
    database: Path
    events: list[Event]


@pytest.fixture
def place(request: pytest.FixtureRequest, op: CertifiedProvider, tmp_path: Path) -> Iterator[Place]:
    method = getattr(request, "param", "client_secret_basic")
    database = tmp_path / "site.db"
    events: list[Event] = []

    def build(url: str) -> Starlette:
        return make_app(make_auth(url, [client_of(op, url, method)], database=database, on_event=events.append))

    with serving(build) as url:
        yield Place(url=url, database=database, events=events)


@pytest.fixture
async def ada(place: Place) -> AsyncIterator[Visitor]:
    visitor = Visitor(place.url)
    yield visitor
    await visitor.aclose()


@pytest.mark.parametrize("place", METHODS, indirect=True)
async def test_sign_in_show_the_session_and_sign_out(place: Place, ada: Visitor) -> None:
    assert (await ada.http.get(f"{place.url}/me")).status_code == 401
    answer = await ada.sign_in("op", "ada", callbackUrl="/page?welcome=1")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{place.url}/page?welcome=1"

    session = await ada.session()
    assert session["user"] == {"name": "Ada", "email": "ada@op.example", "image": None}
    me = (await ada.http.get(f"{place.url}/me")).json()
    assert rows(place.database, "select id, name, email from users") == [(me["id"], "Ada", "ada@op.example")]
    assert rows(place.database, "select provider, provider_account_id, user_id from accounts") == [
        ("op", "ada", me["id"])
    ]

    old_cookie = ada.session_cookie()
    assert old_cookie is not None
    left = await ada.post("signout", callbackUrl="/page?bye=1")
    assert left.headers["location"] == f"{place.url}/page?bye=1"
    assert ada.session_cookie() is None
    assert await ada.session() == {}
    revived = await ada.http.get(f"{place.url}/me", headers={"Cookie": f"next-auth.session-token={old_cookie}"})
    assert revived.status_code == 401


async def test_a_second_sign_in_reuses_the_user_and_moves_the_last_login(place: Place, ada: Visitor) -> None:
    await ada.sign_in("op", "ada")
    [(first_id, _)] = rows(place.database, "select id, last_login_at from users")
    # What was stored is moved into the past instead of waiting for the clock.
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("update users set last_login_at = last_login_at - 100")
        connection.commit()
    [(_, before)] = rows(place.database, "select id, last_login_at from users")
    await ada.post("signout")
    await ada.sign_in("op", "ada")
    [(second_id, after)] = rows(place.database, "select id, last_login_at from users")
    assert second_id == first_id
    assert after >= before + 100


async def test_a_replayed_callback_is_refused_while_the_session_stands(place: Place, ada: Visitor) -> None:
    callback = await ada.reach_callback("op", "ada")
    kept = {cookie.name: cookie.value or "" for cookie in ada.http.cookies.jar if cookie.path == "/"}
    await ada.http.get(callback)
    me = (await ada.http.get(f"{place.url}/me")).json()

    without_its_cookie = await ada.http.get(callback)
    assert without_its_cookie.headers["location"] == f"{ada.base}/error?error=OAuthCallback"
    token = ada.session_cookie()
    everything = "; ".join(f"{name}={value}" for name, value in {**kept, "next-auth.session-token": token}.items())
    with_its_cookie = await ada.http.get(callback, headers={"Cookie": everything})
    assert with_its_cookie.headers["location"] == f"{ada.base}/error?error=OAuthCallback"

    # The provider would refuse a used code too; here nobody asks it.
    steps = [event.step for event in place.events if isinstance(event, SignInFailed)]
    assert steps == ["transaction_missing", "transaction_spent"]
    for answer in (without_its_cookie, with_its_cookie):
        assert not any("session-token" in line for line in answer.headers.get_list("set-cookie"))
    assert (await ada.http.get(f"{place.url}/me")).json() == me


async def test_two_first_sign_ins_at_the_same_moment_make_one_user(place: Place) -> None:
    visitors = [Visitor(place.url) for _ in range(4)]
    callbacks = [await visitor.reach_callback("op", "grace") for visitor in visitors]
    async with anyio.create_task_group() as group:
        for visitor, callback in zip(visitors, callbacks, strict=True):
            group.start_soon(visitor.http.get, callback)
    ids = {(await visitor.http.get(f"{place.url}/me")).json()["id"] for visitor in visitors}
    assert len(ids) == 1
    assert rows(place.database, "select count(*) from users") == [(1,)]
    for visitor in visitors:
        await visitor.aclose()


async def test_somebody_who_turns_back_at_the_provider_learns_so(place: Place, ada: Visitor) -> None:
    answer = await ada.sign_in("op", "")
    assert answer.headers["location"] == f"{ada.base}/error?error=Callback"
    assert await ada.session() == {}


async def test_a_hint_reaches_the_provider_and_nothing_else_does(place: Place, ada: Visitor) -> None:
    answer = await ada.start("op", query="?login_hint=ada&client_id=evil&redirect_uri=https%3A%2F%2Fevil.example")
    location = answer.headers["location"]
    assert "login_hint=ada" in location
    assert "evil" not in location


async def test_an_es256_id_token_is_verified(op: CertifiedProvider, tmp_path: Path) -> None:
    def build(url: str) -> Starlette:
        return make_app(make_auth(url, [client_of(op, url, algorithm="ES256")]))

    with serving(build) as url:
        visitor = Visitor(url)
        await visitor.sign_in("op", "ada")
        assert (await visitor.session())["user"]["name"] == "Ada"
        await visitor.aclose()
