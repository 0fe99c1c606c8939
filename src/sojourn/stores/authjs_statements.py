"""Every statement on the tables of `@auth/pg-adapter`, built for their place and types; one round trip each."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    extract,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import REGCLASS, insert

from sojourn.stores.authjs_tables import AuthJSTables, name_in_sql
from sojourn.stores.postgres_statements import Statement, compiled

__all__ = ["MICROSECONDS", "AuthJSStatements"]

MICROSECONDS: Final = 1_000_000
"""A second's; their times are exact to one, and a record's version is its end in these."""


class AuthJSStatements:
    """What is asked of their tables.

    Ids, addresses and times leave as text, lower case and epoch seconds. A row of a session is the SHA-256 of its
    token, the user's id and its end in microseconds; the token itself never comes back.
    """

    def __init__(self, tables: AuthJSTables) -> None:
        self._tables = tables
        users, accounts, sessions = tables.users.c, tables.accounts.c, tables.sessions.c
        self.user_id: Column[Any] = users.id
        self.account_user_id: Column[Any] = accounts.userId
        self.session_user_id: Column[Any] = sessions.userId
        user = [
            cast(users.id, Text),
            users.name,
            func.lower(users.email),
            _seconds(users.emailVerified),
            users.image,
        ]
        asked_user = users.id == _typed("user_id", users.id)
        # No constraint forbids duplicates: of several, everybody gets the same one.
        one_user = select(*user).order_by(users.id).limit(_number(1))
        self.get: Statement = compiled(select(*user).where(asked_user), repeatable=True)
        self.get_by_email: Statement = compiled(
            one_user.where(func.lower(users.email) == _text("address")), repeatable=True
        )
        self.get_by_account: Statement = compiled(
            one_user.join(tables.accounts, accounts.userId == users.id).where(
                accounts.provider == _text("provider"), accounts.providerAccountId == _text("account_id")
            ),
            repeatable=True,
        )
        self.list_accounts: Statement = compiled(
            select(
                accounts.provider,
                accounts.providerAccountId,
                accounts.type,
                cast(accounts.userId, Text),
                accounts.scope,
            )
            .where(accounts.userId == _typed("user_id", accounts.userId))
            .order_by(accounts.id),
            repeatable=True,
        )
        self.create: Statement = compiled(self._creation(with_account=False))
        self.create_with_account: Statement = compiled(self._creation(with_account=True))
        """What is taken, if anything, and the new user's id."""
        self.link: Statement = compiled(self._linking())
        self.update: Statement = compiled(self._updating())
        """What is taken, if anything, and the id of the user who was found."""

        # Not convert_to(), whose results no index takes. To a cast only a backslash means something else than itself.
        doubled = func.replace(sessions.sessionToken, literal_column(r"'\'"), literal_column(r"'\\'"))
        digest = func.sha256(cast(doubled, LargeBinary))
        sid = func.left(func.encode(digest, literal_column("'hex'")), _number(32))
        end = cast(extract("epoch", sessions.expires) * _number(MICROSECONDS), BigInteger)
        record = [digest, cast(sessions.userId, Text), end]
        of_user = sessions.userId == _typed("user_id", sessions.userId)
        with_user = select(*record, *user).join(tables.users, users.id == sessions.userId).limit(_number(1))
        by_token, by_sid = sessions.sessionToken == _text("token"), sid == _text("sid")
        self.find: Statement = compiled(with_user.where(by_token), repeatable=True)
        self.find_by_sid: Statement = compiled(with_user.where(by_sid), repeatable=True)
        self.insert: Statement = compiled(self._insertion())
        # Only if the row still lives and nobody else was faster, on either side.
        change = (
            update(tables.sessions)
            .values(expires=_time("new_expires_at"))
            .where(end == cast(bindparam("expected_version"), BigInteger))
            .returning(end)
        )
        self.replace: Statement = compiled(change.where(by_token))
        self.replace_by_sid: Statement = compiled(change.where(by_sid))
        ending = delete(tables.sessions).returning(digest)
        self.delete: Statement = compiled(ending.where(by_token), repeatable=True)
        self.delete_by_sid: Statement = compiled(ending.where(by_sid), repeatable=True)
        self.delete_for_user: Statement = compiled(ending.where(of_user, sid != _text("but")))
        self.list_for_user: Statement = compiled(
            select(*record)
            .where(of_user, sessions.expires >= _time("needed_from"))
            .order_by(sessions.expires.desc(), sessions.id.desc()),
            repeatable=True,
        )
        self.purge: Statement = compiled(
            ending.where(
                sessions.id.in_(
                    select(sessions.id)
                    .where(sessions.expires < _time("needed_from"))
                    .order_by(sessions.expires)
                    .limit(cast(bindparam("most"), BigInteger))
                    .with_for_update(skip_locked=True)
                )
            )
        )

    def _taken(
        self,
        *,
        address: ColumnElement[Any] | None = None,
        provider: ColumnElement[Any] | None = None,
        account_id: ColumnElement[Any] | None = None,
        but: ColumnElement[Any] | None = None,
    ) -> CTE:
        """Waits for whoever claims the same; then "email", "account" or NULL."""
        tables = (
            cast(_constant(name_in_sql(table)), REGCLASS) for table in (self._tables.users, self._tables.accounts)
        )
        nothing = cast(null(), Text)
        given = (nothing if value is None else value for value in (address, provider, account_id, but))
        return select(func.authjs_taken(*tables, *given).label("what")).cte("taken")

    def _creation(self, *, with_account: bool) -> Select[Any]:
        users, accounts = self._tables.users, self._tables.accounts
        names = {"provider": _text("provider"), "account_id": _text("account_id")} if with_account else {}
        taken = self._taken(address=_text("email"), **names)
        values = {
            "name": _typed("name", users.c.name),
            "email": _text("email"),
            "emailVerified": _time("email_verified_at"),
            "image": _typed("image", users.c.image),
        }
        made = (
            insert(users)
            .from_select(list(values), select(*values.values()).select_from(taken).where(taken.c.what.is_(None)))
            .on_conflict_do_nothing()
            .returning(users.c.id)
            .cte("made")
        )
        # Whoever was faster on the other side took no lock; an index of the application's tells, by way of no user.
        what = case((made.c.id.is_(None), func.coalesce(taken.c.what, _constant("email"))))
        told = select(what, cast(made.c.id, Text)).select_from(taken.outerjoin(made, true()))
        if not with_account:
            return told
        own = _account_values()
        return told.add_cte(insert(accounts).from_select(["userId", *own], select(made.c.id, *own.values())).cte("own"))

    def _linking(self) -> Select[Any]:
        accounts = self._tables.accounts
        taken = self._taken(provider=_text("provider"), account_id=_text("account_id"))
        owner = self._owner()
        own = _account_values()
        linked = (
            insert(accounts)
            .from_select(
                ["userId", *own],
                select(owner.c.id, *own.values()).select_from(owner.join(taken, true())).where(taken.c.what.is_(None)),
            )
            .on_conflict_do_nothing()
            .returning(accounts.c.id)
            .cte("linked")
        )
        # Whoever was faster on the other side took no lock; an index of the application's tells.
        what = case((owner.c.id.is_not(None) & linked.c.id.is_(None), _constant("account")), else_=taken.c.what)
        return select(what, cast(owner.c.id, Text)).select_from(
            taken.outerjoin(owner, true()).outerjoin(linked, true())
        )

    def _updating(self) -> Select[Any]:
        users = self._tables.users
        taken = self._taken(address=_text("email"), but=_text("user_id"))
        # What says the same to us stays as they wrote it, in their case and to the microsecond.
        same_email = func.lower(users.c.email) == _text("email")
        same_time = _seconds(users.c.emailVerified) == cast(bindparam("email_verified_at"), BigInteger)
        changed = (
            update(users)
            .values(
                {
                    "name": _typed("name", users.c.name),
                    "email": case((same_email, users.c.email), else_=_text("email")),
                    "emailVerified": case((same_time, users.c.emailVerified), else_=_time("email_verified_at")),
                    "image": _typed("image", users.c.image),
                }
            )
            .where(users.c.id == _typed("user_id", users.c.id), exists().where(taken.c.what.is_(None)))
            .returning(users.c.id)
            .cte("changed")
        )
        return select(taken.c.what, cast(changed.c.id, Text)).select_from(taken.outerjoin(changed, true()))

    def _insertion(self) -> Any:
        sessions, owner = self._tables.sessions, self._owner()
        values = {"expires": _time("expires_at"), "sessionToken": _text("token")}
        return (
            insert(sessions)
            .from_select(["userId", *values], select(owner.c.id, *values.values()))
            .returning(sessions.c.id)
        )

    def _owner(self) -> CTE:
        """The user, kept from going before what is theirs is there: no foreign key does that."""
        users = self._tables.users
        asked = users.c.id == _typed("user_id", users.c.id)
        return select(users.c.id).where(asked).with_for_update(key_share=True, read=True).cte("owner")


def _account_values() -> dict[str, ColumnElement[Any]]:
    return {
        "provider": _text("provider"),
        "providerAccountId": _text("account_id"),
        "type": _text("type"),
        "scope": _text("scope"),
    }


def _text(name: str) -> ColumnElement[Any]:
    # The server has to be told the type where a parameter stands in no column's place.
    return cast(bindparam(name), Text)


def _typed(name: str, column: Column[Any]) -> ColumnElement[Any]:
    """A text in the column's own type: an index on it then serves, and what is too long for a name is cut."""
    return cast(_text(name), column.type)


def _time(name: str) -> ColumnElement[Any]:
    return func.to_timestamp(cast(bindparam(name), BigInteger))


def _seconds(column: Column[Any]) -> ColumnElement[Any]:
    return cast(func.floor(extract("epoch", column)), BigInteger)


def _number(value: int) -> ColumnElement[Any]:
    return literal_column(str(value))


def _constant(text: str) -> ColumnElement[Any]:
    return literal_column("'" + text.replace("'", "''") + "'")
