"""Finding a stored session and extending it, beside the raw driver and other libraries on the same servers, in one run.

Rounds are interleaved. Sixteen tasks ask at once, as in a server; who has no async form asks from one thread. The
ratio is of the client's processor time: how long a server takes is the same for all who send it the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from sojourn import Claims, User
from sojourn.claims import ClaimsCodec
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import SessionChange, SessionStore, UserStore, system_clock
from sojourn.strategies import Arrival
from sojourn.strategies.database import DatabaseStrategy

ROUNDS: Final = 9
ASKED: Final = 480  # of each in one round
TASKS: Final = 16
PEOPLE: Final = 64
LIFETIMES: Final = Lifetimes(max_age=43_200, update_age=3600, grace_period=900, absolute_age=30 * 86_400)

Ask = Callable[[int], Awaitable[object]]
Call = Callable[[int], object]
Table = dict[str, dict[str, Ask | Call]]


class MyClaims(Claims):
    """The claims that most applications have."""

    username: str | None = None
    is_sponsor: bool = False


class People:
    """Sessions in one of our stores, and the tokens that open them."""

    def __init__(self, store: SessionStore, users: UserStore | None) -> None:
        self.store = store
        self.users = users
        self.strategy = self._strategy(with_user=False)
        self.joined = self._strategy(with_user=True)
        self.tokens: list[str] = []
        self.sids: list[str] = []
        self.versions: list[int] = []

    async def move_in(self) -> None:
        """Start their sessions."""
        for number in range(PEOPLE):
            user = User(id=f"018bcfe5-6800-7000-8000-{number:012x}", name="Ada", email=f"ada{number}@example.com")
            if self.users is not None:
                await self.users.create(user)
            claims = MyClaims(sub=user.id, name="Ada Lovelace", email=user.email, username="ada")
            issued = await self.strategy.start(claims, Arrival(provider="github", client="127.0.0.1"))
            self.tokens.append(issued.token)
            self.sids.append(issued.session.sid)
            self.versions.append(1)

    async def get(self, number: int) -> object:
        return await self.store.get(self.sids[number % PEOPLE])

    async def check(self, number: int) -> object:
        return await self.strategy.find(self.tokens[number % PEOPLE])

    async def check_joined(self, number: int) -> object:
        return await self.joined.find(self.tokens[number % PEOPLE])

    async def extend(self, number: int) -> None:
        person = number % PEOPLE
        self.versions[person] += 1
        change = SessionChange(claims=CLAIMS, issued_at=NOW, expires_at=NOW + 43_200, forget_after=NOW + 44_175)
        await self.store.replace(self.sids[person], change, expected_version=self.versions[person] - 1)

    def _strategy(self, *, with_user: bool) -> DatabaseStrategy[MyClaims]:
        return DatabaseStrategy(
            store=self.store,
            codec=ClaimsCodec(MyClaims),
            lifetimes=LIFETIMES,
            ended=EndedSessions(),
            clock=system_clock,
            with_user=with_user,
        )


NOW: Final = system_clock()
CLAIMS: Final = msgspec.json.encode(MyClaims(sub="ada", name="Ada Lovelace", email="ada@example.com", username="ada"))


async def postgres(stack: ExitStack, closing: AsyncExitStack) -> Table:
    """PostgreSQL: asyncpg's own pool is what the others are measured by."""
    import asyncpg
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    from sojourn.stores import open_database
    from sojourn.stores import postgres_statements as ask
    from tests.servers.postgres import a_server

    server = stack.enter_context(a_server())
    name = await asyncio.to_thread(server.make_database)
    url = server.url(name)
    stores = open_database(url)
    await stores.start()
    closing.push_async_callback(stores.aclose)
    people = People(stores.sessions, stores.users)
    await people.move_in()
    pool: Any = await asyncpg.create_pool(url, min_size=10, max_size=10)
    closing.push_async_callback(pool.close)
    engine = create_async_engine(
        url.replace("postgresql:", "postgresql+asyncpg:"), pool_size=10, isolation_level="AUTOCOMMIT"
    )
    closing.push_async_callback(engine.dispose)
    written = ask.REPLACE_SESSION.text
    by_core = text("SELECT * FROM sessions WHERE sid = :sid")

    async def core(number: int) -> object:
        async with engine.connect() as connection:
            return (await connection.execute(by_core, {"sid": people.sids[number % PEOPLE]})).one()

    async def raw_update(number: int) -> object:
        person = number % PEOPLE
        people.versions[person] += 1
        values = {
            "new_claims": CLAIMS,
            "new_issued_at": NOW,
            "new_expires_at": NOW + 43_200,
            "new_forget_after": NOW + 44_175,
            "session_id": people.sids[person],
            "expected_version": people.versions[person] - 1,
        }
        return await pool.fetchrow(written, *ask.REPLACE_SESSION.values(values))

    better, session_of = await better_auth(url, closing)
    django_load, django_save = django(url)
    return {
        "PostgreSQL, find": {
            "asyncpg pool, the same statement": lambda n: pool.fetchrow(ask.GET_SESSION.text, people.sids[n % PEOPLE]),
            "Sojourn, record": people.get,
            "Sojourn, check of a token": people.check,
            "SQLAlchemy Core, AUTOCOMMIT": core,
            "Django, SessionStore.load": django_load,
        },
        "PostgreSQL, find with the user": {
            "asyncpg pool, the same statement": lambda n: pool.fetchrow(
                ask.GET_SESSION_WITH_USER.text, people.sids[n % PEOPLE]
            ),
            "Sojourn, check of a token": people.check_joined,
            "better-auth-server, find_session": lambda n: better.find_session(session_of(n)),
        },
        "PostgreSQL, extend": {
            "asyncpg pool, the same statement": raw_update,
            "Sojourn": people.extend,
            "Django, SessionStore.save": django_save,
            "better-auth-server, update_session": lambda n: better.update_session(
                session_of(n), {"expiresAt": datetime.now(UTC) + timedelta(hours=12)}
            ),
        },
    }


