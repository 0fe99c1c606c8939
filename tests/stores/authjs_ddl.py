"""The tables of `@auth/pg-adapter`, as its page gives them and as people change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

OFFICIAL: Final = """
CREATE TABLE verification_token (
  identifier TEXT NOT NULL,
  expires TIMESTAMPTZ NOT NULL,
  token TEXT NOT NULL,
  PRIMARY KEY (identifier, token)
);
CREATE TABLE accounts (
  id SERIAL PRIMARY KEY,
  "userId" INTEGER NOT NULL,
  type VARCHAR(255) NOT NULL,
  provider VARCHAR(255) NOT NULL,
  "providerAccountId" VARCHAR(255) NOT NULL,
  refresh_token TEXT,
  access_token TEXT,
  expires_at BIGINT,
  id_token TEXT,
  scope TEXT,
  session_state TEXT,
  token_type TEXT
);
CREATE TABLE sessions (
  id SERIAL PRIMARY KEY,
  "userId" INTEGER NOT NULL,
  expires TIMESTAMPTZ NOT NULL,
  "sessionToken" VARCHAR(255) NOT NULL
);
CREATE TABLE users (
  id SERIAL PRIMARY KEY,
  name VARCHAR(255),
  email VARCHAR(255),
  "emailVerified" TIMESTAMPTZ,
  image TEXT
);
"""

_UUID: Final = "UUID PRIMARY KEY DEFAULT gen_random_uuid()"
LAYOUTS: Final[Mapping[str, str]] = {
    "serial": OFFICIAL,
    "uuid": OFFICIAL.replace("SERIAL PRIMARY KEY", _UUID).replace("INTEGER", "UUID"),
    "text": OFFICIAL.replace("SERIAL PRIMARY KEY", "TEXT PRIMARY KEY DEFAULT gen_random_uuid()::text")
    .replace("INTEGER", "TEXT")
    .replace("VARCHAR(255)", "TEXT"),
    # A sequence that outgrew its type, and identity columns.
    "bigint": OFFICIAL.replace("SERIAL PRIMARY KEY", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY").replace(
        "INTEGER", "BIGINT"
    ),
}

INDEXES: Final = r"""
CREATE UNIQUE INDEX ON users (lower(email));
CREATE UNIQUE INDEX ON accounts (provider, "providerAccountId");
CREATE UNIQUE INDEX ON sessions ("sessionToken");
CREATE INDEX ON accounts ("userId");
CREATE INDEX ON sessions ("userId");
CREATE INDEX ON sessions (expires);
CREATE INDEX ON sessions (left(encode(sha256(replace("sessionToken", '\', '\\')::bytea), 'hex'), 32));
"""
"""What docs/guides/sharing-a-database-with-nextjs.md advises."""


async def run(url: str, script: str) -> None:
    """Carry out statements that return nothing, past every store."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def rows(url: str, query: str, *values: object) -> Sequence[dict[str, Any]]:
    """What stands there, past every store."""
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()
