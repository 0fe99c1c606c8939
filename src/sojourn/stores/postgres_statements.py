"""Every statement that is sent to PostgreSQL, one round trip each, as its driver prepares them.

Each is a transaction of its own: all or nothing without BEGIN, and nothing stays open when a caller is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Delete,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.sql import ClauseElement

from sojourn.stores import statements
from sojourn.stores.postgres_schema import POSTGRES_DIALECT, counters
from sojourn.stores.schema import accounts, limits, revocations, sessions, spent, users
from sojourn.stores.statements import ACCOUNT_FIELDS, BATCH, REVOCATION_FIELDS

__all__ = [
    "APPEND",
    "CHANNEL",
    "CLEAR",
    "CONFIRM",
    "CREATE_WITH_ACCOUNT",
    "DELETE_SESSION",
    "DELETE_SESSIONS",
    "GET",
    "GET_BY_ACCOUNT",
    "GET_BY_EMAIL",
    "GET_BY_USERNAME",
    "GET_SESSION",
    "GET_SESSION_WITH_USER",
    "GIVE_BACK",
    "INSERT_ACCOUNT",
    "INSERT_SESSION",
    "INSERT_USER",
    "KEEP_TOKENS",
    "LATEST",
    "LIST_ACCOUNTS",
    "LIST_SESSIONS",
    "PAGE",
    "PURGE_SESSIONS",
    "READ",
    "RECORD_LOGIN",
    "REPLACE_SESSION",
    "SET_PASSWORD_HASH",
    "SPEND",
    "STANDBY",
    "TAKE",
    "UPDATE",
    "Statement",
    "compiled",
]

CHANNEL: Final = "sojourn_revocations"
"""What PostgreSQL calls the place where endings are announced."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A text with `$1`, `$2`, …, and the names of what they stand for.

    `repeatable` where asking twice does and answers what asking once would have: a pool asks it again when the answer
    was lost.
    """

    text: str
    names: tuple[str, ...]
    repeatable: bool = False

    def values(self, parameters: Mapping[str, object]) -> list[object]:
        """The parameters in the text's order."""
        return [parameters[name] for name in self.names]


def compiled(statement: ClauseElement, *, repeatable: bool = False) -> Statement:
    """The statement as asyncpg takes it."""
    done: Any = statement.compile(dialect=POSTGRES_DIALECT)
    return Statement(str(done), tuple(done.positiontup), repeatable)


def _values(table: Table, names: tuple[str, ...]) -> list[ColumnElement[Any]]:
    """Parameters under the names of the table's columns, with their types."""
    return [bindparam(name, type_=table.c[name].type) for name in names]


GET: Final = compiled(statements.GET, repeatable=True)
GET_BY_EMAIL: Final = compiled(statements.GET_BY_EMAIL, repeatable=True)
GET_BY_USERNAME: Final = compiled(statements.GET_BY_USERNAME, repeatable=True)
GET_BY_ACCOUNT: Final = compiled(statements.GET_BY_ACCOUNT, repeatable=True)
LIST_ACCOUNTS: Final = compiled(statements.LIST_ACCOUNTS, repeatable=True)
INSERT_USER: Final = compiled(statements.INSERT_USER)
INSERT_ACCOUNT: Final = compiled(statements.INSERT_ACCOUNT)
# These return the id of the row that they found.
UPDATE: Final = compiled(statements.UPDATE.returning(users.c.id))
RECORD_LOGIN: Final = compiled(statements.RECORD_LOGIN.returning(users.c.id))
KEEP_TOKENS: Final = compiled(statements.KEEP_TOKENS.returning(accounts.c.provider))
SET_PASSWORD_HASH: Final = compiled(statements.SET_PASSWORD_HASH.returning(users.c.id))

