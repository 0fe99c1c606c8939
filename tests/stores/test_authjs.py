"""Users, accounts and our own tables beside those of Auth.js."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sojourn.errors import ConfigError, Conflict
from sojourn.models import Account, User
from sojourn.ports import CounterStore, OnceStore, RevocationLog, UserStore
from sojourn.stores.authjs import AuthJSDatabase, AuthJSUserStore
from sojourn.testing import (
    CounterStoreContract,
    DrivenClock,
    OnceStoreContract,
    RevocationLogContract,
    Rows,
    UserStoreContract,
)
from tests.stores import authjs_ddl
from tests.stores.authjs_fixtures import clock, database, layout, their_url

ADA = User(
    id="ignored",
    name="Ada",
    email="ada@example.com",
    email_verified_at=1_700_000_000,
    image="https://img.example/ada.png",
)
GITHUB = Account(provider="github", provider_account_id="7", scope="read:user")


__all__ = ["clock", "database", "layout", "their_url"]


@pytest.fixture
async def ours(empty_url: str, clock: DrivenClock) -> AsyncIterator[AuthJSDatabase]:
    await authjs_ddl.run(empty_url, authjs_ddl.OFFICIAL)
    database = AuthJSDatabase(empty_url, max_age=3600, clock=clock)
    await database.connect()
    yield database
    await database.aclose()


@pytest.fixture
def users(database: AuthJSDatabase) -> AuthJSUserStore:
    return database.users


@pytest.fixture
def counters(ours: AuthJSDatabase) -> CounterStore:
    return ours.counters


@pytest.fixture
def once(ours: AuthJSDatabase) -> OnceStore:
    return ours.once


@pytest.fixture
def log(ours: AuthJSDatabase) -> RevocationLog:
    return ours.revocations


@pytest.fixture
def rows(empty_url: str) -> Rows:
    tables = {
        "users": "SELECT id::text, name, email, image FROM users",
        "accounts": 'SELECT id, provider, "userId"::text AS user_id FROM accounts',
    }

    async def read(table: str) -> Sequence[Mapping[str, Any]]:
        query = tables.get(table) or f"SELECT * FROM sojourn.{table}"
        return await authjs_ddl.rows(empty_url, f"{query} ORDER BY 1")

    return read


async def conflict(attempt: Awaitable[object]) -> str | None:
    try:
        await attempt
    except Conflict as error:
        return error.what
    return None


class TestOurCounters(CounterStoreContract):
    pass


class TestOurOnce(OnceStoreContract):
    pass


class TestOurRevocations(RevocationLogContract):
    pass


class TestUsersWhoseIdsTheServerGives:
    """What of the contract needs no id, username, password, or time that their tables have no column for."""

    test_empty = UserStoreContract.test_nothing_is_found_in_an_empty_store
    test_nameless = UserStoreContract.test_many_users_may_lack_a_name_and_an_address
    test_first_sign_ins = UserStoreContract.test_first_sign_ins_at_once_make_one_user
    test_one_address = UserStoreContract.test_users_with_one_address_at_once_make_one_user


async def test_a_user_is_found_by_each_of_their_names(users: UserStore) -> None:
    ada = await users.create(ADA, GITHUB)
    bob = await users.create(User(id="b", email="bob@example.com"))
    assert ada == ADA.replace(id=ada.id)
    assert ada.id not in {bob.id, "ignored"}
    assert await users.get(ada.id) == ada
    assert await users.get_by_email("ada@example.com") == ada
    assert await users.get_by_account("github", "7") == ada
    assert await users.get_by_username("ada") is None
    (account,) = await users.list_accounts(ada.id)
    assert account == Account(provider="github", provider_account_id="7", user_id=ada.id, scope="read:user")
    assert await users.list_accounts(bob.id) == []


@pytest.mark.parametrize("layout", ["text", "bigint"])
async def test_ids_may_be_of_other_types(empty_url: str, layout: str) -> None:
    await authjs_ddl.run(empty_url, authjs_ddl.LAYOUTS[layout])
    database = AuthJSDatabase(empty_url, max_age=3600)
    ada = await database.users.create(ADA, GITHUB)
    await database.users.link(Account(provider="op", provider_account_id="1", user_id=ada.id))
    await database.users.update(ada.replace(name="A"))
    assert await database.users.get(ada.id) == ada.replace(name="A")
    assert [account.user_id for account in await database.users.list_accounts(ada.id)] == [ada.id] * 2
    assert await database.users.get(f"{ada.id}0") is None
    assert await database.users.get("9" * 19) is None
    await database.aclose()


async def test_what_has_no_column_is_dropped(users: UserStore) -> None:
    made = await users.create(User(id="a", username="ada", created_at=5, last_login_at=6))
    assert made == User(id=made.id)
    await users.record_login(made.id, 1_700_000_500)
    assert await users.get(made.id) == made


async def test_a_refused_user_leaves_nothing(users: UserStore, rows: Rows) -> None:
    await users.create(ADA, GITHUB)
    other = Account(provider="google", provider_account_id="9")
    bob = User(id="b", email="bob@example.com")
    assert await conflict(users.create(ADA, other)) == "email"
    assert await conflict(users.create(bob, GITHUB)) == "account"
    assert len(await rows("users")) == 1
    assert [account["provider"] for account in await rows("accounts")] == ["github"]
    made = await users.create(bob, other)
    assert await users.get_by_account("google", "9") == made


async def test_an_address_in_another_case_is_the_same_address(users: UserStore, their_url: str) -> None:
    """Providers tell addresses in any case, and Auth.js 4 writes them so."""
    await authjs_ddl.run(their_url, "INSERT INTO users (email, name) VALUES ('Ada@Example.COM', 'Ada')")
    found = await users.get_by_email("ada@example.com")
    assert found is not None
    assert found.email == "ada@example.com"
    assert await conflict(users.create(ADA)) == "email"
    await users.update(found.replace(name="Ada L."))
    (row,) = await authjs_ddl.rows(their_url, "SELECT name, email FROM users")
    assert row == {"name": "Ada L.", "email": "Ada@Example.COM"}


async def test_of_users_with_one_address_everybody_gets_the_same(users: UserStore, their_url: str) -> None:
    for _ in range(3):
        await authjs_ddl.run(
            their_url,
            "WITH made AS (INSERT INTO users (email) VALUES ('ada@example.com') RETURNING id) "
            'INSERT INTO accounts ("userId", type, provider, "providerAccountId") '
            "SELECT id, 'oauth', 'op', '1' FROM made",
        )
    first = (await authjs_ddl.rows(their_url, "SELECT id::text FROM users ORDER BY users.id LIMIT 1"))[0]["id"]
    by_email, by_account = await users.get_by_email("ada@example.com"), await users.get_by_account("op", "1")
    assert by_email is not None
    assert by_email == by_account
    assert by_email.id == first


async def test_names_are_cut_to_what_the_column_holds(empty_url: str, ours: AuthJSDatabase) -> None:
    await ours.users.create(User(id="a", name="n" * 300))
    assert (await authjs_ddl.rows(empty_url, "SELECT length(name) FROM users")) == [{"length": 255}]


async def test_an_account_has_one_owner_who_exists(users: UserStore, rows: Rows) -> None:
    ada = await users.create(ADA, GITHUB)
    bob = await users.create(User(id="b"))
    assert await conflict(users.link(Account(provider="github", provider_account_id="7", user_id=bob.id))) == "account"
    new = Account(provider="op", provider_account_id="1", type="oidc", user_id=ada.id)
    await users.link(new)
    assert await users.get_by_account("op", "1") == ada
    assert set(await users.list_accounts(ada.id)) >= {new}
    for nobody in ("nobody", "0", "99999", "018bcfe5-6800-7000-8000-000000000009", "\0"):
        stranger = Account(provider="op", provider_account_id="2", user_id=nobody)
        assert await conflict(users.link(stranger)) == "user"
    assert {account["user_id"] for account in await rows("accounts")} == {ada.id}


async def test_links_at_once_give_the_account_to_one(users: UserStore, rows: Rows) -> None:
    people = [await users.create(User(id="x")) for _ in range(20)]
    attempts = [users.link(Account(provider="github", provider_account_id="7", user_id=person.id)) for person in people]
    told = await asyncio.gather(*(conflict(attempt) for attempt in attempts))
    assert sorted(map(str, told)) == ["None", *["account"] * 19]
    assert len(await rows("accounts")) == 1


async def test_one_address_goes_to_one_of_many_updates(users: UserStore, rows: Rows) -> None:
    people = [await users.create(User(id="x")) for _ in range(20)]
    told = await asyncio.gather(*(conflict(users.update(one.replace(email="ada@example.com"))) for one in people))
    assert sorted(map(str, told)) == ["None", *["email"] * 19]
    assert [row["email"] for row in await rows("users")].count("ada@example.com") == 1


async def test_first_sign_ins_from_two_processes_make_one_user(
    database: AuthJSDatabase, their_url: str, clock: DrivenClock, rows: Rows
) -> None:
    other = AuthJSDatabase(their_url, max_age=3600, clock=clock)
    for number in range(10):
        account = Account(provider="op", provider_account_id=str(number))
        user = User(id="x", email=f"{number}@example.com")
        told = await asyncio.gather(*(conflict(each.users.create(user, account)) for each in (database, other) * 10))
        assert told.count(None) == 1
    await other.aclose()
    assert len(await rows("users")) == len(await rows("accounts")) == 10


async def test_an_update_writes_what_has_a_column_and_nothing_else(users: UserStore, their_url: str) -> None:
    ada = await users.create(ADA, GITHUB)
    await authjs_ddl.run(their_url, "UPDATE users SET \"emailVerified\" = '2026-01-02T03:04:05.678Z'")
    read = await users.get(ada.id)
    assert read is not None
    assert read.email_verified_at == 1_767_323_045
    await users.update(read.replace(name="A", username="ignored"))
    (row,) = await authjs_ddl.rows(their_url, 'SELECT name, "emailVerified" FROM users')
    assert (row["name"], row["emailVerified"].microsecond) == ("A", 678_000)  # what they wrote stays as it was
    changed = User(id=ada.id, email="a@new.example", email_verified_at=5)
    await users.update(changed)
    assert await users.get(ada.id) == changed
    await users.update(User(id=ada.id))
    assert await users.get(ada.id) == User(id=ada.id)
    for nobody in ("nobody", "99999", "018bcfe5-6800-7000-8000-000000000009"):
        assert await conflict(users.update(User(id=nobody))) == "user"


async def test_what_cannot_be_kept_is_refused_with_its_reason(users: UserStore, rows: Rows) -> None:
    for attempt in (
        users.create(ADA, None, "$argon2id$…"),
        users.set_password_hash("1", "$argon2id$…"),
        users.create(ADA, replace(GITHUB, sealed_tokens="sealed")),
        users.link(replace(GITHUB, sealed_tokens="sealed")),
        users.keep_tokens("github", "7", "sealed"),
        users.create(ADA.replace(disabled_at=5)),
        users.update(ADA.replace(disabled_at=5)),
    ):
        with pytest.raises(ConfigError, match=r"compat_tables: the tables of Auth\.js have no column for"):
            await attempt
    assert await rows("users") == []


async def test_hostile_names_find_nobody(users: UserStore) -> None:
    await users.create(ADA, GITHUB)
    for name in (
        "",
        "\0",
        "\ud800",
        "9" * 5000,
        "99999999999999999999",
        "01",
        "-1",
        "1.0",
        "' OR 1=1 --",
        "%",
        "\u0661",
    ):
        assert await users.get(name) is None
        assert await users.get_by_email(name) is None
        assert await users.get_by_account("github", name) is None
        assert await users.list_accounts(name) == []
