"""One server: what its replicas confirm lasts, what it refuses is explained at the start, and nobody storms it."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.ports import Revocation
from sojourn.stores import redis_node
from sojourn.stores.redis import RedisServer
from sojourn.stores.redis_node import Breaker
from tests.servers.valkey import OwnValkey, is_followed, own_server, until
from tests.stores.redis_fake import Fake
from tests.stores.redis_load import FAR, a_session, extension, unavailable

PASSWORD = "a-secret-word"


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnValkey]:
    with own_server("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1") as server:
        yield server


@pytest.fixture
def replica(primary: OwnValkey) -> Iterator[OwnValkey]:
    with own_server("--replicaof", f"127.0.0.1 {primary.port}") as server:
        until(lambda: is_followed(primary), primary.log)
        yield server


@pytest.fixture
async def server(primary: OwnValkey, replica: OwnValkey) -> AsyncIterator[RedisServer]:
    primary.ask("FLUSHALL")
    server = RedisServer(primary.url)
    await server.connect()
    yield server
    await server.aclose()


async def test_what_no_replica_has_is_not_said_to_be_done(replica: OwnValkey, server: RedisServer) -> None:
    record = a_session("ada")
    await server.sessions.insert(record)
    assert replica.ask("DBSIZE") == 2
    with replica.paused():
        began = time.monotonic()
        told = [
            await unavailable(server.sessions.insert(a_session("ada"))),
            await unavailable(server.sessions.replace(record.sid, extension(record), expected_version=1)),
            await unavailable(server.sessions.delete(record.sid)),
            await unavailable(server.sessions.delete_for_user("ada")),
            await unavailable(server.once.spend("a", FAR)),
            await unavailable(server.revocations.append(Revocation(kind="user", subject="a", at=1, forget_after=FAR))),
        ]
        assert set(told) == {"no replica confirmed the write in time"}
        assert time.monotonic() - began < len(told) * 0.5
        # Nobody else waits for it.
        assert await server.counters.take("a", count=9, period=60) is None
        assert await server.sessions.get(record.sid) is None
    await server.sessions.insert(a_session("bob"))


async def test_without_its_replica_a_primary_goes_on_alone(
    primary: OwnValkey, replica: OwnValkey, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_node, "_ASK_AGAIN", 0.0)
    await server.sessions.insert(a_session("ada"))
    replica.kill()
    with anyio.fail_after(5):
        # The first may learn of it the hard way.
        while True:
            record = a_session("ada")
            try:
                await server.sessions.insert(record)
            except StoreUnavailable:
                continue
            break
    await to_thread.run_sync(replica.start)
    await to_thread.run_sync(until, lambda: is_followed(primary), primary.log)
    for _ in range(3):
        await server.sessions.insert(a_session("ada"))
    with replica.paused():
        assert "no replica" in await unavailable(server.sessions.delete(record.sid))


async def test_how_many_confirm_can_be_set(primary: OwnValkey, replica: OwnValkey) -> None:
    two, none = RedisServer(f"{primary.url}?replicas=2"), RedisServer(f"{primary.url}?replicas=0")
    record = a_session("ada")
    assert "no replica" in await unavailable(two.sessions.insert(record))
    with replica.paused():
        assert await none.sessions.delete(record.sid)
    for server in (two, none):
        await server.aclose()


def test_a_breaker_opens_after_five_failures_and_lets_one_look_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    breaker = Breaker()
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
        assert breaker.lets_through()
    breaker.failed()
    assert not breaker.lets_through()
    for _ in range(3):
        now += 1.2
        assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
        breaker.failed()
    now += 1.2
    assert breaker.lets_through()
    breaker.succeeded()
    assert breaker.lets_through()
    assert breaker.lets_through()


@pytest.fixture(scope="module")
def locked() -> Iterator[OwnValkey]:
    """A server with a password, and a user who may do little."""
    with own_server() as server:
        server.ask("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~sojourn:*", "+@read", "+@connection", "+info")
        allowed = ("+@all", "-@admin", "-@dangerous")
        server.ask("ACL", "SETUSER", "plain", "on", f">{PASSWORD}", "~sojourn:*", *allowed)
        server.ask("CONFIG", "SET", "requirepass", PASSWORD)
        yield server


@pytest.mark.parametrize(
    ("credentials", "path", "said"),
    [
        ("", "", "wants a password"),
        (":wrong@", "", "refuses this user or password"),
        (f"nobody:{PASSWORD}@", "", "refuses this user or password"),
        (f":{PASSWORD}@", "/99", "no database of that number"),
        (f"reader:{PASSWORD}@", "", "may not run DEL"),
    ],
)
async def test_what_can_never_work_is_said_at_the_start(
    locked: OwnValkey, credentials: str, path: str, said: str
) -> None:
    server = RedisServer(f"redis://{credentials}127.0.0.1:{locked.port}{path}")
    with pytest.raises(ConfigError, match=said) as refused:
        await server.connect()
    assert refused.value.key == "redis"
    assert PASSWORD not in str(refused.value)
    record = a_session("ada")
    told = await unavailable(server.sessions.delete(record.sid))
    assert PASSWORD not in told
    await server.aclose()


async def test_a_password_to_a_server_without_one_is_refused(primary: OwnValkey) -> None:
    server = RedisServer(f"redis://ada:{PASSWORD}@127.0.0.1:{primary.port}")
    with pytest.raises(ConfigError, match="refuses this user or password"):
        await server.connect()
    await server.aclose()


async def test_a_user_with_just_what_is_needed_works_and_hears_what_is_missing(
    locked: OwnValkey, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(f"redis://plain:{PASSWORD}@127.0.0.1:{locked.port}/1")
    with caplog.at_level(logging.WARNING, "sojourn"):
        await server.connect()
    assert [message for message in caplog.messages if "INFO" in message and "replicas=N" in message]
    record = a_session("ada")
    await server.sessions.insert(record)
    assert list(await server.sessions.list_for_user("ada")) == [record]
    assert await server.once.spend("a", FAR)
    assert await server.counters.take("a", count=1, period=60) is None
    await server.counters.give_back("a", count=1, period=60)
    await server.counters.clear("a")
    await server.revocations.append(Revocation(kind="user", subject="a", at=1, forget_after=FAR))
    assert len((await server.revocations.read())[1]) == 1
    assert await server.sessions.delete(record.sid)
    await server.aclose()


async def test_a_unix_socket_is_a_server_too(tmp_path: Path) -> None:
    path = tmp_path / "valkey socket"
    with own_server("--unixsocket", str(path)):
        server = RedisServer(f"unix://{str(path).replace(' ', '%20')}?db=3")
        await server.connect()
        record = a_session("ada")
        await server.sessions.insert(record)
        assert await server.sessions.get(record.sid) == record
        await server.aclose()
    server = RedisServer("unix:///no/such/socket")
    await unavailable(server.connect())
    await server.aclose()


async def test_a_server_without_a_connection_to_spare_is_unavailable_until_it_has_one() -> None:
    with own_server("--maxclients", "3") as valkey:
        taken = [socket.create_connection(("127.0.0.1", valkey.port)) for _ in range(3)]
        server = RedisServer(valkey.url)
        told = await unavailable(server.connect())
        assert told in {"it has no connection to spare", "it closed the connection", "Connection reset by peer"}
        for connection in taken:
            connection.close()
        record = a_session("ada")
        with anyio.fail_after(5):
            while True:
                with suppress(StoreUnavailable):
                    await server.sessions.insert(record)
                    break
        assert await server.sessions.get(record.sid) == record
        await server.aclose()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"-LOADING Redis is loading\r\n", StoreUnavailable),
        (b"-CLUSTERDOWN The cluster is down\r\n", StoreUnavailable),
        (b"-NOPERM this user\r\n", ConfigError),
    ],
)
async def test_what_a_server_says_at_the_start_decides_whether_it_can_work(said: bytes, error: type[Exception]) -> None:
    async with Fake(lambda words: said).listening() as fake:
        server = RedisServer(fake.url)
        with pytest.raises(error):
            await server.connect()
        await server.aclose()


async def test_a_server_in_protected_mode_is_explained() -> None:
    async with Fake(lambda words: b"", b"-DENIED Redis is running in protected mode\r\n").listening() as fake:
        server = RedisServer(fake.url)
        with pytest.raises(ConfigError, match="protected mode"):
            await server.connect()
        await server.aclose()
