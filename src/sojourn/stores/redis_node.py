"""One server: its connections, opened when needed and shared, and when to leave it alone."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hiredis import ReplyError

from sojourn.errors import ConfigError
from sojourn.stores.redis_link import Link, Lost, Words
from sojourn.stores.redis_url import Place, Target

__all__ = ["Breaker", "Greeting", "Node", "dial"]

_CONNECT: Final = 0.5
"""Seconds to connect, TLS and password included."""

_ASK_AGAIN: Final = 5.0
"""Seconds after which the server is asked again how many replicas it has."""

_OPENS_AT: Final = 5
_PROBE: Final = 1.0


class Breaker:
    """Opens after five failures in a row; then one call a second is let through to see."""

    def __init__(self) -> None:
        self._failures = 0
        self._probe_at = 0.0

    def lets_through(self) -> bool:
        if self._failures < _OPENS_AT:
            return True
        now = time.monotonic()
        if now < self._probe_at:
            return False
        # Not all processes at the same moment.
        self._probe_at = now + random.uniform(0.9, 1.1) * _PROBE  # noqa: S311
        return True

    def failed(self) -> None:
        self._failures += 1
        if self._failures == _OPENS_AT:
            self._probe_at = time.monotonic() + random.uniform(0.9, 1.1) * _PROBE  # noqa: S311

    def succeeded(self) -> None:
        self._failures = 0


class Greeting:
    """What a server says of itself: whether it is a primary, and how many replicas it has (None: it will not say)."""

    def __init__(self, info: Any) -> None:
        lines = info.decode(errors="replace").splitlines() if isinstance(info, bytes) else None
        self.is_primary: bool = lines is None or "role:slave" not in lines
        self.replicas: int | None = None
        if lines is not None:
            # One that has just come and has confirmed nothing yet (offset 0) may need a second for it.
            told = [line for line in lines if line.startswith("slave") and ",state=online," in line]
            self.replicas = sum(",offset=0," not in line for line in told)


Dial = Callable[[], Awaitable[tuple[Link, Greeting]]]


async def dial(place: Place, target: Target, *, database: int = 0) -> tuple[Link, Greeting]:
    """A new connection, ready for commands.

    Raises `ConfigError` if the server refuses what no waiting will mend, `Lost` if it does not answer in time.
    """
    link = Link(asyncio.get_running_loop())
    try:
        async with asyncio.timeout(_CONNECT):
            greeting = await _open(link, place, target, database)
    except BaseException as error:
        link.end("it was given up", "dialling")
        match error:
            case ssl.SSLCertVerificationError():
                seen, fix = "the server's certificate is not trusted", "Name its authority in ssl_ca_certs."
                raise ConfigError("redis", seen, fix) from None
            case TimeoutError():
                raise Lost("it did not take a connection in time", "dialling") from None
            case OSError() | UnicodeError():
                told = error.strerror if isinstance(error, OSError) else None
                raise Lost(told or "no connection could be made", "dialling") from None
            case _:
                raise
    return link, greeting


async def _open(link: Link, place: Place, target: Target, database: int) -> Greeting:
    loop = asyncio.get_running_loop()
    if place[1]:
        # With TLS, the host is the name that has to be in the certificate.
        await loop.create_connection(lambda: link, *place, ssl=target.tls)
    else:
        await loop.create_unix_connection(lambda: link, place[0])
    return await _greet(link, target, database)


async def _greet(link: Link, target: Target, database: int) -> Greeting:
    asked: list[Words] = []
    if target.password is not None:
        asked.append(("AUTH", *([target.username] if target.username else []), target.password))
    if database:
        asked.append(("SELECT", database))
    asked += [("CLIENT", "SETNAME", "sojourn"), ("INFO", "replication")]
    told = await asyncio.gather(*(link.ask(words) for words in asked), return_exceptions=True)
    for words, reply in zip(asked, told, strict=True):
        if isinstance(reply, Lost):
            raise Lost(reply.detail, "dialling")
        if isinstance(reply, ReplyError):
            _judge(str(words[0]), str(reply))
    return Greeting(told[-1])


def _judge(command: str, error: str) -> None:
    code = error.partition(" ")[0]
    if "max number of clients" in error:
        raise Lost("it has no connection to spare", "dialling")
    if code in {"LOADING", "BUSY", "MASTERDOWN"}:
        return
    if code == "DENIED":
        raise ConfigError("redis", "the server is in protected mode", "Give it a password, and name it in the URL.")
    if code == "NOAUTH":
        raise ConfigError("redis", "the server wants a password", "Write redis://USER:PASSWORD@HOST.")
    if command == "AUTH":
        raise ConfigError("redis", "the server refuses this user or password", "Check both in the URL.")
    if command == "SELECT":
        raise ConfigError("redis", "the server has no database of that number", "Name another in the URL.")


class Node:
    """One server, or whichever is the primary of a service: a connection for all, and another for what must last.

    The second waits for replicas, which would hold everybody up; without replicas there is none.
    """

    def __init__(self, connect: Dial, replicas: int | None) -> None:
        self.breaker: Breaker = Breaker()
        self._connect = connect
        self._wanted = replicas
        self._replicas = 0
        self._ask_again_at = 0.0
        self._closed = False
        self._links: list[Link | None] = [None, None]
        self._dialling: list[asyncio.Task[Link] | None] = [None, None]

    async def ask(self, words: Words, *, lasting: bool = False, asking: bool = False) -> Any:
        """The server's answer, which may be a `ReplyError`; raises `Lost` or `ConfigError`."""
        link = self._links[0]
        if link is None or link.ended is not None:
            link = await self._dial(0)
        if lasting:
            link = await self._lasting(link)
        if asking:
            # The server heeds it for the next command of this connection alone. Nobody waits for the answer.
            link.ask((b"ASKING",)).cancel()
        return await link.ask(words)

    @property
    def peer(self) -> str:
        """The address that answers, if one does."""
        link = self._links[0]
        return link.peer if link is not None else ""

    @property
    def tells_replicas(self) -> bool:
        """Whether the server says how many replicas it has, where that has to be known."""
        return self._wanted is not None or self._ask_again_at < float("inf")

    def drop(self, detail: str) -> None:
        """Leave the connections: what they lead to has changed."""
        for link in self._links:
            if link is not None:
                link.end(detail)

    async def aclose(self) -> None:
        """Finish what was asked and close, for good."""
        self._closed = True
        tasks = [task for task in self._dialling if task is not None]
        if tasks:
            await asyncio.wait(tasks)
        for link in self._links:
            if link is not None:
                await link.aclose()

    async def _lasting(self, link: Link) -> Link:
        if self._wanted is None and time.monotonic() > self._ask_again_at:
            self._ask_again_at = time.monotonic() + _ASK_AGAIN
            link.ask(("INFO", "replication")).add_done_callback(self._learn)
        if not self._confirmations:
            return link
        second = self._links[1]
        return second if second is not None and second.ended is None else await self._dial(1)

    @property
    def _confirmations(self) -> int:
        return min(1, self._replicas) if self._wanted is None else self._wanted

    def _learn(self, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._know(Greeting(answer.result()))

    def _know(self, greeting: Greeting) -> None:
        self._replicas = greeting.replicas or 0
        self._ask_again_at = float("inf") if greeting.replicas is None else time.monotonic() + _ASK_AGAIN

    async def _dial(self, which: int) -> Link:
        """A new connection, made once for all who want it; one whose caller has gone is made all the same."""
        if self._closed:
            raise Lost("it was closed", "late")
        task = self._dialling[which]
        if task is None:
            task = asyncio.get_running_loop().create_task(self._open(which))
            task.add_done_callback(_heard)
            self._dialling[which] = task
        await asyncio.wait({task})
        return task.result()

    async def _open(self, which: int) -> Link:
        try:
            link, greeting = await self._connect()
            self._know(greeting)
            # As many as there are now: the one that confirmed nothing may be gone.
            link.confirmations = self._confirmations if which else 0
            self._links[which] = link
            return link
        finally:
            self._dialling[which] = None


def _heard(task: asyncio.Task[Link]) -> None:
    """All who waited may have gone; that is nothing to complain about."""
    if not task.cancelled():
        task.exception()
