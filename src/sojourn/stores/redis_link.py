"""One connection that all callers share: commands go out together, answers come back in the same order."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, Final, Literal, cast

from hiredis import ProtocolError, Reader, ReplyError, pack_command

__all__ = ["COMMAND", "Link", "Lost", "Words"]

COMMAND: Final = 0.5
"""Seconds to wait for an answer."""

_CONFIRM: Final = 0.3
"""Seconds to wait for replicas."""

_MOST_WAITING: Final = 10_000

Words = tuple[bytes | str | int, ...]
"""A command and its arguments."""

Stage = Literal["dialling", "queued", "sent", "late", "unconfirmed"]


class Lost(Exception):
    """No answer came; from stage `sent` on, the server may have done what was asked."""

    def __init__(self, detail: str, stage: Stage) -> None:
        self.detail = detail
        self.stage = stage
        super().__init__(detail)


class Link(asyncio.Protocol):
    """A connection of one event loop.

    Who stops waiting leaves a place in the queue, and the answer for it is thrown away when it comes: it can reach
    nobody else. The first answer that is late ends the connection. With `confirmations`, an answer is passed on only
    when as many replicas have what was written; those who come meanwhile go out, and wait, together.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.confirmations: int = 0
        self.ended: str | None = None
        self.peer: str = ""
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()
        # None stands for the confirmation of all that was answered before it.
        self._waiting: deque[tuple[asyncio.Future[Any] | None, float]] = deque()
        self._unconfirmed: list[tuple[asyncio.Future[Any], Any]] = []
        self._out: list[bytes] = []
        self._flushing = False
        self._confirming = False
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, words: Words, patience: float = COMMAND) -> asyncio.Future[Any]:
        """Send a command; the answer may be a `ReplyError`, and is late after `patience` seconds. Raises `Lost` if it
        cannot be sent, and so may the future."""
        if self.ended is not None:
            raise Lost(self.ended, "queued")
        if len(self._waiting) >= _MOST_WAITING:
            raise Lost("too many calls wait for it", "late")
        packed = _packed(words)
        answer: asyncio.Future[Any] = self._loop.create_future()
        # At worst, one confirmation is waited for before the command goes out.
        deadline = self._loop.time() + (patience + _CONFIRM if self.confirmations else patience)
        self._waiting.append((answer, deadline))
        self._out.append(packed)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look)
        return answer

    def end(self, detail: str, stage: Stage = "sent") -> None:
        """Close at once; who waits is told."""
        if self.ended is not None:
            return
        self.ended = detail
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        asked = len(self._waiting) - len(self._out)
        for answer, _ in self._unconfirmed:
            if not answer.done():
                answer.set_exception(Lost(detail, stage))
        for place, (awaited, _) in enumerate(self._waiting):
            if awaited is not None and not awaited.done():
                awaited.set_exception(Lost(detail, stage if place < asked else "queued"))
        self._waiting.clear()
        self._unconfirmed.clear()
        self._out.clear()

    async def aclose(self) -> None:
        """Let what was asked be answered, then close."""
        if self.ended is None:
            try:
                await self.ask((b"PING",))
            except Lost:
                pass
            finally:
                self.end("it was closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if self.ended is not None:
            self._transport.abort()
            return
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = name[0]
            plug = transport.get_extra_info("socket")
            # A firewall forgets idle connections without a word; the answer to the next call would never come.
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)

    def connection_lost(self, error: Exception | None) -> None:
        self.end("it closed the connection")

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                if not waiting:
                    self.end(str(reply)[:100] if type(reply) is ReplyError else "it said what nobody asked for")
                    return
                answer = waiting.popleft()[0]
                if answer is None:
                    self._pass_on(reply)
                elif self.confirmations:
                    self._unconfirmed.append((answer, reply))
                elif not answer.done():
                    answer.set_result(reply)
        except ProtocolError:
            self.end("it does not speak Redis's protocol")

    def _pass_on(self, confirmed: Any) -> None:
        enough = isinstance(confirmed, int) and confirmed >= self.confirmations
        for answer, reply in self._unconfirmed:
            if answer.done():
                continue
            if enough or type(reply) is ReplyError:
                answer.set_result(reply)
            else:
                answer.set_exception(Lost("no replica confirmed the write in time", "unconfirmed"))
        self._unconfirmed.clear()
        self._confirming = False
        if enough:
            self._flush()
        else:
            # Another connection asks anew how many replicas there are.
            self.end("no replica confirmed a write before", "unconfirmed")

    def _flush(self) -> None:
        self._flushing = False
        if self.ended is not None or self._transport is None or self._confirming or not self._out:
            return
        if self.confirmations:
            self._confirming = True
            words: Words = (b"WAIT", self.confirmations, int(_CONFIRM * 1000))
            self._out.append(_packed(words))
            self._waiting.append((None, self._loop.time() + COMMAND))
        out, self._out = self._out, []
        self._transport.write(b"".join(out))

    def _look(self) -> None:
        """Has the first of those who wait waited too long?"""
        self._watch = None
        if self._waiting:
            deadline = self._waiting[0][1]
            if deadline <= self._loop.time():
                self.end("it did not answer in time", "late")
            else:
                self._watch = self._loop.call_at(deadline, self._look)


def _packed(words: Words) -> bytes:
    packed: bytes = pack_command(words)  # type: ignore[arg-type]  # its stub names one word, it takes any number
    return packed
