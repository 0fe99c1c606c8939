"""The real parts on the other side of the wire: Node, the certified OpenID provider, the npm packages' token functions.

`./dev test --all` says in the environment where they lie. A missing one is a failure, never a skip.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

SOURCES = Path(__file__).parent.parent / "js" / "src"
START_LIMIT = 60.0  # seconds that a process may take to say that it is ready


def required(name: str) -> str:
    """The value of an environment variable that the tests with real parts cannot do without."""
    value = os.environ.get(name, "")
    if not value or not Path(value).exists():
        pytest.fail(f"{name} names no existing file or folder; run these tests with `./dev test --all`", pytrace=False)
    return value


@dataclass(frozen=True)
class Workshop:
    """Our JavaScript sources beside a link to the installed packages: Node resolves from where a file lies."""

    node: str
    folder: Path

    def script(self, name: str) -> str:
        return str(self.folder / "src" / name)

    def bundle(self, name: str) -> str:
        """The browser bundle of one source file, as text."""
        out = self.folder / "bundle.js"
        subprocess.run([self.node, self.script("bundle.mjs"), self.script(name), str(out)], check=True)
        return out.read_text(encoding="utf-8")


def make_workshop(folder: Path) -> Workshop:
    """Lay out the workshop in an empty folder."""
    node = required("SOJOURN_NODE")
    packages = Path(required("SOJOURN_JS")) / "node_modules"
    if not packages.is_dir():
        pytest.fail(f"{packages} is missing; run these tests with `./dev test --all`", pytrace=False)
    shutil.copytree(SOURCES, folder / "src")
    (folder / "node_modules").symlink_to(packages)
    return Workshop(node=node, folder=folder)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, which is ended as a whole; its standard error goes to `log`."""
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(START_LIMIT)


def first_line(process: subprocess.Popen[str], log: Path) -> str:
    """What the process says when it is ready."""
    assert process.stdout is not None
    watchdog = threading.Timer(START_LIMIT, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    if not line:
        pytest.fail(f"{process.args!r} ended before it was ready:\n{log.read_text(encoding='utf-8')}", pytrace=False)
    return line


@dataclass(frozen=True)
class CertifiedProvider:
    """npm `oidc-provider` on a port of its own."""

    issuer: str

    def register(self, **metadata: Any) -> dict[str, Any]:
        """Register a client (RFC 7591) and return its metadata, `client_id` and `client_secret` among them."""
        wanted = {"grant_types": ["authorization_code"], "response_types": ["code"], **metadata}
        answer = httpx2.post(f"{self.issuer}/reg", json=wanted)
        assert answer.status_code == 201, answer.text
        registered: dict[str, Any] = answer.json()
        return registered


@contextmanager
def certified_provider(workshop: Workshop, **settings: Any) -> Iterator[CertifiedProvider]:
    log = workshop.folder / "oidc-provider.log"
    with running([workshop.node, workshop.script("oidc-provider.mjs"), json.dumps(settings)], log) as process:
        yield CertifiedProvider(issuer=json.loads(first_line(process, log))["issuer"])


class PackageError(Exception):
    """The npm package refused; the text is its own."""


@dataclass(frozen=True)
class TokenPackages:
    """The token functions of npm `next-auth` 4 and `@auth/core` behind one long-lived process."""

    process: subprocess.Popen[str]

    def call(self, operation: str, **members: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"op": operation, **members}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if not answer["ok"]:
            raise PackageError(answer["error"])
        return answer["result"]


@contextmanager
def token_packages(workshop: Workshop) -> Iterator[TokenPackages]:
    log = workshop.folder / "tokens.log"
    with running([workshop.node, workshop.script("tokens.mjs")], log) as process:
        yield TokenPackages(process)


class _Server(uvicorn.Server):
    """Says when it listens, so that nobody has to poll for it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(build: Callable[[str], Starlette]) -> Iterator[str]:
    """The application that `build` makes for its own URL, on a real socket in a thread; yields that URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _Server(uvicorn.Config(build(url), log_level="warning", ws="none", lifespan="on", server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="site")
        thread.start()
        try:
            assert server.listening.wait(START_LIMIT), "the application did not start"
            yield url
        finally:
            server.should_exit = True
            thread.join(START_LIMIT)
