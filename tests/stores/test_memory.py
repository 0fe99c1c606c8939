"""The reference store keeps the contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import pytest

from sojourn.models import User
from sojourn.stores.memory import MemoryOnceStore, MemoryRevocationLog, MemoryUserStore
from sojourn.stores.memory_sessions import MemoryCounterStore, MemorySessionStore
from sojourn.testing import (
    AddUser,
    CounterStoreContract,
    DrivenClock,
    OnceStoreContract,
    RevocationLogContract,
    Rows,
    SessionStoreContract,
    UserStoreContract,
)


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def users() -> MemoryUserStore:
    return MemoryUserStore()


@pytest.fixture
def once(clock: DrivenClock) -> MemoryOnceStore:
    return MemoryOnceStore(clock)


@pytest.fixture
def log(clock: DrivenClock) -> MemoryRevocationLog:
    return MemoryRevocationLog(clock)


@pytest.fixture
def sessions(clock: DrivenClock, users: MemoryUserStore) -> MemorySessionStore:
    return MemorySessionStore(clock, users)


@pytest.fixture
def counters(clock: DrivenClock) -> MemoryCounterStore:
    return MemoryCounterStore(clock)


@pytest.fixture
def add_user(users: MemoryUserStore) -> AddUser:
    async def add(user_id: str) -> None:
        await users.create(User(id=user_id))

    return add


@pytest.fixture
def rows(users: MemoryUserStore, sessions: MemorySessionStore, once: MemoryOnceStore, log: MemoryRevocationLog) -> Rows:
    async def read(table: str) -> Sequence[Mapping[str, Any]]:
        match table:
            case "users":
                hashes = users._password_hashes
                return [asdict(user) | {"password_hash": hashes.get(user.id)} for user in users._users.values()]
            case "accounts":
                return [asdict(account) for account in users._accounts.values()]
            case "sessions":
                assert {sid for own in sessions._of_user.values() for sid in own} == sessions._records.keys()
                return [msgspec.structs.asdict(record) for record in sessions._records.values()]
            case "spent":
                assert len(once._spent) == len(once._expiring)
                return [{"key": key, "forget_after": forget_after} for key, forget_after in once._spent.items()]
            case _:
                return [msgspec.structs.asdict(entry) for _, entry in log._entries]

    return read


class TestMemoryUsers(UserStoreContract):
    pass


class TestMemoryOnce(OnceStoreContract):
    pass


class TestMemoryRevocations(RevocationLogContract):
    pass


class TestMemorySessions(SessionStoreContract):
    pass


class TestMemoryCounters(CounterStoreContract):
    pass
