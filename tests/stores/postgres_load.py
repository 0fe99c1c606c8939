"""Load on a PostgreSQL that is about to fail, and the count afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import asyncpg
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.models import Account, User
from sojourn.ports import Revocation, SessionChange, SessionRecord
from sojourn.stores.postgres import PostgresDatabase

LATE = 1 << 40
PERIOD = 1 << 20


class Load:
    """Writers who sign up one person after the other, sign them in and every second one out again, and remember what
    they were told.

    Anything but the right answer and `StoreUnavailable` ends the test.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.stored: set[str] = set()
        self.spent: set[str] = set()
        self.ended: list[str] = []
        self.versions: dict[str, int] = {}
        self.leaving: set[str] = set()
        self.left: set[str] = set()
        self.counted = 0
        self.outages = 0
        self._stopped = False
        self._news = anyio.Event()

    async def write(self, writer: int) -> None:
        number = 0
        while not self._stopped:
            number += 1
            try:
                await self._one(f"{writer}-{number}", stays=number % 2 == 0)
                await self._look_back(f"{writer}-{number - 1}")
            except StoreUnavailable:
                self.outages += 1
                await checkpoint()
            self._news.set()

    async def _one(self, name: str, *, stays: bool) -> None:
        await self.database.users.create(User(id=name), Account(provider="op", provider_account_id=name))
        self.stored.add(name)
        assert await self.database.once.spend(name, LATE)
        self.spent.add(name)
        assert await self.database.counters.take("all", count=PERIOD, period=PERIOD) is None
        self.counted += 1
        sessions = self.database.sessions
        await sessions.insert(SessionRecord(name, name, name.encode(), b"{}", 1, 1, LATE, LATE))
        self.versions[name] = 1
        change = SessionChange(claims=b"{}", issued_at=2, expires_at=LATE, forget_after=LATE)
        await sessions.replace(name, change, expected_version=1)
        self.versions[name] = 2
        found = await sessions.get_with_user(name)
        assert found is not None
        assert (found[0].version, found[0].secret_hash, found[1]) == (2, name.encode(), User(id=name))
        if not stays:
            self.leaving.add(name)
            assert await sessions.delete(name)
            self.left.add(name)
        await self.database.revocations.append(Revocation(kind="session", subject=name, at=1, forget_after=LATE))
        self.ended.append(name)

    async def _look_back(self, name: str) -> None:
        """Whoever is in is never told otherwise, and whoever is out does not come back."""
        found = await self.database.sessions.get(name)
        assert found is not None or name in self.leaving or name not in self.versions
        assert found is None or name not in self.left

    def stop(self) -> None:
        self._stopped = True

    async def reaches(self, more: int) -> None:
        """Wait until this many more have got through."""
        wanted = len(self.ended) + more
        await self._until(lambda: len(self.ended) >= wanted)

    async def is_refused(self) -> None:
        """Wait until a writer has been turned away."""
        before = self.outages
        await self._until(lambda: self.outages > before)

    async def _until(self, reached: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while not reached():
                self._news = anyio.Event()
                await self._news.wait()

    async def check(self, url: str) -> None:
        """Everything that was promised is there, once; what is there is whole."""
        connection: Any = await asyncpg.connect(url)
        users = [row[0] for row in await connection.fetch("SELECT id FROM users")]
        owners = [row[0] for row in await connection.fetch("SELECT user_id FROM accounts")]
        keys = {row[0] for row in await connection.fetch("SELECT key FROM spent")}
        log = [row[0] for row in await connection.fetch("SELECT subject FROM revocations ORDER BY position")]
        positions = [row[0] for row in await connection.fetch("SELECT position FROM revocations ORDER BY position")]
        versions = {row[0]: row[1] for row in await connection.fetch("SELECT sid, version FROM sessions")}
        recovered_at = await connection.fetchval("SELECT recovered_at FROM limits WHERE key = 'all'")
        await connection.close()
        assert len(users) == len(set(users))
        assert sorted(users) == sorted(owners)
        assert self.stored <= set(users)
        assert self.spent <= keys
        assert len(log) == len(set(log))
        assert set(self.ended) <= set(log)
        assert positions == list(range(1, len(log) + 1))
        assert not self.left & versions.keys()
        for name in self.versions.keys() - self.leaving:
            assert self.versions[name] <= versions[name] <= 2
        # At a clock that stands still each attempt is one step; nobody counts one twice that was answered once.
        assert self.counted <= recovered_at / 1_000_000 <= self.counted + self.outages
