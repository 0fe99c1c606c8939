"""One database for npm `@auth/pg-adapter` and for Sojourn: users, accounts and sessions cross, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from time import time
from typing import Any

import pytest

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.ports import SessionChange, SessionRecord
from sojourn.stores.authjs import AuthJSDatabase
from sojourn.stores.authjs_sessions import sid_of
from tests.node.real_parts import TokenPackages, Workshop, running
from tests.servers.postgres import Postgres, a_server
from tests.stores import authjs_ddl

pytestmark = pytest.mark.browser

MAX_AGE = 3600
TOKEN = "g-NvXdLJ8e0GJr2bq2b0H5iG2p0c9mPpTjY1RrXq5Zk"
UUID = "9f3c0f6e-2f0a-4c44-9d1b-0d8a7a0a0c11"
COOKIE = "authjs.session-token"
NOW = int(time())  # Auth.js knows no clock but the machine's


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with a_server() as server:
        yield server


@pytest.fixture(scope="module")
def node(workshop: Workshop) -> Iterator[TokenPackages]:
    command = [workshop.node, workshop.script("pg-adapter.mjs")]
    with running(command, workshop.folder / "pg-adapter.log") as process:
        yield TokenPackages(process)


@pytest.fixture(params=["serial", "uuid"])
async def url(request: pytest.FixtureRequest, postgres: Postgres, node: TokenPackages) -> AsyncIterator[str]:
    name = await asyncio.to_thread(postgres.make_database)
    url = postgres.url(name)
    await authjs_ddl.run(url, authjs_ddl.LAYOUTS[request.param])
    yield url
    node.call("close", url=url)
    await asyncio.to_thread(postgres.drop_database, name)


@pytest.fixture
async def ours(url: str) -> AsyncIterator[AuthJSDatabase]:
    database = AuthJSDatabase(url, max_age=MAX_AGE, clock=lambda: NOW)
    await database.connect()
    yield database
    await database.aclose()


class Theirs:
    """The adapter's methods on one database."""

    def __init__(self, node: TokenPackages, url: str) -> None:
        self._node = node
        self._url = url

    def call(self, method: str, *args: Any) -> Any:
        return self._node.call(method, url=self._url, args=list(args))

    def session(self, token: str, **ages: int) -> Any:
        """What a whole Auth.js answers to `GET /session`."""
        ages = {"maxAge": MAX_AGE, "updateAge": 600, **ages}
        return self._node.call("answer", url=self._url, action="session", cookie=f"{COOKIE}={token}", **ages)


@pytest.fixture
def theirs(node: TokenPackages, url: str) -> Theirs:
    return Theirs(node, url)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def begun(user: User, expires_at: int) -> SessionRecord:
    return SessionRecord(sid_of(TOKEN), user.id, b"", b"", NOW, NOW, expires_at, expires_at)


def until(expires_at: int) -> SessionChange:
    return SessionChange(claims=b"", issued_at=NOW, expires_at=expires_at, forget_after=expires_at)


async def test_what_the_adapter_makes_is_found_here(theirs: Theirs, ours: AuthJSDatabase) -> None:
    profile = {"name": "Ada", "email": "ada@example.com", "image": "https://img.example/a.png"}
    made = theirs.call("createUser", {**profile, "emailVerified": iso(NOW + 0.789)})
    theirs.call(
        "linkAccount",
        {
            "userId": made["id"],
            "type": "oauth",
            "provider": "github",
            "providerAccountId": "7",
            "scope": "read:user",
            "access_token": "gho_…",
            "expires_at": NOW + 60,
        },
    )
    theirs.call("createSession", {"sessionToken": UUID, "userId": made["id"], "expires": iso(NOW + MAX_AGE + 0.789)})
    ada = await ours.users.get(str(made["id"]))
    assert ada == User(
        id=str(made["id"]), name="Ada", email="ada@example.com", email_verified_at=NOW, image=profile["image"]
    )
    assert await ours.users.get_by_email("ada@example.com") == ada
    assert await ours.users.get_by_account("github", "7") == ada
    assert list(await ours.users.list_accounts(ada.id)) == [
        Account(provider="github", provider_account_id="7", type="oauth", user_id=ada.id, scope="read:user")
    ]
    found = await ours.sessions.find(UUID)
    assert found is not None
    record, user = found
    assert user == ada
    assert (record.sid, record.user_id) == (sid_of(UUID), ada.id)
    assert (record.issued_at, record.expires_at) == (NOW, NOW + MAX_AGE)
    assert [each.sid for each in await ours.sessions.list_for_user(ada.id)] == [sid_of(UUID)]


async def test_what_is_made_here_the_adapter_finds(theirs: Theirs, ours: AuthJSDatabase) -> None:
    ada = await ours.users.create(
        User(id="x", name="Ada", email="ada@example.com", email_verified_at=NOW, image="https://img.example/a.png"),
        Account(provider="github", provider_account_id="7", scope="read:user"),
    )
    await ours.users.link(Account(provider="op", provider_account_id="1", type="oidc", user_id=ada.id))
    await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))
    by_email = theirs.call("getUserByEmail", "ada@example.com")
    assert {**by_email, "id": str(by_email["id"])} == {
        "id": ada.id,
        "name": "Ada",
        "email": "ada@example.com",
        "emailVerified": iso(NOW),
        "image": "https://img.example/a.png",
    }
    assert theirs.call("getUser", by_email["id"]) == by_email
    for provider, account_id in (("github", "7"), ("op", "1")):
        assert theirs.call("getUserByAccount", {"provider": provider, "providerAccountId": account_id}) == by_email
    both = theirs.call("getSessionAndUser", TOKEN)
    assert both["user"] == by_email
    assert both["session"]["expires"] == iso(NOW + MAX_AGE)
    assert both["session"]["userId"] == by_email["id"]
    answer = theirs.session(TOKEN)
    assert answer["body"]["user"] == {
        "name": "Ada",
        "email": "ada@example.com",
        "image": "https://img.example/a.png",
    }


