"""Finding the server that holds a key, through whoever still answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sojourn.errors import ConfigError
from sojourn.stores.redis import RedisServer
from tests.servers.valkey import OwnCluster, OwnValkey, free_port, own_cluster, own_server
from tests.stores.redis_fake import NIL, Fake
from tests.stores.redis_load import a_session, slot_of, unavailable


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    with own_cluster() as cluster:
        yield cluster


def address(port: int) -> bytes:
    return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port)


async def refused(url: str) -> str:
    server = RedisServer(url)
    with pytest.raises(ConfigError) as told:
        await server.connect()
    await server.aclose()
    return told.value.seen


async def test_a_url_of_the_wrong_kind_is_refused_at_the_start(valkey: OwnValkey, cluster: OwnCluster) -> None:
    assert await refused(f"redis+cluster://127.0.0.1:{valkey.port}") == "the server belongs to no Cluster"
    assert await refused(f"redis+sentinel://127.0.0.1:{valkey.port}/mine") == "what answers is no Sentinel"
    assert await refused(cluster.nodes[0].url) == "the server is a cluster's"


async def test_a_clusters_keys_need_a_clusters_url_later_too(cluster: OwnCluster) -> None:
    server = RedisServer(cluster.nodes[0].url)
    elsewhere = next(name for name in map(str, range(99)) if cluster.owner(slot_of(name)) is not cluster.nodes[0])
    assert "redis+cluster://" in await unavailable(server.sessions.get(a_session(elsewhere).sid))
    await server.aclose()


async def test_one_node_that_answers_is_enough_to_find_a_cluster(cluster: OwnCluster) -> None:
    ports = (free_port(), cluster.nodes[4].port, free_port())
    server = RedisServer("redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports))
    async with Fake(lambda words: None).listening() as silent:
        await server.connect()
        await server.aclose()
        server = RedisServer(f"redis+cluster://127.0.0.1:{silent.port},127.0.0.1:{ports[1]}")
        began = time.monotonic()
        records = [a_session(f"user-{number}") for number in range(30)]
        await asyncio.gather(*(server.sessions.insert(record) for record in records))
        assert time.monotonic() - began < 1
        assert list(await asyncio.gather(*(server.sessions.get(record.sid) for record in records))) == records
        await server.aclose()


async def test_a_cluster_of_which_nothing_answers_is_given_up_in_time() -> None:
    server = RedisServer(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    began = time.monotonic()
    for _ in range(20):
        await unavailable(server.sessions.get(a_session("ada").sid))
    await unavailable(server.connect())
    assert time.monotonic() - began < 1
    await server.aclose()


async def test_a_node_that_moves_its_keys_in_a_circle_is_given_up() -> None:
    async with Fake(lambda words: slots if words[0] == "CLUSTER" else moved).listening() as fake:
        host = b"*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % fake.port
        slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n" + host
        moved = b"-MOVED 1 127.0.0.1:%d\r\n" % fake.port
        server = RedisServer(f"redis+cluster://127.0.0.1:{fake.port}")
        assert "MOVED" in await unavailable(server.sessions.get(a_session("ada").sid))
        assert fake.heard.count("GET") < 10
        await server.aclose()


async def test_a_node_without_a_name_is_the_one_that_was_asked() -> None:
    async with Fake(lambda words: slots if words[0] == "CLUSTER" else NIL).listening() as fake:
        for name in (b"$-1\r\n", b"$0\r\n\r\n", b"$1\r\n?\r\n"):
            slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" + name + b":%d\r\n" % fake.port
            server = RedisServer(f"redis+cluster://127.0.0.1:{fake.port}")
            assert await server.sessions.get(a_session("ada").sid) is None
            await server.aclose()


async def test_a_service_is_found_through_any_sentinel_that_knows_it(valkey: OwnValkey) -> None:
    """One is down, one says nothing, one does not know it, one names a replica, the last is right."""
    right = Fake(lambda words: address(valkey.port))
    with own_server("--replicaof", f"127.0.0.1 {valkey.port}") as replica:
        async with (
            Fake(lambda words: None).listening() as silent,
            Fake(lambda words: NIL).listening() as ignorant,
            Fake(lambda words: address(replica.port)).listening() as stale,
            right.listening(),
        ):
            ports = (free_port(), silent.port, ignorant.port, stale.port, right.port)
            server = RedisServer("redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in ports) + "/mine")
            await server.connect()
            record = a_session("ada")
            assert await server.sessions.get(record.sid) is None
            # Who was right is asked first from now on.
            asked = len(stale.heard)
            valkey.ask("CLIENT", "KILL", "TYPE", "normal")
            assert await server.sessions.get(record.sid) is None
            assert len(stale.heard) == asked
            await server.aclose()


async def test_a_service_that_no_sentinel_knows_is_refused_at_the_start() -> None:
    async with Fake(lambda words: NIL).listening() as one, Fake(lambda words: NIL).listening() as two:
        url = f"redis+sentinel://127.0.0.1:{one.port},127.0.0.1:{two.port}/mine"
        assert await refused(url) == "the Sentinels know no service of that name"
    async with Fake(lambda words: NIL).listening() as one:
        # The other may know it when it is back.
        server = RedisServer(f"redis+sentinel://127.0.0.1:{one.port},127.0.0.1:{free_port()}/mine")
        await unavailable(server.connect())
        await server.aclose()