async def better_auth(url: str, closing: AsyncExitStack) -> tuple[Any, Callable[[int], str]]:
    """better-auth-server's sessions, in its own tables of the same database."""
    from better_auth import BetterAuth
    from better_auth.adapters.sqlalchemy import SQLAlchemyAdapter
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), pool_size=10)
    closing.push_async_callback(engine.dispose)
    adapter = SQLAlchemyAdapter(engine)
    auth = BetterAuth(secret="measured-with-this-secret-of-32-bytes", base_url="http://127.0.0.1", adapter=adapter)
    await adapter.create_tables()
    tokens = []
    for number in range(PEOPLE):
        user = await auth.internal.create_user({"name": "Ada", "email": f"ada{number}@example.com"})
        tokens.append((await auth.internal.create_session(user["id"]))["token"])
    return auth.internal, lambda number: tokens[number % PEOPLE]


def django(url: str) -> tuple[Call, Call]:
    """Django's database sessions, from one thread: (load, save)."""
    import os
    from urllib.parse import urlsplit

    from django.conf import settings
    from django.core.management import call_command

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    parts = urlsplit(url)
    settings.configure(
        SECRET_KEY="measured",
        INSTALLED_APPS=["django.contrib.sessions"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": parts.hostname,
                "PORT": parts.port,
                "USER": parts.username,
                "PASSWORD": parts.password,
                "NAME": parts.path[1:],
                "CONN_MAX_AGE": None,
            }
        },
    )
    import django as whole

    whole.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.sessions.backends.db import SessionStore as Store

    stores = []
    for number in range(PEOPLE):
        store = Store()
        store["user"] = {"name": "Ada Lovelace", "email": f"ada{number}@example.com", "username": "ada"}
        store.create()
        store.save()
        stores.append(store)

    def load(number: int) -> object:
        return Store(stores[number % PEOPLE].session_key).load()

    return load, lambda number: stores[number % PEOPLE].save()


async def sqlite(stack: ExitStack, closing: AsyncExitStack) -> Table:
    """SQLite: the driver in this very thread is what the others are measured by."""
    from sojourn.stores import open_database, statements
    from sojourn.stores.schema import sqlite_text

    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "sojourn.db"
    stores = open_database(f"sqlite:///{path}")
    await stores.start()
    closing.push_async_callback(stores.aclose)
    people = People(stores.sessions, stores.users)
    await people.move_in()
    connection = sqlite3.connect(path, isolation_level=None)
    stack.callback(connection.close)
    connection.execute("PRAGMA synchronous = FULL")
    found, joined = sqlite_text(statements.GET_SESSION), sqlite_text(statements.GET_SESSION_WITH_USER)
    written = sqlite_text(statements.REPLACE_SESSION)

    def raw_update(number: int) -> object:
        person = number % PEOPLE
        people.versions[person] += 1
        values = {
            "new_claims": CLAIMS,
            "new_issued_at": NOW,
            "new_expires_at": NOW + 43_200,
            "new_forget_after": NOW + 44_175,
            "session_id": people.sids[person],
            "expected_version": people.versions[person] - 1,
        }
        return connection.execute(written, values)

    return {
        "SQLite, find": {
            "sqlite3, the same statement": lambda n: connection.execute(
                found, {"session_id": people.sids[n % PEOPLE]}
            ).fetchone(),
            "Sojourn, record": people.get,
            "Sojourn, check of a token": people.check,
        },
        "SQLite, find with the user": {
            "sqlite3, the same statement": lambda n: connection.execute(
                joined, {"session_id": people.sids[n % PEOPLE]}
            ).fetchone(),
            "Sojourn, check of a token": people.check_joined,
        },
        "SQLite, extend (synchronous=FULL)": {
            "sqlite3, the same statement": raw_update,
            "Sojourn": people.extend,
        },
    }


