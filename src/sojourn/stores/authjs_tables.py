"""The tables of `@auth/pg-adapter` as they are found, and what of ours is put beside them.

Theirs are never made or altered here. Ours lie in a schema of their own, because three of the names are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, SmallInteger, String, Table, Text, Uuid
from sqlalchemy.types import TypeEngine

from sojourn.errors import ConfigError
from sojourn.stores.postgres_schema import POSTGRES_DIALECT
from sojourn.stores.statements import storable

__all__ = ["SCHEMA", "AuthJSTables", "beside_theirs", "fits", "make_ours", "name_in_sql", "read_tables"]

SCHEMA: Final = "sojourn"
"""The schema of our own tables."""

_ID: Final = frozenset({"int2", "int4", "int8", "uuid", "text", "varchar"})
_TEXT: Final = frozenset({"text", "varchar"})
_TIME: Final = frozenset({"timestamptz"})

# What the adapter's own statements need and ours read or write; a token of a provider is never among it.
_NEEDED: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "users": {"id": _ID, "name": _TEXT, "email": _TEXT, "emailVerified": _TIME, "image": _TEXT},
    "accounts": {
        "id": _ID,
        "userId": _ID,
        "type": _TEXT,
        "provider": _TEXT,
        "providerAccountId": _TEXT,
        "scope": _TEXT,
    },
    "sessions": {"id": _ID, "userId": _ID, "expires": _TIME, "sessionToken": _TEXT},
}

_FIND: Final = """
SELECT wanted.name, namespace.nspname::text, attribute.attname::text, type.typname::text,
       attribute.atttypmod, attribute.atthasdef OR attribute.attidentity <> ''
FROM unnest($1::text[]) AS wanted (name)
JOIN pg_class AS relation ON relation.oid = to_regclass(wanted.name)
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
JOIN pg_attribute AS attribute
  ON attribute.attrelid = relation.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
JOIN pg_type AS type ON type.oid = attribute.atttypid
"""

_LARGEST: Final[Mapping[type[TypeEngine[Any]], int]] = {
    SmallInteger: 2**15 - 1,
    Integer: 2**31 - 1,
    BigInteger: 2**63 - 1,
}
_NUMBER: Final = re.compile("[1-9][0-9]{0,18}")
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Their tables have no unique constraint that would stop two first sign-ins of one person. A function, because each of
# its statements sees what was committed before that statement: what a single statement locks is not what it reads.
_TAKEN_NAME: Final = "authjs_taken"
_TAKEN_BODY: Final = """
DECLARE
  number bigint;
  found boolean;
BEGIN
  FOR number IN
    SELECT DISTINCT hashtextextended(claimed, 0) AS hash
    FROM unnest(ARRAY['sojourn email ' || address, 'sojourn account ' || provider || ' ' || account_id]) AS claimed
    WHERE claimed IS NOT NULL
    ORDER BY hash
  LOOP
    PERFORM pg_advisory_xact_lock(number);
  END LOOP;
  IF address IS NOT NULL THEN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE lower(email) = $1 AND id::text IS DISTINCT FROM $2)', users)
      INTO found USING address, but;
    IF found THEN
      RETURN 'email';
    END IF;
  END IF;
  IF account_id IS NOT NULL THEN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE provider = $1 AND "providerAccountId" = $2)', accounts)
      INTO found USING provider, account_id;
    IF found THEN
      RETURN 'account';
    END IF;
  END IF;
  RETURN NULL;
