"""The statements that every SQL store asks in the same words, and how their rows are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from sojourn.models import Account, User
from sojourn.ports import Revocation, SessionChange, SessionRecord
from sojourn.stores.schema import accounts, revocations, sessions, users

__all__ = [
    "ACCOUNT_FIELDS",
    "BATCH",
    "CHANGEABLE",
    "DELETE_SESSION",
    "DELETE_SESSIONS",
    "GET",
    "GET_BY_ACCOUNT",
    "GET_BY_EMAIL",
    "GET_BY_USERNAME",
    "GET_SESSION",
    "GET_SESSION_WITH_USER",
    "INSERT_ACCOUNT",
    "INSERT_SESSION",
    "INSERT_USER",
    "KEEP_TOKENS",
    "LATEST",
    "LIST_ACCOUNTS",
    "LIST_SESSIONS",
    "RECORD_LOGIN",
    "REPLACE_SESSION",
    "REVOCATION_FIELDS",
    "SESSION_FIELDS",
    "SET_PASSWORD_HASH",
    "UPDATE",
    "USER_FIELDS",
    "read_account",
    "read_revocation",
    "read_session",
    "read_session_with_user",
    "read_user",
    "storable",
]

# Few enough that no request pays for a long pause, more than one so that the rows cannot pile up.
BATCH: Final[ColumnElement[int]] = literal_column("32")

USER_FIELDS: Final = tuple(field.name for field in fields(User))
ACCOUNT_FIELDS: Final = tuple(field.name for field in fields(Account))
REVOCATION_FIELDS: Final = Revocation.__struct_fields__
SESSION_FIELDS: Final = SessionRecord.__struct_fields__
CHANGEABLE: Final = ("name", "email", "email_verified_at", "image", "disabled_at")

_user = [users.c[name] for name in USER_FIELDS]
_by_account = (accounts.c.provider == bindparam("provider"), accounts.c.provider_account_id == bindparam("account_id"))

GET: Final[Select[Any]] = select(*_user).where(users.c.id == bindparam("user_id"))
GET_BY_EMAIL: Final[Select[Any]] = select(*_user).where(users.c.email == bindparam("address"))
GET_BY_USERNAME: Final[Select[Any]] = select(*_user, users.c.password_hash).where(users.c.username == bindparam("name"))
GET_BY_ACCOUNT: Final[Select[Any]] = select(*_user).join(accounts, accounts.c.user_id == users.c.id).where(*_by_account)
LIST_ACCOUNTS: Final[Select[Any]] = (
    select(*(accounts.c[name] for name in ACCOUNT_FIELDS))
    .where(accounts.c.user_id == bindparam("owner"))
    .order_by(accounts.c.created_at, accounts.c.provider, accounts.c.provider_account_id)
)
INSERT_USER: Final[Insert] = insert(users)
INSERT_ACCOUNT: Final[Insert] = insert(accounts)
UPDATE: Final[Update] = (
    update(users)
    .where(users.c.id == bindparam("user_id"))
    .values({name: bindparam(f"new_{name}") for name in CHANGEABLE})
)
RECORD_LOGIN: Final[Update] = (
    update(users).where(users.c.id == bindparam("user_id")).values(last_login_at=bindparam("new_last_login_at"))
)
KEEP_TOKENS: Final[Update] = update(accounts).where(*_by_account).values(sealed_tokens=bindparam("new_sealed_tokens"))
SET_PASSWORD_HASH: Final[Update] = (
    update(users).where(users.c.id == bindparam("user_id")).values(password_hash=bindparam("new_password_hash"))
)

_session = [sessions.c[name] for name in SESSION_FIELDS]
_by_sid = sessions.c.sid == bindparam("session_id")

GET_SESSION: Final[Select[Any]] = select(*_session).where(_by_sid)
GET_SESSION_WITH_USER: Final[Select[Any]] = (
    select(*_session, *_user).join(users, users.c.id == sessions.c.user_id).where(_by_sid)
)
INSERT_SESSION: Final[Insert] = insert(sessions)
# Only if the row still lives and nobody else was faster: an extension must never undo an ending.
REPLACE_SESSION: Final[Update] = (
    update(sessions)
    .where(_by_sid, sessions.c.version == bindparam("expected_version"))
    .values(
        {name: bindparam(f"new_{name}") for name in SessionChange.__struct_fields__}
        | {"version": sessions.c.version + literal_column("1")}
    )
)
DELETE_SESSION: Final[Delete] = delete(sessions).where(_by_sid)
DELETE_SESSIONS: Final[Delete] = delete(sessions).where(
    sessions.c.user_id == bindparam("owner"), sessions.c.sid != bindparam("but")
)
LIST_SESSIONS: Final[Select[Any]] = (
    select(*_session)
    .where(sessions.c.user_id == bindparam("owner"), sessions.c.forget_after >= bindparam("now"))
    .order_by(sessions.c.auth_time.desc(), sessions.c.sid.desc())
)
LATEST: Final[Select[Any]] = select(func.coalesce(func.max(revocations.c.position), literal_column("0")))
"""The last ending's position, 0 if none is kept."""


# A frozen dataclass fills itself by a detour that costs a fifth of finding the row; this is its own way without it.
_PUT_USER: Final = tuple(getattr(User, name).__set__ for name in USER_FIELDS)


def read_user(row: Sequence[Any]) -> User:
    """A row of USER_FIELDS."""
    user = object.__new__(User)
    for put, value in zip(_PUT_USER, row, strict=True):
        put(user, value)
    return user


def read_account(row: Sequence[Any]) -> Account:
    """A row of ACCOUNT_FIELDS."""
    return Account(**dict(zip(ACCOUNT_FIELDS, row, strict=True)))


def read_revocation(row: Sequence[Any]) -> Revocation:
    """A row of REVOCATION_FIELDS."""
    return Revocation(**dict(zip(REVOCATION_FIELDS, row, strict=True)))


def read_session(row: Sequence[Any]) -> SessionRecord:
    """A row of SESSION_FIELDS."""
    return SessionRecord(*row)


def read_session_with_user(row: Sequence[Any]) -> tuple[SessionRecord, User]:
    """A row of SESSION_FIELDS and USER_FIELDS."""
    fields = len(SESSION_FIELDS)
    return read_session(row[:fields]), read_user(row[fields:])


def storable(text: str) -> bool:
    """Whether a database can hold this text. One that it cannot is nobody's name; asking would look like an outage."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))
