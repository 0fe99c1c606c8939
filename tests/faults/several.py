"""Several processes of one application, and how soon all of them know what one of them ended."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["Member", "rounds", "several"]

_ROOT = Path(__file__).parents[2]
_PATIENCE = 30.0


class Member:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, *words: str) -> tuple[float, str]:
        """When it answered, in monotonic time, and what."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(words)}\n".encode())
        return await self.hear()

    async def hear(self) -> tuple[float, str]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _PATIENCE)
        at, word = line.decode().split()
        return float(at), word

    def stop(self) -> None:
        """Until `go_on` it does nothing, and does not know that time passes."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        if self._process.returncode is None:
            self.go_on()
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def several(count: int, database: str, redis: str = "-") -> AsyncIterator[Sequence[Member]]:
    """So many of them, ready."""
    members: list[Member] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.one_of_several", database, redis),
                cwd=_ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            members.append(Member(process))
        for member in members:
            assert (await member.hear())[1] == "ready"
        yield members
    finally:
        for member in members:
            await member.end()


async def rounds(count: int, members: Sequence[Member]) -> list[float]:
    """Sign out in one after the other; seconds from its answer until the last of the others refused the copy."""
    spent: list[float] = []
    for number in range(count):
        signer = members[number % len(members)]
        others = [member for member in members if member is not signer]
        _, cookie = await signer.ask("sign_in")
        for member in others:
            assert len((await member.ask("sid", cookie))[1]) > len("nobody")
        refusing = [asyncio.create_task(member.ask("refused", cookie)) for member in others]
        answered, status = await signer.ask("sign_out", cookie)
        assert status == "200"
        told = await asyncio.gather(*refusing)
        assert {word for _, word in told} == {"session_ended"}
        spent.append(max(0.0, max(at for at, _ in told) - answered))
    return spent
