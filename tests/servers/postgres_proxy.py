"""What stands between a client and its PostgreSQL, and loses or holds back an answer when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Passes bytes on, and counts connections; `lose` and `stall` befall the next answer that holds a mark."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._port = 0
        self._lose: bytes | None = None
        self._stall: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self.connected = 0
        self.answers: list[bytes] = []

    @property
    def url(self) -> str:
        user = self._target.netloc.rpartition("@")[0]
        return urlunsplit(self._target._replace(netloc=f"{user}@127.0.0.1:{self._port}"))

    def lose(self, mark: bytes) -> None:
        """The server does what it was asked; its answer and the connection are gone."""
        self._lose = mark

    def stall(self, mark: bytes) -> None:
        """Half of the answer comes, and then nothing more."""
        self._stall = mark

    def count(self, mark: bytes) -> int:
        """How often the server has answered with this."""
        return sum(answer.count(mark) for answer in self.answers)

    def hang_up(self) -> None:
        """Every connection breaks."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        there = await asyncio.open_connection(self._target.hostname, self._target.port)
        mine = {writer, there[1]}
        self._writers |= mine
        passing = asyncio.create_task(_pass_on(reader, there[1]))
        self._clients.add(passing)
        try:
            await self._answer(there[0], writer)
        finally:
            passing.cancel()
            self._clients.discard(passing)
            self._writers -= mine
            for end in mine:
                end.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while answer := await reader.read(1 << 16):
                self.answers.append(answer)
                if self._lose is not None and self._lose in answer:
                    self._lose = None
                    return
                if self._stall is not None and self._stall in answer:
                    self._stall = None
                    writer.write(answer[: answer.index(b"\0") + 6])
                    await reader.read()
                    return
                writer.write(answer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while sent := await reader.read(1 << 16):
            writer.write(sent)
    writer.transport.abort()
