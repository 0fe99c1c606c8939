"""Keys that move and primaries that die, under load: nobody is signed out, and no sign-out is undone."""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from sojourn.errors import StoreUnavailable
from sojourn.stores.redis import RedisServer
from tests.servers.valkey import (
    OwnCluster,
    OwnSentinels,
    OwnValkey,
    is_followed,
    is_primary,
    own_cluster,
    own_sentinels,
    own_server,
    until,
)
from tests.stores.redis_load import Load, a_session, extension, slot_of, unavailable


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    with own_cluster() as cluster:
        yield cluster


@pytest.fixture
async def server(cluster: OwnCluster) -> AsyncIterator[RedisServer]:
    await to_thread.run_sync(until, cluster.is_whole, cluster.log)
    server = RedisServer(cluster.url)
    await server.connect()
    yield server
    await server.aclose()


class Move:
    """One slot on its way from one node to another, key by key, as an operator's tool does it."""

    def __init__(self, cluster: OwnCluster, slot: int) -> None:
        self.slot = slot
        self.source = cluster.owner(slot)
        self.target = next(node for node in cluster.nodes if node is not self.source and is_primary(node))
        self._cluster = cluster

    @property
    def goal(self) -> str:
        return self._cluster.name(self.target)

    def is_done(self) -> bool:
        return self._cluster.owner(self.slot) is self.target

    def begin(self) -> None:
        self.target.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self._cluster.name(self.source))
        self.source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.goal)

    def keys(self) -> list[bytes]:
        """Those that have not moved."""
        return list(self.source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 1000))

    def move(self, *keys: bytes) -> None:
        self.source.ask("MIGRATE", "127.0.0.1", self.target.port, "", 0, 2000, "KEYS", *keys)

    def finish(self) -> None:
        while keys := self.keys():
            self.move(*keys)
        for node in (self.target, self.source):
            node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", self.goal)

    def run(self) -> None:
        self.begin()
        while keys := self.keys():
            self.move(*keys[:3])
        self.finish()


async def test_slots_that_move_under_load_cost_no_error(cluster: OwnCluster, server: RedisServer) -> None:
    users = ("ada", "bob")
    load = Load(server, lambda number: users[number % 2])
    async with load.running():
        for user in users:
            await to_thread.run_sync(Move(cluster, slot_of(user)).run)
            await load.reaches(20)
            await to_thread.run_sync(Move(cluster, slot_of(user)).run)
        await to_thread.run_sync(Move(cluster, crc_hqx(b"log", 0) % 16384).run)
    assert load.outages == 0
    await load.check()


async def test_slots_that_move_at_once_cost_no_error(cluster: OwnCluster, server: RedisServer) -> None:
    """As Valkey 9 does it by itself."""
    users = ("ada", "bob")
    load = Load(server, lambda number: users[number % 2])
    async with load.running():
        for user in users * 2:
            move = Move(cluster, slot_of(user))
            told = move.source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", move.slot, move.slot, "NODE", move.goal)
            assert told == b"OK"
            await to_thread.run_sync(until, move.is_done, cluster.log)
            await load.reaches(20)
    assert load.outages == 0
    await load.check()


@pytest.mark.parametrize("index_first", [True, False])
async def test_half_moved_sessions_are_found_and_ended(
    cluster: OwnCluster, server: RedisServer, index_first: bool
) -> None:
    user = f"half-{index_first}"
    moved, stays, ended = (a_session(user) for _ in range(3))
    for record in (moved, stays, ended):
        await server.sessions.insert(record)
    move = Move(cluster, slot_of(user))
    move.begin()
    # With its index gone ahead, the one that is ended stays behind.
    sids = {record.sid.encode() for record in ((moved,) if index_first else (moved, ended))}
    keys = move.keys()
    move.move(*(key for key in keys if key.rpartition(b":")[2] in sids or (index_first and b":u:" in key)))
    try:
        assert await server.sessions.get(moved.sid) == moved
        assert await server.sessions.get(stays.sid) == stays
        assert await server.sessions.get(a_session(user).sid) is None
        assert await server.sessions.delete(ended.sid) is True
        assert await server.sessions.delete(ended.sid) is False
        # What needs all of them waits, and then has done nothing.
        attempts = (
            server.sessions.delete_for_user(user),
            server.sessions.list_for_user(user),
            server.sessions.insert(a_session(user)),
            server.sessions.replace((stays if index_first else moved).sid, extension(stays), expected_version=1),
        )
        for told in await asyncio.gather(*map(unavailable, attempts)):
            assert "being moved" in told
        async with anyio.create_task_group() as tasks:
            found: list[set[str]] = []

            async def end_all() -> None:
                found.append(set(await server.sessions.delete_for_user(user)))

            tasks.start_soon(end_all)
            await checkpoint()
            await to_thread.run_sync(move.finish)
    finally:
        move.finish()
    assert found == [{moved.sid, stays.sid}]
    assert await server.sessions.get(moved.sid) is None
    assert await server.sessions.get(stays.sid) is None