async def test_what_one_side_ends_is_dead_on_the_other(theirs: Theirs, ours: AuthJSDatabase) -> None:
    ada = await ours.users.create(User(id="x", email="ada@example.com"))
    end_here = (
        lambda: ours.sessions.delete_token(TOKEN),
        lambda: ours.sessions.delete(sid_of(TOKEN)),
        lambda: ours.sessions.delete_for_user(ada.id),
    )
    for end in end_here:
        await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))
        assert theirs.call("getSessionAndUser", TOKEN) is not None
        await end()
        assert theirs.call("getSessionAndUser", TOKEN) is None
        assert theirs.session(TOKEN)["body"] is None
        assert theirs.call("updateSession", {"sessionToken": TOKEN, "expires": iso(NOW + 9)}) is None
        assert await ours.sessions.find(TOKEN) is None
    await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))
    found = await ours.sessions.find(TOKEN)
    assert found is not None
    theirs.call("deleteSession", TOKEN)
    assert await ours.sessions.find(TOKEN) is None
    with pytest.raises(Conflict, match="session"):
        await ours.sessions.replace_token(TOKEN, until(NOW + 9), expected_version=found[0].version)
    assert theirs.call("getSessionAndUser", TOKEN) is None


async def test_a_user_deleted_there_has_no_session_here(theirs: Theirs, ours: AuthJSDatabase) -> None:
    ada = await ours.users.create(User(id="x"), Account(provider="op", provider_account_id="1"))
    await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))
    theirs.call("deleteUser", ada.id)
    assert await ours.sessions.find(TOKEN) is None
    assert await ours.users.get(ada.id) is None
    assert await ours.users.get_by_account("op", "1") is None
    with pytest.raises(Conflict, match="user"):
        await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))


async def test_what_one_side_extends_the_other_sees(theirs: Theirs, ours: AuthJSDatabase) -> None:
    ada = await ours.users.create(User(id="x"))
    await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE))
    before = await ours.sessions.find(TOKEN)
    assert before is not None
    theirs.call("updateSession", {"sessionToken": TOKEN, "expires": iso(NOW + MAX_AGE + 100.5)})
    after = await ours.sessions.find(TOKEN)
    assert after is not None
    assert after[0].expires_at == NOW + MAX_AGE + 100
    assert after[0].version > before[0].version
    with pytest.raises(Conflict, match="session"):
        await ours.sessions.replace_token(TOKEN, until(NOW + MAX_AGE), expected_version=before[0].version)
    await ours.sessions.replace_token(TOKEN, until(NOW + MAX_AGE + 200), expected_version=after[0].version)
    assert theirs.call("getSessionAndUser", TOKEN)["session"]["expires"] == iso(NOW + MAX_AGE + 200)


async def test_a_whole_authjs_extends_and_forgets_our_sessions_as_its_own(theirs: Theirs, ours: AuthJSDatabase) -> None:
    ada = await ours.users.create(User(id="x", name="Ada"))
    # Two thirds of its life are over, more than update_age: there it is extended at the first look.
    await ours.sessions.insert_token(TOKEN, begun(ada, NOW + MAX_AGE // 3))
    answer = theirs.session(TOKEN)
    assert answer["body"]["user"]["name"] == "Ada"
    assert any(line.startswith(f"{COOKIE}={TOKEN};") for line in answer["cookies"])
    found = await ours.sessions.find(TOKEN)
    assert found is not None
    assert NOW + MAX_AGE <= found[0].expires_at <= int(time()) + MAX_AGE
    # Past its end it goes there at the first look, and then it is gone here, too.
    await ours.sessions.replace_token(TOKEN, until(NOW - 1), expected_version=found[0].version)
    assert await ours.sessions.find(TOKEN) is not None
    assert theirs.session(TOKEN)["body"] is None
    assert await ours.sessions.find(TOKEN) is None


async def test_with_the_advised_indexes_first_sign_ins_on_both_sides_make_one_user(
    theirs: Theirs, ours: AuthJSDatabase, url: str
) -> None:
    await authjs_ddl.run(url, authjs_ddl.INDEXES)
    for number in range(20):
        email = f"{number}@example.com"
        here = asyncio.create_task(
            ours.users.create(User(id="x", email=email), Account(provider="op", provider_account_id=str(number)))
        )
        there = asyncio.create_task(asyncio.to_thread(theirs.call, "createUser", {"email": email}))
        won = [not isinstance(told, Exception) for told in await asyncio.gather(here, there, return_exceptions=True)]
        assert won.count(True) == 1
        assert isinstance(here.exception(), Conflict | None)
        assert len(await authjs_ddl.rows(url, "SELECT FROM users WHERE email = $1", email)) == 1
    linked = await authjs_ddl.rows(url, 'SELECT FROM accounts WHERE "userId" NOT IN (SELECT id FROM users)')
    assert linked == []
