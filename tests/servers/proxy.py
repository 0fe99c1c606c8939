"""A proxy between us and a server, which does to the connection what networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Mode = Literal["pass", "refuse", "stall", "half", "reset"]


class ChaosProxy:
    """Passes bytes on to `host:port`, until `mode` says otherwise.

    `refuse` cuts every connection and takes no new one; `stall` goes on listening and passes nothing; `half` lets the
    first half of the next answer through, then nothing; `reset` cuts a connection hard at its next answer. `dialled`
    counts connections.
    """

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._mode: Mode = "pass"
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.dialled = 0

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._writers) // 2

    async def set(self, mode: Mode) -> None:
        """Behave like this from now on."""
        self._mode = mode
        if mode in {"stall", "half"}:
            self._passing.clear()
        else:
            self._passing.set()
        if mode == "refuse":
            await self._stop()
            self._cut()
        elif self._server is None:
            await self._listen()

    async def aclose(self) -> None:
        await self._stop()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> None:
        for writer in self._writers:
            transport = writer.transport
            # No polite end: what waits in the buffers is lost.
            sock = transport.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        self._writers.clear()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        try:
            behind, before = await asyncio.open_connection(*self._there)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, before}
        for source, sink, answers in ((reader, before, False), (behind, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, writer, before, answers=answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *both: asyncio.StreamWriter,
        answers: bool,
    ) -> None:
        try:
            while part := await source.read(65536):
                if self._mode == "reset" and answers:
                    break
                if self._mode == "half" and answers:
                    sink.write(part[: len(part) // 2])
                    part = part[len(part) // 2 :]
                await self._passing.wait()
                sink.write(part)
                await sink.drain()
        except OSError:
            pass
        finally:
            for writer in both:
                self._writers.discard(writer)
                writer.transport.abort()


@asynccontextmanager
async def chaos(host: str, port: int) -> AsyncIterator[ChaosProxy]:
    """A proxy that passes everything on, at a free port."""
    proxy = ChaosProxy(host, port)
    await proxy.set("pass")
    try:
        yield proxy
    finally:
        await proxy.aclose()
