"""What a session costs a request: one worker, 32 connections, CPU microseconds of the server per request.

Every application runs in a uvicorn process of its own and answers the same few bytes. Rounds are interleaved, and only
ratios from one round are compared. `python -m benchmarks.http serve NAME` is one of the servers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

SECRET: Final = "a secret of the benchmarks that is long enough for anybody"
COOKIE: Final = "next-auth.session-token"
BODY: Final = b'{"sub":"user-1"}'
CONNECTIONS: Final = 32
REQUESTS: Final = int(os.environ.get("BENCH_REQUESTS", "2000"))
NEW_TOKENS: Final = 10_000
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "25"))
_SHORT: Final = (b"accept: */*", b"user-agent: bench", b"accept-encoding: gzip", b"accept-language: en")


def make_auth() -> Any:
    from sojourn import Auth

    return Auth(secret=SECRET, base_url="http://127.0.0.1:3000", compat="nextauth-v4")


def starlette_app(*, mounted: bool, asks: bool) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from sojourn.adapters.starlette import mount, require_session

    auth = make_auth()

    async def plain(_: Request) -> Response:
        return Response(BODY, media_type="application/json")

    async def me(request: Request) -> Response:
        await require_session(request, auth)
        return Response(BODY, media_type="application/json")

    app = Starlette(routes=[Route("/me", me if asks else plain)])
    if mounted:
        mount(app, auth)
    return app


def fastapi_app(*, mounted: bool, asks: bool) -> Any:
    from fastapi import Depends, FastAPI
    from starlette.responses import Response

    from sojourn.adapters.fastapi import SignedIn, mount

    auth = make_auth()

    async def empty() -> None: ...

    dependency: Callable[..., Any] = SignedIn(auth) if asks else empty

    async def me(session: Any = Depends(dependency)) -> Response:
        return Response(BODY, media_type="application/json")

    app = FastAPI(openapi_url=None)
    app.add_api_route("/me", me)
    if mounted:
        mount(app, auth)
    return app


APPLICATIONS: Final[dict[str, Callable[[], Any]]] = {
    "starlette": lambda: starlette_app(mounted=False, asks=False),
    "starlette idle": lambda: starlette_app(mounted=True, asks=False),
    "starlette session": lambda: starlette_app(mounted=True, asks=True),
    "fastapi": lambda: fastapi_app(mounted=False, asks=False),
    "fastapi idle": lambda: fastapi_app(mounted=True, asks=False),
    "fastapi session": lambda: fastapi_app(mounted=True, asks=True),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing measured: which server, with which tokens, against which peer, and the ratio it must reach."""

    name: str
    server: str
    fresh: bool = False
    peer: str | None = None
    budget: int | None = None


ROWS: Final = (
    Row(name="Starlette, bare", server="starlette"),
    Row(name="Starlette, never asks", server="starlette idle", peer="Starlette, bare", budget=99),
    Row(name="Starlette, token seen before", server="starlette session", peer="Starlette, bare", budget=90),
    Row(name="Starlette, new token", server="starlette session", fresh=True, peer="Starlette, bare", budget=85),
    Row(name="FastAPI, empty dependency", server="fastapi"),
    Row(name="FastAPI, never asks", server="fastapi idle", peer="FastAPI, empty dependency", budget=99),
    Row(name="FastAPI, token seen before", server="fastapi session", peer="FastAPI, empty dependency", budget=93),
    Row(name="FastAPI, new token", server="fastapi session", fresh=True, peer="FastAPI, empty dependency", budget=93),
)


