"""What every store promises, as test classes: subclass one, give its fixtures, and pytest runs it.

Fixtures of each class: the store under its name (`users`, `once`, `log`), `rows` to look at what was really stored, and
for the stores that forget, `clock`, the `DrivenClock` they were made with. `rows(table)` is a list of mappings from
column to value, read past the store: through a second connection where there is one. Tables: `users` (with
`password_hash`), `accounts`, `spent`, `revocations`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.ports import OnceStore, Revocation, RevocationLog, UserStore
from sojourn.testing.clock import DrivenClock

__all__ = ["OnceStoreContract", "RevocationLogContract", "Rows", "UserStoreContract"]

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


async def _conflict(attempt: Awaitable[object]) -> str | None:
    """What the attempt collided with, or None if it went through."""
    try:
        await attempt
    except Conflict as conflict:
        return conflict.what
    return None


async def _race(attempts: Sequence[Awaitable[object]]) -> list[str | None]:
    return await asyncio.gather(*(_conflict(attempt) for attempt in attempts))


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
        assert await _conflict(users.create(ADA.replace(username=None, email=None), other, "new")) == "id"
        assert await _conflict(users.create(BOB.replace(email="ada@example.com"), other, "new")) == "email"
        assert await _conflict(users.create(BOB.replace(username="ada"), other, "new")) == "username"
        assert await _conflict(users.create(BOB, GITHUB, "new")) == "account"
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
        assert await _conflict(users.link(stolen)) == "account"
        nobodys = Account(provider="github", provider_account_id="8", user_id="nobody")
        assert await _conflict(users.link(nobodys)) == "user"
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
        assert await _conflict(users.update(ADA)) == "user"
        assert await rows("users") == []
        await users.create(ADA)
        await users.create(BOB)
        assert await _conflict(users.update(BOB.replace(email="ada@example.com"))) == "email"
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
        assert await _conflict(users.set_password_hash("nobody", "three")) == "user"

    async def test_first_sign_ins_at_once_make_one_user(self, users: UserStore, rows: Rows) -> None:
        attempts = [users.create(User(id=f"user-{number}"), GITHUB) for number in range(20)]
        assert sorted(map(str, await _race(attempts))) == ["None", *["account"] * 19]
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
        assert sorted(map(str, await _race(attempts))) == ["None", *["email"] * 19]
        assert len(await rows("users")) == 1
        assert len(await rows("accounts")) == 1

    async def test_links_at_once_give_the_account_to_one(self, users: UserStore, rows: Rows) -> None:
        for number in range(20):
            await users.create(User(id=f"user-{number}"))
        attempts = [
            users.link(Account(provider="github", provider_account_id="7", user_id=f"user-{number}"))
            for number in range(20)
        ]
        assert sorted(map(str, await _race(attempts))) == ["None", *["account"] * 19]
        assert len(await rows("accounts")) == 1


class OnceStoreContract:
    """What may be spent once."""

    async def test_a_key_is_spent_once(self, once: OnceStore, clock: DrivenClock, rows: Rows) -> None:
        assert await once.spend("state:a", clock() + 900)
        assert not await once.spend("state:a", clock() + 900)
        assert await once.spend("state:b", clock() + 900)
        assert {row["key"]: row["forget_after"] for row in await rows("spent")} == {
            "state:a": clock() + 900,
            "state:b": clock() + 900,
        }

    async def test_a_key_is_kept_until_it_may_be_forgotten(self, once: OnceStore, clock: DrivenClock) -> None:
        assert await once.spend("a", clock() + 900)
        clock.advance(900)
        assert await once.spend("b", clock() + 900)
        assert not await once.spend("a", clock() + 900)

    async def test_spending_again_does_not_shorten_the_memory(self, once: OnceStore, clock: DrivenClock) -> None:
        assert await once.spend("a", clock() + 900)
        assert not await once.spend("a", clock() + 1)
        clock.advance(10)
        assert not await once.spend("a", clock() + 1)

    async def test_what_may_be_forgotten_does_not_pile_up(
        self, once: OnceStore, clock: DrivenClock, rows: Rows
    ) -> None:
        for number in range(100):
            await once.spend(f"old-{number}", clock() + 900)
        clock.advance(901)
        for number in range(10):
            await once.spend(f"new-{number}", clock() + 900)
        assert sorted(row["key"] for row in await rows("spent")) == [f"new-{number}" for number in range(10)]

    async def test_one_of_many_at_once_wins(self, once: OnceStore, clock: DrivenClock, rows: Rows) -> None:
        for _ in range(5):
            key = f"race-{clock.advance(1)}"
            won = await asyncio.gather(*(once.spend(key, clock() + 900) for _ in range(50)))
            assert won.count(True) == 1
        assert len(await rows("spent")) == 5


class RevocationLogContract:
    """What ended, in order."""

    async def test_an_empty_log_starts_anywhere(self, log: RevocationLog) -> None:
        assert await log.read() == (0, [])

    async def test_entries_are_read_in_order_and_from_a_position(
        self, log: RevocationLog, clock: DrivenClock, rows: Rows
    ) -> None:
        first = Revocation(kind="session", subject="sid-1", at=clock(), forget_after=clock() + 900)
        second = Revocation(kind="user", subject="user-1", at=clock(), forget_after=clock() + 800)
        await log.append(first)
        await log.append(second)
        position, entries = await log.read()
        assert list(entries) == [first, second]
        assert await log.read(position) == (position, [])
        third = Revocation(kind="session", subject="sid-1", at=clock() + 1, forget_after=clock() + 900)
        await log.append(third)
        later, entries = await log.read(position)
        assert list(entries) == [third]
        assert later > position
        assert [(row["kind"], row["subject"], row["at"], row["forget_after"]) for row in await rows("revocations")] == [
            (entry.kind, entry.subject, entry.at, entry.forget_after) for entry in (first, second, third)
        ]

    async def test_what_may_be_forgotten_does_not_pile_up(
        self, log: RevocationLog, clock: DrivenClock, rows: Rows
    ) -> None:
        keeper = Revocation(kind="session", subject="keeper", at=clock(), forget_after=clock() + 1_000_000)
        await log.append(keeper)
        for number in range(2000):
            entry = Revocation(kind="session", subject=f"sid-{number}", at=clock(), forget_after=clock() + 10)
            await log.append(entry)
            clock.advance(1)
        stored = await rows("revocations")
        assert len(stored) < 1500
        assert stored[0]["subject"] == "keeper"

    async def test_a_position_is_never_given_out_twice(self, log: RevocationLog, clock: DrivenClock) -> None:
        """Not even when everything up to it was forgotten: who reads on from theirs would miss the next ending."""
        await log.append(Revocation(kind="session", subject="a", at=clock(), forget_after=clock() + 10))
        await log.append(Revocation(kind="session", subject="b", at=clock(), forget_after=clock() + 10))
        position, _ = await log.read()
        clock.advance(11)
        third = Revocation(kind="session", subject="c", at=clock(), forget_after=clock() + 10)
        await log.append(third)
        _, entries = await log.read(position)
        assert list(entries) == [third]

    async def test_no_entry_of_many_at_once_is_lost(self, log: RevocationLog, clock: DrivenClock) -> None:
        entries = [
            Revocation(kind="session", subject=f"sid-{number}", at=clock(), forget_after=clock() + 900)
            for number in range(50)
        ]
        seen: list[Revocation] = []
        position = 0

        async def follow() -> None:
            nonlocal position
            while len(seen) < len(entries):
                position, new = await log.read(position)
                seen.extend(new)
                await asyncio.sleep(0)

        await asyncio.gather(follow(), *(log.append(entry) for entry in entries))
        assert sorted(entry.subject for entry in seen) == sorted(entry.subject for entry in entries)
