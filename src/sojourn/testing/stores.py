"""What every store of users promises, as a test class: subclass it, give its fixtures, and pytest runs it.

Fixtures of each class: the store under its name (`users`, `once`, `log`), `rows` to look at what was really stored, and
for the stores that forget, `clock`, the `DrivenClock` they were made with. `rows(table)` is a list of mappings from
column to value, read past the store: through a second connection where there is one. Tables: `users` (with
`password_hash`), `accounts`, `spent`, `revocations`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.ports import UserStore

__all__ = ["Rows", "UserStoreContract", "conflict_of", "race"]

Rows = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]

ADA = User(
    id="018bcfe5-6800-7000-8000-000000000001",
    username="ada",
    name="Ada",
    email="ada@example.com",
    email_verified_at=1_700_000_000,
    image="https://img.example/ada.png",
    created_at=1_700_000_001,
)
BOB = User(id="018bcfe5-6800-7000-8000-000000000002", username="bob", email="bob@example.com", created_at=1_700_000_002)
NAMELESS = User(id="018bcfe5-6800-7000-8000-000000000003", created_at=1_700_000_003)
GITHUB = Account(provider="github", provider_account_id="7", scope="read:user", created_at=1_700_000_004)


async def conflict_of(attempt: Awaitable[object]) -> str | None:
    """What the attempt collided with, or None if it went through."""
    try:
        await attempt
    except Conflict as conflict:
        return conflict.what
    return None


async def race(attempts: Sequence[Awaitable[object]]) -> list[str | None]:
    return await asyncio.gather(*(conflict_of(attempt) for attempt in attempts))


class UserStoreContract:
    """Users, accounts and password hashes."""

    async def test_nothing_is_found_in_an_empty_store(self, users: UserStore) -> None:
        assert await users.get(ADA.id) is None
        assert await users.get_by_email("ada@example.com") is None
        assert await users.get_by_username("ada") is None
        assert await users.get_by_account("github", "7") is None
        assert await users.list_accounts(ADA.id) == []

    async def test_a_user_is_found_by_each_of_their_names(self, users: UserStore) -> None:
        assert await users.create(ADA, GITHUB, "$argon2id$…") == ADA
        await users.create(BOB)
        assert await users.get(ADA.id) == ADA
        assert await users.get_by_email("ada@example.com") == ADA
        assert await users.get_by_username("ada") == (ADA, "$argon2id$…")
        assert await users.get_by_account("github", "7") == ADA

    async def test_everything_is_stored_in_one_step(self, users: UserStore, rows: Rows) -> None:
        await users.create(ADA, GITHUB, "$argon2id$…")
        (user,) = await rows("users")
        assert dict(user) == {
            "id": ADA.id,
            "username": "ada",
            "name": "Ada",
            "email": "ada@example.com",
            "email_verified_at": 1_700_000_000,
            "image": "https://img.example/ada.png",
            "created_at": 1_700_000_001,
            "last_login_at": None,
            "disabled_at": None,
            "password_hash": "$argon2id$…",
        }
        (account,) = await rows("accounts")
        assert dict(account) == {
            "provider": "github",
            "provider_account_id": "7",
            "type": "oauth",
            "user_id": ADA.id,
            "scope": "read:user",
            "created_at": 1_700_000_004,
            "sealed_tokens": None,
        }

    async def test_names_are_compared_exactly(self, users: UserStore) -> None:
        await users.create(ADA, GITHUB)
        assert await users.get_by_email("Ada@example.com") is None
        assert await users.get_by_username("ada ") is None
        assert await users.get_by_username("%") is None
        assert await users.get_by_account("github", "07") is None
        assert await users.get_by_account("gitlab", "7") is None

    async def test_many_users_may_lack_a_name_and_an_address(self, users: UserStore, rows: Rows) -> None:
        await users.create(NAMELESS)
        await users.create(NAMELESS.replace(id=ADA.id))
        assert len(await rows("users")) == 2

    async def test_a_refused_user_leaves_nothing(self, users: UserStore, rows: Rows) -> None:
        await users.create(ADA, GITHUB, "old")
        other = Account(provider="google", provider_account_id="9")
        assert await conflict_of(users.create(ADA.replace(username=None, email=None), other, "new")) == "id"
        assert await conflict_of(users.create(BOB.replace(email="ada@example.com"), other, "new")) == "email"
        assert await conflict_of(users.create(BOB.replace(username="ada"), other, "new")) == "username"
        assert await conflict_of(users.create(BOB, GITHUB, "new")) == "account"
        assert [user["password_hash"] for user in await rows("users")] == ["old"]
        assert [account["provider"] for account in await rows("accounts")] == ["github"]
        assert await users.create(BOB, other) == BOB

    async def test_accounts_are_listed_oldest_first(self, users: UserStore) -> None:
        await users.create(ADA, GITHUB)
        await users.create(BOB, Account(provider="github", provider_account_id="8"))
        older = Account(provider="op", provider_account_id="1", type="oidc", user_id=ADA.id, created_at=5)
        await users.link(older)
        assert await users.get_by_account("op", "1") == ADA
        own = Account(
            provider="github", provider_account_id="7", user_id=ADA.id, scope="read:user", created_at=1_700_000_004
        )
        assert await users.list_accounts(ADA.id) == [older, own]

    async def test_an_account_has_one_owner_who_exists(self, users: UserStore, rows: Rows) -> None:
        await users.create(ADA, GITHUB)
        await users.create(BOB)
        stolen = Account(provider="github", provider_account_id="7", user_id=BOB.id)
        assert await conflict_of(users.link(stolen)) == "account"
        nobodys = Account(provider="github", provider_account_id="8", user_id="nobody")
        assert await conflict_of(users.link(nobodys)) == "user"
        assert [account["user_id"] for account in await rows("accounts")] == [ADA.id]

    async def test_an_update_writes_what_may_change_and_nothing_else(self, users: UserStore) -> None:
        await users.create(ADA, GITHUB, "hash")
        await users.record_login(ADA.id, 1_700_000_500)
        await users.update(User(id=ADA.id, username="eve", name="A", email="a@new.example", image="i", disabled_at=9))
        changed = ADA.replace(
            name="A",
            email="a@new.example",
            email_verified_at=None,
            image="i",
            disabled_at=9,
            last_login_at=1_700_000_500,
        )
        assert await users.get_by_username("ada") == (changed, "hash")
        assert await users.get_by_username("eve") is None
        assert await users.get_by_email("a@new.example") == changed
        assert await users.get_by_email("ada@example.com") is None
        await users.create(BOB.replace(email="ada@example.com"))

    async def test_an_update_neither_revives_nor_takes(self, users: UserStore, rows: Rows) -> None:
        assert await conflict_of(users.update(ADA)) == "user"
        assert await rows("users") == []
        await users.create(ADA)
        await users.create(BOB)
        assert await conflict_of(users.update(BOB.replace(email="ada@example.com"))) == "email"
        assert await users.get(BOB.id) == BOB

    async def test_a_login_is_recorded(self, users: UserStore, rows: Rows) -> None:
        await users.create(ADA)
        await users.record_login(ADA.id, 1_700_000_500)
        await users.record_login("nobody", 1_700_000_501)
        assert [user["last_login_at"] for user in await rows("users")] == [1_700_000_500]

    async def test_a_password_is_replaced(self, users: UserStore) -> None:
        await users.create(ADA)
        assert await users.get_by_username("ada") == (ADA, None)
        await users.set_password_hash(ADA.id, "one")
        await users.set_password_hash(ADA.id, "two")
        assert await users.get_by_username("ada") == (ADA, "two")
        assert await conflict_of(users.set_password_hash("nobody", "three")) == "user"

    async def test_first_sign_ins_at_once_make_one_user(self, users: UserStore, rows: Rows) -> None:
        attempts = [users.create(User(id=f"user-{number}"), GITHUB) for number in range(20)]
        assert sorted(map(str, await race(attempts))) == ["None", *["account"] * 19]
        (user,) = await rows("users")
        (account,) = await rows("accounts")
        assert account["user_id"] == user["id"]

    async def test_users_with_one_address_at_once_make_one_user(self, users: UserStore, rows: Rows) -> None:
        attempts = [
            users.create(
                User(id=f"user-{number}", email="ada@example.com"),
                Account(provider="op", provider_account_id=str(number)),
            )
            for number in range(20)
        ]
        assert sorted(map(str, await race(attempts))) == ["None", *["email"] * 19]
        assert len(await rows("users")) == 1
        assert len(await rows("accounts")) == 1

    async def test_links_at_once_give_the_account_to_one(self, users: UserStore, rows: Rows) -> None:
        for number in range(20):
            await users.create(User(id=f"user-{number}"))
        attempts = [
            users.link(Account(provider="github", provider_account_id="7", user_id=f"user-{number}"))
            for number in range(20)
        ]
        assert sorted(map(str, await race(attempts))) == ["None", *["account"] * 19]
        assert len(await rows("accounts")) == 1

    async def test_sealed_tokens_are_kept_beside_their_account(self, users: UserStore, rows: Rows) -> None:
        await users.create(ADA, GITHUB)
        await users.link(replace(GITHUB, provider="google", user_id=ADA.id, sealed_tokens="first"))
        await users.keep_tokens("github", "7", "second")
        await users.keep_tokens("github", "8", "nobody's")
        kept = {account.provider: account.sealed_tokens for account in await users.list_accounts(ADA.id)}
        assert kept == {"github": "second", "google": "first"}
        await users.keep_tokens("github", "7", "third")
        assert sorted(str(row["sealed_tokens"]) for row in await rows("accounts")) == ["first", "third"]
