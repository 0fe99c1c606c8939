"""Users and their accounts, spent keys, endings of sessions."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, Table, Text

from sojourn.stores.migrations.steps import create, expect, on_sqlite, reached

revision = "sojourn_0001"
down_revision = None
branch_labels: tuple[str, ...] = ("sojourn",)
depends_on = None


def _tables() -> list[Table]:
    made = MetaData()
    return [
        Table(
            "users",
            made,
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
        ),
        Table(
            "accounts",
            made,
            Column("provider", Text, primary_key=True),
            Column("provider_account_id", Text, primary_key=True),
            Column("type", Text, nullable=False),
            Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
            Column("scope", Text),
            Column("created_at", BigInteger, nullable=False),
        ),
        Table(
            "spent",
            made,
            Column("key", Text, primary_key=True),
            Column("forget_after", BigInteger, nullable=False, index=True),
        ),
        Table(
            "revocations",
            made,
            # On PostgreSQL a position comes from `sojourn_counters`.
            Column(
                "position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=on_sqlite()
            ),
            Column("kind", Text, nullable=False),
            Column("subject", Text, nullable=False),
            Column("at", BigInteger, nullable=False),
            Column("forget_after", BigInteger, nullable=False, index=True),
            sqlite_autoincrement=on_sqlite(),
        ),
        Table("sojourn_schema", made, Column("version", Integer, primary_key=True, autoincrement=False)),
    ]


def _counters() -> Table:
    return Table(
        "sojourn_counters",
        MetaData(),
        Column("name", Text, primary_key=True),
        Column("value", BigInteger, nullable=False),
    )


def upgrade() -> None:
    """Make the tables of version 1."""
    if reached(1):
        return
    create(*_tables())
    if not on_sqlite():
        create(_counters())
        op.execute("INSERT INTO sojourn_counters (name, value) VALUES ('revocations', 0)")
    op.execute("INSERT INTO sojourn_schema (version) VALUES (1)")


def downgrade() -> None:
    """Drop every table; what they hold is lost."""
    expect(1)
    for table in ([] if on_sqlite() else [_counters()]) + _tables()[::-1]:
        op.drop_table(table.name)
