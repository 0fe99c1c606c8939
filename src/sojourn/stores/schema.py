"""The tables, said once in SQLAlchemy Core.

Ids are made by the client, times are epoch seconds, and no column type belongs to one engine, so that the same tables
fit PostgreSQL and what speaks its language.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from sojourn.errors import ConfigError

__all__ = [
    "SCHEMA_VERSION",
    "SQLITE_CREATE",
    "OlderTables",
    "accounts",
    "check_version",
    "limits",
    "metadata",
    "revocations",
    "sessions",
    "spent",
    "sqlite_text",
    "users",
]

SCHEMA_VERSION: Final = 2

metadata: MetaData = MetaData()

users: Table = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("username", Text, unique=True),
    Column("name", Text),
    Column("email", Text, unique=True),
    Column("email_verified_at", BigInteger),
    Column("image", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("last_login_at", BigInteger),
    Column("disabled_at", BigInteger),
    Column("password_hash", Text),
)

accounts: Table = Table(
    "accounts",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("provider_account_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("scope", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("sealed_tokens", Text),
)

# The columns are those of `ports.SessionRecord`. Whoever deletes a user ends their sessions in the same step.
sessions: Table = Table(
    "sessions",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("claims", LargeBinary, nullable=False),
    Column("auth_time", BigInteger, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("forget_after", BigInteger, nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("provider", Text),
    Column("client", Text),
    Column("user_agent", Text),
)

# When each key will have recovered, in microseconds since the epoch; until then it is needed (policy/rate_limit.py).
limits: Table = Table(
    "limits",
    metadata,
    Column("key", Text, primary_key=True),
    Column("recovered_at", BigInteger, nullable=False, index=True),
)

spent: Table = Table(
    "spent",
    metadata,
    Column("key", Text, primary_key=True),
    Column("forget_after", BigInteger, nullable=False, index=True),
)

# A position is never given out twice, not even after the newest entries were forgotten: readers go on from theirs.
revocations: Table = Table(
    "revocations",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("forget_after", BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)

# A table and not PRAGMA user_version: the file may be the application's own, which may use that number itself.
schema_version: Table = Table("sojourn_schema", metadata, Column("version", Integer, primary_key=True))


class OlderTables(ConfigError):
    """The tables are an earlier release's; `version` is theirs."""

    def __init__(self, version: int) -> None:
        self.version: int = version
        seen = f"the tables have schema version {version}, this version of Sojourn needs {SCHEMA_VERSION}"
        super().__init__("database", seen, "Run `sojourn db upgrade`.")


def check_version(found: int | None) -> None:
    """Raise `OlderTables`, or `ConfigError` for a newer release's, unless these tables are this release's."""
    if found == SCHEMA_VERSION:
        return
    if found is not None and found < SCHEMA_VERSION:
        raise OlderTables(found)
    raise ConfigError(
        "database",
        f"the tables have schema version {found}, this version of Sojourn knows {SCHEMA_VERSION}",
        "Run the version of Sojourn that wrote them, or a newer one.",
    )


_SQLITE: Final = sqlite_dialect(paramstyle="named")


def sqlite_text(statement: ClauseElement) -> str:
    """The statement as SQLite's driver takes it, with `:name` parameters."""
    return str(statement.compile(dialect=_SQLITE))


def _create(table: Table) -> list[str]:
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [sqlite_text(CreateTable(table)), *(sqlite_text(CreateIndex(index)) for index in indexes)]


SQLITE_CREATE: Final = tuple(statement for table in metadata.sorted_tables for statement in _create(table))
"""Everything a new SQLite file needs, in order; `sojourn_schema` then wants its row."""