END
"""
_MAKE_TAKEN: Final = (
    f"CREATE OR REPLACE FUNCTION {SCHEMA}.{_TAKEN_NAME}("
    "users regclass, accounts regclass, address text, provider text, account_id text, but text"
    f") RETURNS text LANGUAGE plpgsql VOLATILE AS $body${_TAKEN_BODY}$body$"
)
# Not to_regnamespace: inside a transaction it goes on denying what another one has made meanwhile.
_FIND_SCHEMA: Final = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
_FIND_TAKEN: Final = (
    "SELECT EXISTS (SELECT FROM pg_proc AS function JOIN pg_namespace AS namespace "
    "ON namespace.oid = function.pronamespace WHERE nspname = $1 AND proname = $2 AND prosrc = $3)"
)
# "sojourn", shortened, and one on from the lock under which the tables are made.
_LOCK: Final = 0x736F6A70


class AuthJSTables(msgspec.Struct, frozen=True):
    """Where their tables are, and the types of their columns."""

    users: Table
    accounts: Table
    sessions: Table


def beside_theirs(url: str) -> str:
    """The URL for connections that find our tables by their bare names; theirs are then named with their schema."""
    address, _, query = url.partition("?")
    given = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "search_path"]
    return f"{address}?{urlencode([*given, ('search_path', SCHEMA)], quote_via=quote)}"


async def make_ours(connection: Any) -> None:
    """Make our schema and its function unless they are there; our tables come with the first connection to it."""
    function = (SCHEMA, _TAKEN_NAME, _TAKEN_BODY)
    if await connection.fetchval(_FIND_TAKEN, *function):
        return
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # IF NOT EXISTS asks for the right to make schemas even where there is nothing to make.
        if not await connection.fetchval(_FIND_SCHEMA, SCHEMA):
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        if not await connection.fetchval(_FIND_TAKEN, *function):
            await connection.execute(_MAKE_TAKEN)


async def read_tables(connection: Any) -> AuthJSTables:
    """Their tables as this connection's search path finds them; raises `ConfigError` with what is missing."""
    found: dict[str, list[Sequence[Any]]] = {name: [] for name in _NEEDED}
    for row in await connection.fetch(_FIND, list(_NEEDED)):
        found[row[0]].append(row[1:])
    metadata = MetaData()
    users, accounts, sessions = (_table(name, found[name], metadata) for name in ("users", "accounts", "sessions"))
    return AuthJSTables(users, accounts, sessions)


def _table(name: str, columns: Sequence[Sequence[Any]], metadata: MetaData) -> Table:
    if not columns:
        raise ConfigError(
            "compat_tables",
            f"the database has no table {name} on this user's search path",
            "Make the tables of @auth/pg-adapter first, or name their schema in the URL (?search_path=NAME).",
        )
    schema: str = columns[0][0]
    if schema == SCHEMA:
        raise ConfigError(
            "compat_tables",
            f"the table {name} of Auth.js lies in the schema {SCHEMA}, where Sojourn keeps its own",
            "Keep the tables of Auth.js in another schema.",
        )
    kinds = {column: (kind, length, filled) for _, column, kind, length, filled in columns}
    needed = _NEEDED[name]
    missing = [column for column in needed if column not in kinds]
    if missing:
        raise ConfigError(
            "compat_tables",
            f"the table {name} lacks {', '.join(missing)}",
            "Bring it to the layout of @auth/pg-adapter; column names are case-sensitive.",
        )
    for column, allowed in needed.items():
        kind = kinds[column][0]
        if kind not in allowed:
            raise ConfigError(
                "compat_tables", f"{name}.{column} is a {kind}", f"Make it one of {', '.join(sorted(allowed))}."
            )
        if column == "id" and not kinds[column][2]:
            raise ConfigError(
                "compat_tables",
                f"{name}.id has no default, and neither the adapter nor Sojourn gives one",
                "Give it one, as SERIAL or DEFAULT gen_random_uuid().",
            )
    made = (Column(column, _type(kinds[column][0], kinds[column][1])) for column in needed)
    return Table(name, metadata, *made, schema=schema)


def _type(kind: str, length: int) -> TypeEngine[Any]:
    match kind:
        case "int2":
            return SmallInteger()
        case "int4":
            return Integer()
        case "int8":
            return BigInteger()
        case "uuid":
            return Uuid()
        case "timestamptz":
            return DateTime(timezone=True)
        case "varchar" if length > 4:
            return String(length - 4)  # atttypmod counts its own size
        case _:
            return Text()


def name_in_sql(table: Table) -> str:
    """The table's name with its schema, quoted where needed."""
    return POSTGRES_DIALECT.identifier_preparer.format_table(table)


def fits(column: Column[Any], text: str) -> bool:
    """Whether this text can be an id in that column, in its one spelling. One that cannot is nobody's."""
    largest = _LARGEST.get(type(column.type))
    if largest is not None:
        return _NUMBER.fullmatch(text) is not None and int(text) <= largest
    if isinstance(column.type, Uuid):
        return _UUID.fullmatch(text) is not None
    return storable(text)