async def test_a_primary_of_the_cluster_that_dies_undoes_no_answer(cluster: OwnCluster, server: RedisServer) -> None:
    load = Load(server)
    dead = cluster.owner(slot_of("user-1"))
    async with load.running():
        await to_thread.run_sync(dead.kill)
        try:
            await load.is_refused()
            await to_thread.run_sync(until, lambda: _has_successor(cluster, dead), cluster.log)
            await works_again(server)
        finally:
            await to_thread.run_sync(dead.start)
    await load.check()


async def test_a_primary_that_sentinels_replace_undoes_no_answer(sentinels: OwnSentinels) -> None:
    server = RedisServer(sentinels.url)
    await server.connect()
    load = Load(server)
    async with load.running():
        await to_thread.run_sync(sentinels.primary.kill)
        await load.is_refused()
        await to_thread.run_sync(until, lambda: is_primary(sentinels.replica), sentinels.replica.log)
        await works_again(server)
    await load.check()
    await server.aclose()


async def test_a_primary_that_wakes_up_as_a_replica_takes_no_writes(cluster: OwnCluster, server: RedisServer) -> None:
    load = Load(server)
    asleep = cluster.owner(slot_of("user-1"))
    async with load.running():
        with asleep.paused():
            await load.is_refused()
            await to_thread.run_sync(until, lambda: _has_successor(cluster, asleep), cluster.log)
            await works_again(server)
    await load.check()


async def test_only_what_a_fail_over_keeps_is_said_to_be_done() -> None:
    now = ("--repl-diskless-sync-delay", "0")
    with own_server(*now) as primary, own_server("--replicaof", f"127.0.0.1 {primary.port}") as replica:
        await to_thread.run_sync(until, lambda: is_followed(primary), primary.log)
        server = RedisServer(primary.url)
        kept, ended, refused = (a_session("ada") for _ in range(3))
        for record in (kept, ended, refused):
            await server.sessions.insert(record)
        assert await server.sessions.delete(ended.sid)
        with replica.paused():
            assert "no replica" in await unavailable(server.sessions.delete(refused.sid))
            assert await server.sessions.get(refused.sid) is None
            primary.kill()
        await server.aclose()
        replica.ask("REPLICAOF", "NO", "ONE")
        successor = RedisServer(replica.url)
        # What was refused may have come through or not: nobody was told.
        left = {record.sid for record in await successor.sessions.list_for_user("ada")}
        assert left in ({kept.sid, refused.sid}, {kept.sid})
        assert await successor.sessions.get(ended.sid) is None
        assert await successor.sessions.delete(refused.sid) == (refused.sid in left)
        await successor.aclose()


@pytest.fixture
def sentinels() -> Iterator[OwnSentinels]:
    with own_sentinels() as sentinels:
        yield sentinels


async def works_again(server: RedisServer) -> None:
    with anyio.fail_after(10):
        while True:
            try:
                await server.sessions.insert(a_session("user-1"))
            except StoreUnavailable:
                await checkpoint()
            else:
                return


def _has_successor(cluster: OwnCluster, dead: OwnValkey) -> bool:
    return sum(is_primary(node) for node in cluster.nodes if node is not dead) == 3
