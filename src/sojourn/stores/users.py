"""Users who come by an operator's hand and not by a sign-in."""

from __future__ import annotations

from sojourn.errors import BadRequest
from sojourn.identifiers import normalise_email, normalise_username, uuid7
from sojourn.models import Account, User
from sojourn.passwords import PasswordHasher
from sojourn.stores import Stores

__all__ = ["add_user"]


async def add_user(
    stores: Stores,
    hasher: PasswordHasher,
    *,
    username: str,
    email: str | None,
    password: str,
    name: str | None = None,
    email_verified: bool = False,
    now: int,
) -> User:
    """Insert a user who signs in with a password; `now` is in epoch seconds.

    Raises `BadRequest` with the code `invalid_username`, `invalid_email` or `invalid_password`, and `Conflict` if the
    name or the address is somebody's.
    """
    normal_name = normalise_username(username)
    if normal_name is None:
        raise BadRequest("invalid_username", "a username has no @, blanks or controls and at most 255 characters")
    address = normalise_email(email)
    if address is None and email is not None:
        raise BadRequest("invalid_email", "the address is not one plain address like ada@example.com")
    user = User(
        id=uuid7(now),
        username=normal_name,
        name=name,
        email=address,
        email_verified_at=now if email_verified and address is not None else None,
        created_at=now,
    )
    # The row tells linking that a password is one of this user's ways in.
    account = Account(provider="credentials", provider_account_id=user.id, type="credentials", created_at=now)
    return await stores.users.create(user, account, await hasher.hash(password))
