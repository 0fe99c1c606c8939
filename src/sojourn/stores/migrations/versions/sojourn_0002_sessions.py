"""Sessions, how often somebody tried something, and what providers handed out, sealed."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, Table, Text

from sojourn.stores.migrations.steps import create, expect, reached, record

revision = "sojourn_0002"
down_revision = "sojourn_0001"
branch_labels = None
depends_on = None


def _tables() -> list[Table]:
    made = MetaData()
    users = Table("users", made, Column("id", Text, primary_key=True))
    return [
        Table(
            "sessions",
            made,
            Column("sid", Text, primary_key=True),
            Column("user_id", Text, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
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
        ),
        Table(
            "limits",
            made,
            Column("key", Text, primary_key=True),
            Column("recovered_at", BigInteger, nullable=False, index=True),
        ),
    ]


def upgrade() -> None:
    """Bring the tables from version 1 to version 2."""
    if reached(2):
        return
    create(*_tables())
    op.add_column("accounts", Column("sealed_tokens", Text))
    record(2)


def downgrade() -> None:
    """Back to version 1; whoever has a stored session is signed out, and providers' tokens are lost."""
    expect(2)
    op.drop_column("accounts", "sealed_tokens")
    for table in reversed(_tables()):
        op.drop_table(table.name)
    record(1)
