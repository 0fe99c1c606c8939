"""Load on a Redis that is about to fail, and the count afterwards."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sojourn.errors import Conflict, StoreUnavailable
from sojourn.identifiers import session_id
from sojourn.ports import Revocation, SessionChange, SessionRecord, system_clock
from sojourn.stores.redis import RedisServer

FAR = 1 << 33


def a_session(user_id: str) -> SessionRecord:
    now = system_clock()
    sid = session_id(user_id, now)
    return SessionRecord(sid, user_id, sid.encode()[:32], b'{"n":0}', now, now, now + 3600, now + 3660)


def extension(record: SessionRecord) -> SessionChange:
    return SessionChange(
        claims=b'{"n":1}', issued_at=record.issued_at, expires_at=record.expires_at, forget_after=record.forget_after
    )


def slot_of(user_id: str) -> int:
    """Where in a Cluster a user's keys are."""
    return crc_hqx(session_id(user_id, 0)[-4:].encode(), 0) % 16384


class Load:
    """People who sign in, come back, stay longer and sign out, and remember what they were told."""

    def __init__(self, server: RedisServer, users: Callable[[int], str] = "user-{}".format) -> None:
        self.server = server
        self.living: dict[str, SessionRecord] = {}
        self.ended: list[str] = []
        self.spent: list[str] = []
        self.outages = 0
        self.rounds = 0
        self._users = users
        self._stopped = False
        self._news = anyio.Event()

    async def work(self, worker: int) -> None:
        """One person after the other; anything but an answer or `StoreUnavailable` fails the test."""
        while not self._stopped:
            try:
                await self._one(self._users(random.randrange(200)))
            except StoreUnavailable:
                self.outages += 1
                await checkpoint()
            self._news.set()

    @asynccontextmanager
    async def running(self, workers: int = 8) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            for worker in range(workers):
                tasks.start_soon(self.work, worker)
            await self.reaches(30)
            yield
            await self.reaches(30)
            self._stopped = True

    async def reaches(self, more: int) -> None:
        """Wait until so many more rounds have been gone through."""
        wanted = self.rounds + more
        await self._until(lambda: self.rounds >= wanted)

    async def is_refused(self) -> None:
        """Wait until somebody has been turned away."""
        before = self.outages
        await self._until(lambda: self.outages > before)

    async def check(self) -> None:
        """Who was told to be signed in is, who was told to be signed out is, and what was spent stays spent."""
        store = self.server.sessions
        for sid, record in self.living.items():
            assert await store.get(sid) is not None, sid
            assert sid in {other.sid for other in await store.list_for_user(record.user_id)}
        for sid in self.ended:
            assert await store.get(sid) is None
        _, log = await self.server.revocations.read()
        assert set(self.ended) <= {entry.subject for entry in log}
        for key in self.spent:
            assert not await self.server.once.spend(key, FAR)

    async def _one(self, user_id: str) -> None:
        store = self.server.sessions
        record = a_session(user_id)
        await store.insert(record)
        self.living[record.sid] = record
        found = await store.get(record.sid)
        assert found == record
        if len(self.living) > 1:
            other = random.choice(list(self.living))
            # Whoever signs out while this is on its way has left `living` before.
            assert await store.get(other) is not None or other not in self.living, "somebody was signed out"
        try:
            await store.replace(record.sid, extension(record), expected_version=1)
        except Conflict:
            raise AssertionError("a session that lives was refused its extension") from None
        if await self.server.once.spend(record.sid, FAR):
            self.spent.append(record.sid)
        if self.rounds % 2:
            del self.living[record.sid]  # from here on nobody knows, until it is answered
            assert await store.delete(record.sid)
            revocation = Revocation(kind="session", subject=record.sid, at=1, forget_after=FAR)
            await self.server.revocations.append(revocation)
            self.ended.append(record.sid)
        self.rounds += 1

    async def _until(self, reached: Callable[[], bool]) -> None:
        with anyio.fail_after(20):
            while not reached():
                self._news = anyio.Event()
                await self._news.wait()


async def unavailable(attempt: Awaitable[object]) -> str:
    """That it is refused as unavailable, and why."""
    with pytest.raises(StoreUnavailable) as refused:
        await attempt
    assert refused.value.store == "redis"
    return refused.value.detail
