"""How sessions lie in Redis: under one tag with their user, for as long as they are needed, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from sojourn.errors import Conflict
from sojourn.identifiers import session_id
from sojourn.ports import SessionChange, SessionRecord
from sojourn.stores.redis import RedisServer
from sojourn.testing import DrivenClock
from tests.servers.valkey import OwnValkey, own_server


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_server() as server:
        yield server


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
async def server(valkey: OwnValkey, clock: DrivenClock) -> AsyncIterator[RedisServer]:
    valkey.ask("FLUSHALL")
    server = RedisServer(valkey.url, clock=clock)
    yield server
    await server.aclose()


def a_record(clock: DrivenClock, user_id: str = "ada", lives: int = 600) -> SessionRecord:
    now = clock()
    return SessionRecord(session_id(user_id, now), user_id, b"h" * 32, b"{}", now, now, now + lives, now + lives)


def lives(valkey: OwnValkey, kind: str) -> list[int]:
    """The time to live of each key of a kind, in seconds, rounded up."""
    return sorted(-(-valkey.ask("PTTL", key) // 1000) for key in valkey.ask("KEYS", f"sojourn:*:{kind}:*"))


def change(record: SessionRecord, clock: DrivenClock, more: int) -> SessionChange:
    until = clock() + more
    return SessionChange(claims=b"x" * 500, issued_at=clock(), expires_at=until, forget_after=until)


async def test_an_id_must_be_made_for_its_user(valkey: OwnValkey, server: RedisServer, clock: DrivenClock) -> None:
    record = a_record(clock)
    for sid in (session_id("bob", clock()), "", "x", record.sid + "0", "\ud800" * 36):
        with pytest.raises(ValueError, match="identifiers"):
            await server.sessions.insert(msgspec.structs.replace(record, sid=sid))
    assert valkey.ask("KEYS", "*") == []


async def test_keys_go_a_second_after_they_may_be_forgotten(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    short, long = a_record(clock, lives=100), a_record(clock, lives=600)
    await server.sessions.insert(long)
    await server.sessions.insert(short)
    assert lives(valkey, "s") == [101, 601]
    assert lives(valkey, "u") == [601]
    clock.advance(50)
    await server.sessions.replace(short.sid, change(short, clock, 1000), expected_version=1)
    assert lives(valkey, "s") == [601, 1001]
    assert lives(valkey, "u") == [1001]
    await server.sessions.replace(short.sid, change(short, clock, 10), expected_version=2)
    assert lives(valkey, "s") == [11, 601]
    assert lives(valkey, "u") == [1001]


async def test_the_last_session_takes_the_index_with_it(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    for ending in ("delete", "delete_for_user"):
        record = a_record(clock)
        await server.sessions.insert(record)
        if ending == "delete":
            assert await server.sessions.delete(record.sid)
        else:
            assert list(await server.sessions.delete_for_user("ada")) == [record.sid]
        assert valkey.ask("KEYS", "*") == []


async def test_an_index_that_is_lost_comes_back_with_the_next_extension(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    record = a_record(clock)
    await server.sessions.insert(record)
    [index] = valkey.ask("KEYS", "sojourn:*:u:*")
    valkey.ask("DEL", index)
    await server.sessions.replace(record.sid, change(record, clock, 700), expected_version=1)
    assert list(await server.sessions.delete_for_user("ada")) == [record.sid]


async def test_signing_in_again_and_again_does_not_pile_up_names(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    for _ in range(30):
        record = a_record(clock, lives=10)
        await server.sessions.insert(record)
        # What the server's own clock would do in ten seconds.
        valkey.ask("DEL", *valkey.ask("KEYS", "sojourn:*:s:*"))
        clock.advance(12)
    await server.sessions.insert(a_record(clock))
    [index] = valkey.ask("KEYS", "sojourn:*:u:*")
    assert valkey.ask("ZCARD", index) <= 2


async def test_a_clock_that_was_ahead_makes_no_session_unfindable(server: RedisServer, clock: DrivenClock) -> None:
    record = a_record(clock)
    await server.sessions.insert(record)
    clock.advance(3600)
    await server.sessions.insert(a_record(clock))
    assert len(await server.sessions.list_for_user("ada")) == 1
    clock.advance(-3600)
    assert record in await server.sessions.list_for_user("ada")
    assert record.sid in await server.sessions.delete_for_user("ada")


async def test_odd_users_and_claims_are_kept_as_they_are(server: RedisServer, clock: DrivenClock) -> None:
    for user_id in ("", "}{", "é☃", "\0", "\ud800", "u" * 3000):
        record = msgspec.structs.replace(a_record(clock, user_id), claims=b"\xff\0" * 2000)
        await server.sessions.insert(record)
        assert await server.sessions.get(record.sid) == record
        assert list(await server.sessions.list_for_user(user_id)) == [record]
        with pytest.raises(Conflict):
            await server.sessions.replace(record.sid, change(record, clock, 60), expected_version=1 << 32)
        assert list(await server.sessions.delete_for_user(user_id)) == [record.sid]
