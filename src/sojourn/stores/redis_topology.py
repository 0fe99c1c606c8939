"""Which server holds a key: the only one, the primary that Sentinels name, or one of a Cluster."""

from __future__ import annotations

import asyncio
import random
import time
from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Final, Protocol

from hiredis import ReplyError

from sojourn.errors import ConfigError
from sojourn.stores.redis_link import Link, Lost
from sojourn.stores.redis_node import Breaker, Greeting, Node, dial
from sojourn.stores.redis_url import Place, Target

__all__ = ["Topology", "open_topology"]

_SLOTS: Final = 16384
_ASKED_AT_ONCE: Final = 5
_BETWEEN: Final = 0.1
"""Seconds between two looks at a Cluster."""


class Topology(Protocol):
    """What is where; `tag` is the hash tag of a key."""

    async def find(self, tag: bytes) -> Node:
        """The node of a key; raises `Lost` if nobody knows."""
        ...

    async def find_again(self, tag: bytes) -> Node:
        """The same after it was not there, or was gone."""
        ...

    def at(self, place: Place, tag: bytes | None = None) -> Node:
        """The node at a place that a server named, to stay there if for a `tag`."""
        ...

    def failed(self) -> None:
        """A server did not answer: look again when there is time."""
        ...

    async def all(self) -> Sequence[Node]: ...

    async def aclose(self) -> None: ...


def open_topology(target: Target) -> Topology:
    """What a URL leads to; nothing is connected yet."""
    match target.kind:
        case "cluster":
            return _Cluster(target)
        case "sentinel":
            return _Single(Node(_Sentinels(target).dial_primary, target.replicas))
        case "single":
            place = target.places[0]
            return _Single(Node(lambda: dial(place, target, database=target.database), target.replicas))


class _Single:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def find(self, tag: bytes) -> Node:
        return self._node

    async def find_again(self, tag: bytes) -> Node:
        return self._node

    def at(self, place: Place, tag: bytes | None = None) -> Node:
        raise Lost("it belongs to a Cluster, and the URL says redis:// instead of redis+cluster://", "late")

    def failed(self) -> None:
        pass

    async def all(self) -> Sequence[Node]:
        return [self._node]

    async def aclose(self) -> None:
        await self._node.aclose()


class _Sentinels:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._places = list(target.places)

    async def dial_primary(self) -> tuple[Link, Greeting]:
        """A connection to the primary of now; one that has been replaced does not know it and is passed over."""
        told = Lost("no Sentinel answered", "dialling")
        unknown = 0
        for place in list(self._places):
            try:
                primary = await self._ask(place)
                if primary is None:
                    unknown += 1
                    continue
                link, greeting = await dial(primary, self._target, database=self._target.database)
            except Lost as lost:
                told = lost
                continue
            if greeting.is_primary:
                self._places.sort(key=lambda other: other != place)
                return link, greeting
            link.end("it is no primary", "dialling")
            told = Lost("the Sentinels name a primary that is none", "dialling")
        if unknown == len(self._places):
            raise ConfigError("redis", "the Sentinels know no service of that name", "Check it in the URL.")
        raise told

    async def _ask(self, place: Place) -> Place | None:
        try:
            link, _ = await dial(place, self._target)
        except ConfigError:
            # Sentinels rarely have the password of the servers they watch.
            link, _ = await dial(place, Target(kind="single", places=(place,), tls=self._target.tls))
        try:
            answer = await link.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._target.service))
        finally:
            link.end("it was asked what was to be asked")
        if answer is None:
            return None
        if isinstance(answer, ReplyError):
            raise ConfigError("redis", "what answers is no Sentinel", 'Write "redis://" for a server, and its port.')
        return answer[0].decode(), int(answer[1])


class _Cluster:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._nodes: dict[Place, Node] = {}
        self._slots: list[Node | None] = [None] * _SLOTS
        self._primaries: set[Place] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._breaker = Breaker()
        self._looking: asyncio.Task[None] | None = None
        self._look_at = 0.0

    async def find(self, tag: bytes) -> Node:
        node = self._slots[crc_hqx(tag, 0) % _SLOTS]
        return node if node is not None else await self.find_again(tag)

    async def find_again(self, tag: bytes) -> Node:
        await self._look()
        node = self._slots[crc_hqx(tag, 0) % _SLOTS]
        if node is None:
            raise Lost("no node of the Cluster has this part of the keys", "dialling")
        return node

    def at(self, place: Place, tag: bytes | None = None) -> Node:
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = Node(lambda: dial(place, self._target), self._target.replicas)
        if tag is not None:
            self._slots[crc_hqx(tag, 0) % _SLOTS] = node
            self.failed()
        return node

    def failed(self) -> None:
        if self._looking is None and time.monotonic() >= self._look_at:
            _ = self._start()

    async def all(self) -> Sequence[Node]:
        await self._look()
        return [self._nodes[place] for place in self._primaries]

    async def aclose(self) -> None:
        if self._looking is not None:
            await asyncio.wait({self._looking})
        await asyncio.gather(*self._leaving)
        await asyncio.gather(*(node.aclose() for node in self._nodes.values()))

    async def _look(self) -> None:
        """Read who has what, once for all who want to know."""
        task = self._looking or self._start()
        await asyncio.wait({task})
        task.result()

    def _start(self) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._read())
        task.add_done_callback(self._looked)
        self._looking = task
        return task

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._look_at = time.monotonic() + _BETWEEN
        if not task.cancelled():
            task.exception()

    async def _read(self) -> None:
        if not self._breaker.lets_through():
            raise Lost("no node of the Cluster answered several times", "dialling")
        known = random.sample(sorted(self._primaries), min(_ASKED_AT_ONCE, len(self._primaries)))
        asked = known + [place for place in self._target.places if place not in self._primaries]
        told: Exception = Lost("no node of the Cluster answered", "dialling")
        # Any will do, and the first that answers is not one that hangs.
        questions = [asyncio.ensure_future(self._ask(place)) for place in asked]
        try:
            for question in asyncio.as_completed(questions):
                try:
                    self._learn(*await question)
                except (Lost, ConfigError) as error:
                    told = error
                else:
                    self._breaker.succeeded()
                    return
        finally:
            for asking in questions:
                asking.cancel()
            await asyncio.gather(*questions, return_exceptions=True)
        self._breaker.failed()
        raise told

    async def _ask(self, place: Place) -> tuple[str, list[Any]]:
        node = self.at(place)
        answer = await node.ask(("CLUSTER", "SLOTS"))
        if isinstance(answer, ReplyError):
            if "cluster support disabled" in str(answer):
                raise ConfigError("redis", "the server belongs to no Cluster", 'Write "redis://" for it.')
            raise Lost(f"asked for its Cluster it said {str(answer).partition(' ')[0]}", "late")
        if not answer:
            raise Lost("the Cluster has no slots yet", "late")
        return node.peer or place[0], answer

    def _learn(self, peer: str, ranges: list[Any]) -> None:
        slots: list[Node | None] = [None] * _SLOTS
        primaries: set[Place] = set()
        for first, last, primary, *_ in ranges:
            # A node that does not know its own name is the one that was asked.
            host = (primary[0] or b"").decode()
            place = (host if host not in {"", "?"} else peer, int(primary[1]))
            primaries.add(place)
            slots[first : last + 1] = [self.at(place)] * (last + 1 - first)
        self._slots, self._primaries = slots, primaries
        for place in self._nodes.keys() - primaries:
            task = asyncio.get_running_loop().create_task(self._nodes.pop(place).aclose())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
