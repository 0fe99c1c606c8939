"""Load on a PostgreSQL that is about to fail, and the count afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import asyncpg
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.models import Account, User
from sojourn.ports import Revocation
from sojourn.stores.postgres import PostgresDatabase


class Load:
    """Writers who sign up one person after the other, and remember whom they were told is stored."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.stored: set[str] = set()
        self.spent: set[str] = set()
        self.ended: list[str] = []
        self.outages = 0
        self._stopped = False
        self._news = anyio.Event()

    async def write(self, writer: int) -> None:
        number = 0
        while not self._stopped:
            number += 1
            name = f"{writer}-{number}"
            try:
                await self.database.users.create(User(id=name), Account(provider="op", provider_account_id=name))
                self.stored.add(name)
                assert await self.database.once.spend(name, 1 << 40)
                self.spent.add(name)
                await self.database.revocations.append(
                    Revocation(kind="session", subject=name, at=1, forget_after=1 << 40)
                )
                self.ended.append(name)
            except StoreUnavailable:
                self.outages += 1
                await checkpoint()
            self._news.set()

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
        await connection.close()
        assert len(users) == len(set(users))
        assert sorted(users) == sorted(owners)
        assert self.stored <= set(users)
        assert self.spent <= keys
        assert len(log) == len(set(log))
        assert set(self.ended) <= set(log)
        assert positions == list(range(1, len(log) + 1))
