"""What every script of the branch does beside its own tables.

`sojourn_schema` says which version the tables are at, whoever brought them there: the start of a server, `sojourn db
upgrade` or an application's own `alembic upgrade`. A script whose version is reached already changes nothing.
"""

from __future__ import annotations

from alembic import op
from alembic.util import CommandError
from sqlalchemy import Table, inspect, text
from sqlalchemy.schema import CreateIndex, CreateTable

from sojourn.stores.postgres_schema import TABLES_LOCK

__all__ = ["create", "expect", "on_sqlite", "reached", "record"]


def on_sqlite() -> bool:
    """Whether the tables are made for SQLite."""
    return op.get_context().dialect.name == "sqlite"


def reached(version: int) -> bool:
    """Whether the tables are at this version or a later one.

    On PostgreSQL nobody else makes or changes them from here to the end of the transaction. A script that is only
    written down (`--sql`) can look nowhere, and says every step.
    """
    return not op.get_context().as_sql and _version() >= version


def expect(version: int) -> None:
    """Raise `CommandError` unless the tables are at this version, before the way back from it."""
    found = version if op.get_context().as_sql else _version()
    if found != version:
        raise CommandError(
            f"Sojourn's tables are at version {found}, and this is the way back from version {version}. "
            "Run `alembic upgrade sojourn@head` first, so that Alembic knows where they are."
        )


def record(version: int) -> None:
    """Say which version the tables are at now."""
    op.execute(f"UPDATE sojourn_schema SET version = {version}")  # noqa: S608  a number of ours


def create(*tables: Table) -> None:
    """Make the tables and their indexes.

    Not `op.create_table`, which names constraints by the application's own convention: the stores know them by the
    names that PostgreSQL gives.
    """
    for table in tables:
        op.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            op.execute(CreateIndex(index))


def _version() -> int:
    """0 where there are no tables yet."""
    connection = op.get_bind()
    if not on_sqlite():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({TABLES_LOCK})"))
    if not inspect(connection).has_table("sojourn_schema"):
        return 0
    return int(connection.scalar(text("SELECT max(version) FROM sojourn_schema")) or 0)
