"""Commands to a Redis server, Cluster or service: an answer or `StoreUnavailable`, in bounded time."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import msgspec
from hiredis import ReplyError

from sojourn.errors import ConfigError, StoreUnavailable
from sojourn.stores.redis_link import Lost, Words
from sojourn.stores.redis_node import Node
from sojourn.stores.redis_scripts import SOURCES
from sojourn.stores.redis_topology import Topology, open_topology
from sojourn.stores.redis_url import Place, Target

__all__ = ["Command", "RedisClient", "unavailable"]

_PATIENCE: Final = 1.0
"""Seconds to wait for keys that are being moved."""

_MOST_HOPS: Final = 5
_NOT_NOW: Final = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOAUTH", "UNBLOCKED"})


class Command(msgspec.Struct, frozen=True):
    """A command for the server that holds the keys with this hash tag.

    `lasting`: what it writes must outlive a fail-over. `repeatable`: doing it twice is doing it once. `whole`: it needs
    several keys, and must not run where some of them have not arrived yet.
    """

    tag: bytes
    words: Words
    lasting: bool = False
    repeatable: bool = False
    whole: bool = False


class RedisClient:
    """All connections of one `RedisServer`, in the event loop that uses them."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop: asyncio.AbstractEventLoop | None = None
        self._topology: Topology = open_topology(target)
        self._closed = False

    def reopen(self) -> None:
        """Take calls again after `aclose`."""
        self._closed = False

    async def nodes(self) -> list[Node]:
        """Every primary; raises `Lost` or `ConfigError`."""
        return list(await self._here().all())

    async def run(self, command: Command) -> Any:
        """The answer, which is never an error; raises `StoreUnavailable`."""
        topology = self._here()
        node: Node | None = None
        words, asking, again, hops, give_up_at = command.words, False, False, 0, 0.0
        while True:
            try:
                if node is None:
                    node = await topology.find(command.tag)
                if not node.breaker.lets_through():
                    topology.failed()
                    raise StoreUnavailable("redis", "it did not answer several times, and is asked once a second", 1)
                reply = await node.ask(words, lasting=command.lasting, asking=asking)
            except ConfigError as never:
                raise StoreUnavailable("redis", never.seen) from None
            except Lost as lost:
                if node is not None and lost.stage != "unconfirmed":
                    node.breaker.failed()
                topology.failed()
                if again or node is None or not _may_repeat(lost, command):
                    raise unavailable(lost) from None
                again, asking = True, False
                node = await self._other(topology, command, node, lost)
                continue
            node.breaker.succeeded()
            if type(reply) is not ReplyError:
                return reply
            error = str(reply)
            code, _, rest = error.partition(" ")
            hops += 1
            if code == "NOSCRIPT" and words[0] == b"EVALSHA" and hops < _MOST_HOPS:
                words = (b"EVAL", SOURCES[words[1]], *words[2:])
            elif code in {"MOVED", "ASK"} and not (code == "ASK" and command.whole) and hops < _MOST_HOPS:
                node = self._named(topology, command, node, code, rest)
                asking = code == "ASK"
            elif code in {"ASK", "TRYAGAIN"} or "non local key" in error:
                # Some of the keys are here and some are there: soon they are all there.
                now = asyncio.get_running_loop().time()
                give_up_at = give_up_at or now + _PATIENCE
                if now > give_up_at:
                    raise StoreUnavailable("redis", "the keys are being moved", 1)
                hops = 0
                node, asking = None, False
                await asyncio.sleep(random.uniform(0.005, 0.025))  # noqa: S311
            elif code in _NOT_NOW and not again:
                again, asking = True, False
                if code == "LOADING":
                    node.breaker.failed()
                node.drop(f"it answered {code}")
                node = await self._other(topology, command, node, Lost(f"it answered {code}", "queued"))
            else:
                raise StoreUnavailable("redis", _told(error))

    async def aclose(self) -> None:
        """Finish what was asked, then close every connection."""
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            self._loop = None
            topology, self._topology = self._topology, open_topology(self._target)
            await topology.aclose()

    def _here(self) -> Topology:
        """A loop that has ended takes its connections with it."""
        if self._closed:
            raise StoreUnavailable("redis", "it was closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                if self._loop.is_running():
                    raise StoreUnavailable("redis", "it is in use in another event loop")
                self._topology = open_topology(self._target)
            self._loop = loop
        return self._topology

    async def _other(self, topology: Topology, command: Command, node: Node, lost: Lost) -> Node:
        """Where to ask once more, a moment later so that not all come back at once."""
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311
        try:
            other = await topology.find_again(command.tag)
        except Lost as none:
            raise unavailable(none) from None
        except ConfigError as error:
            raise StoreUnavailable("redis", error.seen) from None
        if lost.stage == "dialling" and other is node:
            raise unavailable(lost)
        return other

    def _named(self, topology: Topology, command: Command, node: Node, code: str, rest: str) -> Node:
        """The node that `MOVED slot host:port` or `ASK slot host:port` speaks of."""
        host, _, port = rest.partition(" ")[2].rpartition(":")
        place: Place = (host if host not in {"", "?"} else node.peer, int(port) if port.isdecimal() else 0)
        try:
            return topology.at(place, command.tag if code == "MOVED" else None)
        except Lost as lost:
            raise unavailable(lost) from None


def unavailable(lost: Lost) -> StoreUnavailable:
    """What a caller is told."""
    return StoreUnavailable("redis", lost.detail)


def _may_repeat(lost: Lost, command: Command) -> bool:
    match lost.stage:
        case "dialling" | "queued":
            return True
        case "sent":
            return command.repeatable
        case "late" | "unconfirmed":
            return False


def _told(error: str) -> str:
    """The server's words without what they quote of the command."""
    if error.startswith("OOM"):
        return "it is full"
    return error.partition(", with args")[0].partition(", on @user_script")[0][:120]
