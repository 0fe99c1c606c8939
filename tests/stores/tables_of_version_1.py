"""The tables as the first version made them, letter for letter."""

from __future__ import annotations

_TABLES = """
CREATE TABLE revocations (
    position {position},
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    forget_after BIGINT NOT NULL{position_key}
);
CREATE INDEX ix_revocations_forget_after ON revocations (forget_after);
CREATE TABLE sojourn_schema (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE spent (
    "key" TEXT NOT NULL,
    forget_after BIGINT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE INDEX ix_spent_forget_after ON spent (forget_after);
CREATE TABLE users (
    id TEXT NOT NULL,
    username TEXT,
    name TEXT,
    email TEXT,
    email_verified_at BIGINT,
    image TEXT,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT,
    disabled_at BIGINT,
    password_hash TEXT,
    PRIMARY KEY (id),
    UNIQUE (username),
    UNIQUE (email)
);
CREATE TABLE accounts (
    provider TEXT NOT NULL,
    provider_account_id TEXT NOT NULL,
    type TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scope TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (provider, provider_account_id),
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_accounts_user_id ON accounts (user_id);
INSERT INTO sojourn_schema (version) VALUES (1);
"""

SQLITE = _TABLES.format(position="INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", position_key="")

POSTGRES = (
    _TABLES.format(position="BIGINT NOT NULL", position_key=",\n    PRIMARY KEY (position)")
    + """
CREATE TABLE sojourn_counters (
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name)
);
INSERT INTO sojourn_counters (name, value) VALUES ('revocations', 0);
"""
)
