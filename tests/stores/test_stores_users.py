"""Users that an operator adds can sign in, and have one spelling."""

from __future__ import annotations

import pytest

from sojourn.errors import BadRequest, Conflict
from sojourn.models import Account, User
from sojourn.passwords import Argon2Profile, PasswordHasher, check_password
from sojourn.stores import Stores, open_database
from sojourn.stores.users import add_user

NOW = 1_700_000_000


@pytest.fixture
def stores() -> Stores:
    return open_database("memory:")


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(Argon2Profile(memory=16, iterations=1, lanes=1))


async def test_an_added_user_signs_in(stores: Stores, hasher: PasswordHasher) -> None:
    user = await add_user(
        stores,
        hasher,
        username=" Ada ",
        email="Ada@Example.com",
        password="pw",
        name="Ada L.",
        email_verified=True,
        now=NOW,
    )
    expected = User(
        id=user.id, username="ada", name="Ada L.", email="ada@example.com", email_verified_at=NOW, created_at=NOW
    )
    assert user == expected == await stores.users.get(user.id)
    profile = await check_password(stores.users, hasher, {"username": "ADA", "password": "pw"})
    assert profile is not None
    assert profile.id == user.id


async def test_the_password_is_listed_as_a_way_in(stores: Stores, hasher: PasswordHasher) -> None:
    user = await add_user(stores, hasher, username="ada", email=None, password="pw", email_verified=True, now=NOW)
    assert user.email_verified_at is None
    assert await stores.users.list_accounts(user.id) == [
        Account(
            provider="credentials", provider_account_id=user.id, type="credentials", user_id=user.id, created_at=NOW
        )
    ]


@pytest.mark.parametrize(
    ("username", "email", "password", "code"),
    [
        ("a@b", "ada@example.com", "pw", "invalid_username"),
        ("ada", "ada", "pw", "invalid_email"),
        ("ada", "", "pw", "invalid_email"),
        ("ada", "ada@example.com", "", "invalid_password"),
    ],
)
async def test_what_cannot_be_used_is_refused(
    stores: Stores, hasher: PasswordHasher, username: str, email: str, password: str, code: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await add_user(stores, hasher, username=username, email=email, password=password, now=NOW)
    assert refused.value.code == code
    assert await stores.users.get_by_username("ada") is None


async def test_a_name_or_address_in_another_spelling_is_taken(stores: Stores, hasher: PasswordHasher) -> None:
    await add_user(stores, hasher, username="ada", email="ada@example.com", password="pw", now=NOW)
    with pytest.raises(Conflict, match="username"):
        await add_user(stores, hasher, username="ＡＤＡ", email=None, password="pw", now=NOW)
    with pytest.raises(Conflict, match="email"):
        await add_user(stores, hasher, username="eve", email="ADA@example.com", password="pw", now=NOW)
