"""An empty database of each engine and driver, and what exactly is in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.servers.postgres import Postgres
from tests.stores import tables_of_version_1

# Alembic's own note, and the engine's.
_NOT_OURS = frozenset({"alembic_version", "sqlite_sequence"})

_COLUMNS = """
SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 3
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
_SEQUENCES = "SELECT relname, relkind FROM pg_class WHERE relkind = 'S'"
_CATALOGUES = (_COLUMNS, _CONSTRAINTS, _INDEXES, _SEQUENCES)


class Database(Protocol):
    """A database of its own; `url` is Sojourn's, `alchemy_url` SQLAlchemy's."""

    url: str
    alchemy_url: str
    dialect: str
    version_1: str

    def execute(self, statements: str) -> None: ...

    def rows(self, query: str) -> list[Any]: ...

    def layout(self) -> dict[str, list[Any]]:
        """Every column, index, constraint and sequence, as the engine tells it."""
        ...


class SQLiteFile:
    dialect = "sqlite"
    version_1 = tables_of_version_1.SQLITE

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.alchemy_url = self.url

    def execute(self, statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(statements)

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()

    def layout(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for table, sql in self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY 1"):
            if table not in _NOT_OURS:
                found[table] = ["AUTOINCREMENT" in sql, *self._parts(table)]
        return found

    def _parts(self, table: str) -> Iterator[Any]:
        yield from self.rows(f"SELECT * FROM pragma_table_xinfo('{table}')")
        yield from self.rows(f"SELECT * FROM pragma_foreign_key_list('{table}')")
        # Not their numbers, which follow the order of making.
        for index in self.rows(
            f"SELECT name, \"unique\", origin, partial FROM pragma_index_list('{table}') ORDER BY 1"
        ):
            yield index, self.rows(f"SELECT * FROM pragma_index_xinfo('{index[0]}')")


class PostgresDatabase:
    dialect = "postgresql"
    version_1 = tables_of_version_1.POSTGRES

    def __init__(self, url: str, driver: str) -> None:
        self._address = url
        self.alchemy_url = f"postgresql+psycopg{url.removeprefix('postgresql')}"
        self.url = f"postgresql+{driver}{url.removeprefix('postgresql')}"

    def execute(self, statements: str) -> None:
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(statements.encode())

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self._address) as connection:
            return connection.execute(query.encode()).fetchall()

    def layout(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for query in _CATALOGUES:
            for table, *rest in self.rows(query):
                if table not in _NOT_OURS:
                    found.setdefault(table, []).append(tuple(rest))
        return found


@contextmanager
def an_empty_database(kind: str, postgres: Postgres, folder: Path) -> Iterator[Database]:
    """`kind` is `sqlite`, `asyncpg` or `psycopg`."""
    if kind == "sqlite":
        yield SQLiteFile(folder / "sojourn.db")
        return
    name = postgres.make_database()
    try:
        yield PostgresDatabase(postgres.url(name), kind)
    finally:
        postgres.drop_database(name)