async def redis(stack: ExitStack, closing: AsyncExitStack) -> Table:
    """Valkey: redis-py's plain commands are what the others are measured by."""
    from redis.asyncio import Redis
    from starsessions.stores.redis import RedisStore

    from sojourn.stores.redis import RedisServer
    from tests.servers.valkey import a_server

    url = stack.enter_context(a_server())
    server = RedisServer(url)
    await server.connect()
    closing.push_async_callback(server.aclose)
    people = People(server.sessions, None)
    await people.move_in()
    client = Redis.from_url(url, max_connections=TASKS)
    closing.push_async_callback(client.aclose)
    star = RedisStore(connection=client)
    keys = [f"plain:{number}" for number in range(PEOPLE)]
    value = CLAIMS + hashlib.sha256(CLAIMS).digest() * 3  # as long as a record
    for key in keys:
        await client.set(key, value)
        await star.write(key, value, 43_200, 43_200)
    return {
        "Valkey, find": {
            "redis-py, GET": lambda n: client.get(keys[n % PEOPLE]),
            "Sojourn, record": people.get,
            "Sojourn, check of a token": people.check,
            "starsessions, read": lambda n: star.read(keys[n % PEOPLE], 43_200),
        },
        "Valkey, extend": {
            "redis-py, SET with EX": lambda n: client.set(keys[n % PEOPLE], value, ex=43_200),
            "Sojourn (only if it lives and is as it was read)": people.extend,
            "starsessions, write": lambda n: star.write(keys[n % PEOPLE], value, 43_200, 43_200),
        },
    }


async def measured(ask: Ask | Call) -> tuple[float, float]:
    """Processor and wall time of one, in microseconds."""
    first = ask(0)
    if isinstance(first, Awaitable):
        await first
        later = cast("Ask", ask)

        async def task(offset: int) -> None:
            for number in range(offset, ASKED, TASKS):
                await later(number)

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(task(offset) for offset in range(TASKS)))
    else:
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(ASKED):
            ask(number)
    return (time.process_time() - cpu) / ASKED * 1e6, (time.perf_counter() - wall) / ASKED * 1e6


async def section(tables: Table, budgets: dict[str, float]) -> list[str]:
    """Each table, its rows in turns."""
    told: list[str] = []
    for title, rows in tables.items():
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, ask in rows.items():
                figures[name].append(await measured(ask))
        cpu = {name: statistics.median(one for one, _ in found) for name, found in figures.items()}
        wall = {name: statistics.median(one for _, one in found) for name, found in figures.items()}
        base = next(iter(rows))
        told += [f"### {title}", "", "| | CPU µs | x | wall µs | x | budget |", "|---|--:|--:|--:|--:|---|"]
        for name in rows:
            ratio = cpu[name] / cpu[base]
            budget = budgets.get(name.partition(",")[0].partition(" (")[0], 0) if name != base else 0
            met = f"{budget} x, {'met' if ratio <= budget else 'not met'}" if budget else ""
            told.append(
                f"| {name} | {cpu[name]:.0f} | {ratio:.2f} | {wall[name]:.0f} | {wall[name] / wall[base]:.2f} | {met} |"
            )
        told.append("")
    return told


async def everything() -> str:
    """All tables."""
    told = [
        "## Sessions in a store",
        "",
        f"One of {PEOPLE} sessions is found or extended; {TASKS} tasks at once, {ROUNDS} rounds of {ASKED}. The first",
        "row of each table is the raw driver, and x is beside it. Times of the processor are the client's alone.",
        "",
    ]
    for tables, budget in ((postgres, 1.25), (sqlite, 1.25), (redis, 1.1)):
        with ExitStack() as stack:
            async with AsyncExitStack() as closing:
                told += await section(await tables(stack, closing), {"Sojourn": budget})
    return "\n".join(told)


def main() -> str:
    """The section of docs/performance.md."""
    warnings.simplefilter("ignore")  # peers' own
    return asyncio.run(everything())
