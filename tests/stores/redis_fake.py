"""A server that says what it is told to, word for word, to whoever talks to it as to a Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from hiredis import Reader

Answer = Callable[[list[str]], bytes | None]
"""What to say to a command; None to say nothing, b"" to hang up."""

NIL = b"$-1\r\n"
OK = b"+OK\r\n"


class Fake:
    """A listening server; `heard` is every command but those of the greeting."""

    def __init__(self, answer: Answer, greeting: bytes = OK) -> None:
        self.heard: list[str] = []
        self.connections = 0
        self.port = 0
        self._answer = answer
        self._greeting = greeting
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def say(self, unasked: bytes) -> None:
        """To everybody, without being asked."""
        for writer in self._writers:
            writer.write(unasked)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Fake]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        commands = Reader()
        with suppress(ConnectionError):
            while heard := await reader.read(65536):
                commands.feed(heard)
                while (words := commands.gets()) is not False:
                    told = self._tell([word.decode(errors="replace") for word in words])
                    if told == b"":
                        writer.close()
                        self._writers.discard(writer)
                        return
                    writer.write(told or b"")
        self._writers.discard(writer)
        writer.close()

    def _tell(self, words: list[str]) -> bytes | None:
        match words[0]:
            case "CLIENT" | "SELECT" | "AUTH":
                return self._greeting
            case "INFO":
                return b"$11\r\nrole:master\r\n"
            case _:
                self.heard.append(words[0])
                return self._answer(words)