GET_SESSION: Final = compiled(statements.GET_SESSION, repeatable=True)
GET_SESSION_WITH_USER: Final = compiled(statements.GET_SESSION_WITH_USER, repeatable=True)
INSERT_SESSION: Final = compiled(statements.INSERT_SESSION)
LIST_SESSIONS: Final = compiled(statements.LIST_SESSIONS, repeatable=True)
# These return the ids of the rows that they found.
REPLACE_SESSION: Final = compiled(statements.REPLACE_SESSION.returning(sessions.c.sid))
DELETE_SESSION: Final = compiled(statements.DELETE_SESSION.returning(sessions.c.sid))
STANDBY: Final = Statement("SELECT current_setting('synchronous_standby_names', true)", (), repeatable=True)
CONFIRM: Final = Statement("SELECT pg_logical_emit_message(true, 'sojourn', '')", (), repeatable=True)
"""A commit that the standby has to confirm, and with it all that came before."""
DELETE_SESSIONS: Final = compiled(statements.DELETE_SESSIONS.returning(sessions.c.sid))
_past = (
    select(sessions.c.sid)
    .where(sessions.c.forget_after < bindparam("now"))
    .order_by(sessions.c.forget_after)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
# Not IN: for an unknown number of rows PostgreSQL would rather read the whole table.
PURGE_SESSIONS: Final = compiled(
    delete(sessions).where(sessions.c.sid == func.any(func.array(_past.scalar_subquery()))).returning(sessions.c.sid)
)

_every: dict[str, ColumnElement[Any]] = {column.name: bindparam(f"user_{column.name}") for column in users.c}
_owner = insert(users).values(_every).returning(users.c.id).cte("owner")
_own = tuple(name for name in ACCOUNT_FIELDS if name != "user_id")
CREATE_WITH_ACCOUNT: Final = compiled(
    insert(accounts).from_select([*_own, "user_id"], select(*_values(accounts, _own), _owner.c.id))
)


def _few_past(named: Column[Any], due: Column[Any], *conditions: ColumnElement[bool]) -> Delete:
    """Delete a few rows whose time is past. SKIP LOCKED never waits."""
    few = (
        select(named)
        .where(due < bindparam("now"), *conditions)
        .order_by(due)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return delete(named.table).where(named.in_(few))


def _others_after(table: Table, own: CTE) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Only other keys than one's own, and only once that is written, which counting ensures.

    Two that first deleted and then waited for each other's key would be a deadlock.
    """
    written = select(func.count()).select_from(own).scalar_subquery() >= literal_column("0")
    return table.c.key != bindparam("key"), written


# A key past its time is spent again in place.
_spending = insert_or_update(spent).values(key=bindparam("key"), forget_after=bindparam("forget_after"))
_won = (
    _spending.on_conflict_do_update(
        index_elements=[spent.c.key],
        set_={"forget_after": _spending.excluded.forget_after},
        where=spent.c.forget_after < bindparam("now"),
    )
    .returning(spent.c.key)
    .cte("won")
)
_forgotten_keys = _few_past(spent.c.key, spent.c.forget_after, *_others_after(spent, _won)).cte("forgotten")
SPEND: Final = compiled(select(_won.c.key).add_cte(_forgotten_keys))
"""One row for the one who wins, none for the others."""

_next = (
    update(counters)
    .where(counters.c.name == literal_column("'revocations'"))
    .values(value=counters.c.value + literal_column("1"))
    .returning(counters.c.value)
    .cte("next")
)
_forgotten_entries = _few_past(revocations.c.position, revocations.c.forget_after).cte("forgotten")
APPEND: Final = compiled(
    insert(revocations)
    .from_select(["position", *REVOCATION_FIELDS], select(_next.c.value, *_values(revocations, REVOCATION_FIELDS)))
    .returning(
        revocations.c.position,
        # Heard at the commit, if there is one, by whoever listens to this database.
        func.pg_notify(literal_column(f"'{CHANNEL}'"), literal_column("''")),
    )
    .add_cte(_forgotten_entries)
)
"""The new entry's position; no row if there is no counter, and then nothing was written."""
LATEST: Final = compiled(statements.LATEST, repeatable=True)

PAGE: Final = 10_000
READ: Final = compiled(
    select(revocations.c.position, *(revocations.c[name] for name in REVOCATION_FIELDS))
    .where(revocations.c.position > bindparam("after"))
    .order_by(revocations.c.position)
    .limit(literal_column(str(PAGE))),
    repeatable=True,
)

_taking = insert_or_update(limits).values(key=bindparam("key"), recovered_at=bindparam("first"))
# As policy/rate_limit.py has it.
_from = case(
    (limits.c.recovered_at > bindparam("latest"), bindparam("now")),
    else_=func.greatest(limits.c.recovered_at, bindparam("now")),
)
_after = _from + bindparam("step")
_took = (
    _taking.on_conflict_do_update(
        index_elements=[limits.c.key], set_={"recovered_at": _after}, where=_after <= bindparam("latest")
    )
    .returning(limits.c.recovered_at)
    .cte("took")
)
_recovered_keys = _few_past(limits.c.key, limits.c.recovered_at, *_others_after(limits, _took)).cte("recovered")
TAKE: Final = compiled(
    select(
        select(func.count()).select_from(_took).scalar_subquery(),
        select(limits.c.recovered_at).where(limits.c.key == bindparam("key")).scalar_subquery(),
    ).add_cte(_recovered_keys)
)
"""Whether the attempt was counted (0 or 1), and what stood there before it."""
_by_key = limits.c.key == bindparam("which")
GIVE_BACK: Final = compiled(
    limits.update().where(_by_key).values(recovered_at=limits.c.recovered_at - bindparam("step"))
)
CLEAR: Final = compiled(delete(limits).where(_by_key))