def serve(name: str) -> None:
    """Run one of the servers on a free port that it prints."""
    import uvicorn

    from sojourn.server import bind

    listening = bind("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(APPLICATIONS[name](), access_log=False, log_level="warning", lifespan="on")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([listening]))


class _Caller(asyncio.Protocol):
    """One connection: sends the next request when the last one is answered."""

    def __init__(self, requests: Sequence[bytes], done: asyncio.Event) -> None:
        self._requests = iter(requests)
        self._done = done
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(BODY):
            if not self._received.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(self._received.decode())
            self._received = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done.set()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


async def _drive(port: int, requests: Sequence[bytes]) -> None:
    loop = asyncio.get_running_loop()
    waiting: list[Awaitable[object]] = []
    for first in range(CONNECTIONS):
        done = asyncio.Event()
        share = requests[first::CONNECTIONS]
        await loop.create_connection(partial(_Caller, share, done), "127.0.0.1", port)
        waiting.append(done.wait())
    async with asyncio.timeout(120):
        await asyncio.gather(*waiting)


def _cpu_seconds(pid: int) -> float:
    """CPU time of every thread of the process, from the scheduler's nanosecond counters."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _requests(tokens: Sequence[str]) -> list[bytes]:
    head = b"GET /me HTTP/1.1\r\nhost: 127.0.0.1\r\n" + b"".join(line + b"\r\n" for line in _SHORT)
    return [head + f"cookie: theme=dark; {COOKIE}={token}\r\n\r\n".encode() for token in tokens]


def measure(rows: Sequence[Row] = ROWS) -> dict[str, list[float]]:
    """Row → CPU microseconds a request in each round, all rows interleaved."""
    from sojourn import Claims

    auth = make_auth()
    claims = Claims(sub="user-1", name="Ada Lovelace", email="ada@example.org")
    known = _requests([auth.issue(claims)] * REQUESTS)
    # More than a server remembers, so that whoever comes round again is new again.
    fresh = itertools.cycle(_requests([auth.issue(claims) for _ in range(NEW_TOKENS)]))
    servers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.http", "serve", name], stdout=subprocess.PIPE, text=True
        )
        for name in dict.fromkeys(row.server for row in rows)
    }
    samples: dict[str, list[float]] = {row.name: [] for row in rows}
    try:
        ports = {name: int((server.stdout or sys.stdin).readline()) for name, server in servers.items()}
        for port in ports.values():
            asyncio.run(_drive(port, known[:1000]))
        for round_ in range(ROUNDS):
            for row in rows if round_ % 2 else reversed(rows):
                requests = known
                if row.fresh:
                    requests = [next(fresh) for _ in range(REQUESTS)]
                pid = servers[row.server].pid
                before = _cpu_seconds(pid)
                asyncio.run(_drive(ports[row.server], requests))
                samples[row.name].append((_cpu_seconds(pid) - before) / REQUESTS * 1e6)
    finally:
        for server in servers.values():
            server.terminate()
            server.wait(10)
            if server.stdout is not None:
                server.stdout.close()
    return samples


def share(of: Sequence[float], peer: Sequence[float]) -> float:
    """The median, over the rounds, of the peer's time by ours: a round that was slow was slow for both."""
    return statistics.median(theirs / ours for ours, theirs in zip(of, peer, strict=True))


def table(measured: dict[str, list[float]]) -> str:
    """The figures as Markdown, each with the share of its peer's throughput and the budget."""
    lines = ["| request | CPU µs | of its peer | budget |", "|---|--:|--:|---|"]
    for row in ROWS:
        reached = budget = ""
        if row.peer and row.budget:
            ratio = share(measured[row.name], measured[row.peer])
            reached = f"{ratio:.1%}"
            budget = f"≥ {row.budget} %: {'met' if ratio * 100 >= row.budget else '**not met**'}"
        lines.append(f"| {row.name} | {statistics.median(measured[row.name]):.1f} | {reached} | {budget} |")
    return "\n".join(lines)


def main() -> str:
    """Measure and return the section of docs/performance.md."""
    about = (
        f"uvicorn, one worker, {CONNECTIONS} connections; CPU of the server a request, medians of {ROUNDS} interleaved "
        f"rounds of {REQUESTS} requests. The share is the median of each round's own."
    )
    return f"## HTTP\n\n{about}\n\n{table(measure())}\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:] == ["--json"]:
        print(json.dumps(measure()))
    else:
        print(main())
