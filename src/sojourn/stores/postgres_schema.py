"""The same tables on PostgreSQL, and their making: whoever else starts at the same moment finds them made."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from sojourn.errors import ConfigError
from sojourn.stores import schema

__all__ = ["POSTGRES_CREATE", "POSTGRES_DIALECT", "TABLES_LOCK", "counters", "prepare"]

POSTGRES_DIALECT: Final = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so


def _tables() -> MetaData:
    copied = MetaData()
    for table in schema.metadata.sorted_tables:
        # Every number here is given: a position by the counter, the version by this release.
        for column in table.to_metadata(copied).columns:
            column.autoincrement = False
    return copied


_metadata: Final = _tables()

# Positions come from a row and not from a sequence: the row stays locked until its transaction ends, so that the order
# of the positions is the order of the commits. A sequence hands out 7 and 8, 8 commits first, and whoever has read up
# to 8 never sees 7. An advisory lock would do as well, but some engines that speak this language take it and ignore it.
counters: Table = Table(
    "sojourn_counters",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def _create(table: Table) -> list[str]:
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    made: list[ClauseElement] = [CreateTable(table), *(CreateIndex(index) for index in indexes)]
    return [str(statement.compile(dialect=POSTGRES_DIALECT)) for statement in made]


POSTGRES_CREATE: Final = (
    *(statement for table in _metadata.sorted_tables for statement in _create(table)),
    "INSERT INTO sojourn_counters (name, value) VALUES ('revocations', 0)",
)
"""Everything a new database needs, in order; `sojourn_schema` then wants its row, in the same transaction."""

# Any number does that no other program locks; "sojo".
TABLES_LOCK: Final = 0x736F6A6F
# Not to_regclass: inside a transaction it goes on denying a table that another one has made meanwhile.
_FIND_VERSION_TABLE: Final = (
    "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'sojourn_schema' AND pg_table_is_visible(oid))"
)
_FIND_NAMES: Final = (
    "SELECT relname::text FROM pg_class "
    "WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = ANY($1::text[]) ORDER BY 1"
)


async def prepare(connection: Any) -> None:
    """Make the tables unless they are there.

    Raises `ConfigError` for tables that are another release's or not Sojourn's, beside what the driver raises.
    """
    if not await connection.fetchval(_FIND_VERSION_TABLE):
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({TABLES_LOCK})")
            if not await connection.fetchval(_FIND_VERSION_TABLE):
                await _make_tables(connection)
    schema.check_version(await connection.fetchval("SELECT max(version) FROM sojourn_schema"))


async def _make_tables(connection: Any) -> None:
    foreign = [row[0] for row in await connection.fetch(_FIND_NAMES, sorted(_metadata.tables))]
    if foreign:
        raise ConfigError(
            "database",
            f"the database has tables that Sojourn did not make: {', '.join(foreign)}",
            'Give Sojourn a database of its own, or a schema: CREATE SCHEMA, and "?search_path=NAME" in the URL.',
        )
    await connection.execute(";\n".join(POSTGRES_CREATE))
    await connection.execute("INSERT INTO sojourn_schema (version) VALUES ($1)", schema.SCHEMA_VERSION)
