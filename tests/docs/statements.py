"""The statements of the SQL stores, who asks them, and their plans, for docs/reference/statements.md.

SQLite explains its own each time. PostgreSQL's plans lie in plans_of_postgres.json, so that the page can be compared
without a server; a test compares that file with a real one, and `python -m tests.docs.statements` writes it anew.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sqlite3
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import asyncpg

from sojourn.stores import postgres, postgres_channel, postgres_sessions, sql, sqlite_sessions
from sojourn.stores.postgres import PostgresDatabase
from sojourn.stores.schema import SQLITE_CREATE
from tests.servers.postgres import a_server
from tests.stores.test_postgres_statements import FILL, STATEMENTS, explained
from tests.stores.test_sqlite_sessions import STATEMENTS as SQLITE_STATEMENTS
from tests.stores.test_sqlite_sessions import steps

__all__ = [
    "ASKED",
    "PLANS",
    "asked_by",
    "calls_of_postgres",
    "calls_of_sqlite",
    "plans_of",
    "statements_of_postgres",
    "statements_of_sqlite",
]

PLANS: Final = Path(__file__).with_name("plans_of_postgres.json")

ASKED: Final[Mapping[str, str]] = {
    "sessions.get": "each check of a stored session",
    "sessions.get_with_user": "each check with `session.with_user`",
    "sessions.insert": "a sign-in, with stored sessions",
    "sessions.replace": "an extension, at most once for each `update_age`; `POST /session`",
    "sessions.delete": "signing out; `sojourn sessions revoke SID`",
    "sessions.list_for_user": "`sojourn sessions list` and `revoke`",
    "sessions.delete_for_user": "`sojourn sessions revoke --user`",
    "sessions.purge": "tidying up in the background, `auth.purge()`, `sojourn sessions purge`",
    "users.get": "`session.user()` without `with_user`; an extension; a sign-in of somebody who is in already",
    "users.get_by_account": "a sign-in with a provider",
    "users.get_by_email": "a sign-in with an address, a first sign-in with a provider",
    "users.get_by_username": "a sign-in with a username",
    "users.list_accounts": "a first sign-in with an address that is somebody's; `auth.provider_tokens`",
    "users.create": "a first sign-in; `sojourn users add`",
    "users.link": "a sign-in that adds an account to a user",
    "users.record_login": "each sign-in of a known user",
    "users.update": "your own code",
    "users.set_password_hash": "a sign-in whose password is hashed anew",
    "users.keep_tokens": "a sign-in with `keep_tokens`",
    "counters.take": "each attempt with a password, for its network and its account",
    "counters.give_back": "an attempt that does not count after all",
    "counters.clear": "a right password",
    "once.spend": "a provider's answer",
    "revocations.append": "signing out, with sessions in tokens",
    "revocations.read": "the start of a process, and whenever something ended, with sessions in tokens",
    "revocations.wait": "every process with sessions in tokens, all the time, in the background",
}
"""Each call of the stores, in the page's order, and what makes it."""

_STORES: Final[Mapping[str, str]] = {
    "SessionStore": "sessions",
    "UserStore": "users",
    "CounterStore": "counters",
    "OnceStore": "once",
    "RevocationLog": "revocations",
    "Channel": "revocations",
}


def _methods(kind: type, name: str) -> Iterator[str]:
    """The public methods of a store whose code names this statement, themselves or through a private one."""
    sources = {method: inspect.getsource(found) for method, found in vars(kind).items() if inspect.isfunction(found)}
    for method, source in sources.items():
        through = (sources[private] for private in re.findall(r"self\.(_\w+)\(", source) if private in sources)
        if not method.startswith("_") and any(re.search(rf"(?<![\w]){name}\b", text) for text in (source, *through)):
            yield method


def asked_by(module: ModuleType, name: str) -> list[str]:
    """The calls, like `users.get`, that ask the statement that has this name in the module of the stores."""
    return [
        f"{store}.{method}"
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__
        for suffix, store in _STORES.items()
        if kind.__name__.endswith(suffix)
        for method in _methods(kind, name)
    ]


def _section(call: str, texts: list[tuple[str, list[str]]]) -> str:
    parts = [f"### {call}", f"Asked by: {ASKED[call]}."]
    for text, plan in texts:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        wrapped = [textwrap.fill(line, 116, subsequent_indent="    ", break_long_words=False) for line in lines]
        parts.append("```sql\n{}\n```".format("\n".join(wrapped)))
        parts.append("```text\n{}\n```".format("\n".join(plan or ["nothing is searched for"])))
    return "\n\n".join(parts)


def _page(found: Mapping[str, list[tuple[str, list[str]]]]) -> str:
    return "\n\n".join(_section(call, found[call]) for call in ASKED if call in found)


def calls_of_sqlite() -> dict[str, list[str]]:
    """The calls that ask each statement of SQLite, by its name with its module's."""
    modules = {module.__name__: module for module in (sql, sqlite_sessions)}
    return {name: asked_by(modules[name.rpartition(".")[0]], name.rpartition(".")[2]) for name in SQLITE_STATEMENTS}


def calls_of_postgres() -> dict[str, list[str]]:
    """The calls that ask each statement of PostgreSQL, by its name."""
    modules = (postgres, postgres_sessions, postgres_channel)
    return {name: [call for module in modules for call in asked_by(module, name)] for name in STATEMENTS}


def statements_of_sqlite() -> str:
    """A section for each call: its statements, and how SQLite reads each table."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in SQLITE_CREATE:
            connection.execute(statement)
        for name, calls in calls_of_sqlite().items():
            text = SQLITE_STATEMENTS[name]
            for call in calls:
                found.setdefault(call, []).append((text, steps(connection, text)))
    return _page(found)


def statements_of_postgres() -> str:
    """The same for PostgreSQL, with the plans that were written down."""
    plans = json.loads(PLANS.read_text())
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for name, calls in calls_of_postgres().items():
        for call in calls:
            found.setdefault(call, []).append((STATEMENTS[name].text, plans[name]))
    return _page(found)


async def plans_of(url: str) -> dict[str, list[str]]:
    """How PostgreSQL reads and changes each table for each statement, on full tables; `url` is an empty database."""
    database = PostgresDatabase(url)
    await database.connect()
    await database.aclose()
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(FILL)
        await connection.execute("VACUUM ANALYZE")
        return {name: _lines(await explained(connection, found)) for name, found in STATEMENTS.items()}
    finally:
        await connection.close()


def _lines(plan: list[dict[str, Any]]) -> list[str]:
    return [line for node in plan if (line := _line(node))]


def _line(node: Mapping[str, Any]) -> str:
    """The kind of this step, its table and its index; nothing for what reads no table, and no costs."""
    match node:
        case {"Operation": str(operation), "Relation Name": str(table)}:
            arbiters = ", ".join(node.get("Conflict Arbiter Indexes", []))
            return f"{operation} on {table}" + (f", conflicts found by {arbiters}" if arbiters else "")
        case {"Node Type": str(kind), "Index Name": str(index), "Relation Name": str(table)}:
            return f"{kind} using {index} on {table}"
        case {"Node Type": str(kind), "Index Name": str(index)}:
            return f"{kind} on {index}"
        case {"Node Type": str(kind), "Relation Name": str(table)}:
            return f"{kind} on {table}"
        case _:
            return ""


if __name__ == "__main__":
    with a_server() as server:
        empty = server.make_database()
        PLANS.write_text(json.dumps(asyncio.run(plans_of(server.url(empty))), indent=2) + "\n")
        server.drop_database(empty)
