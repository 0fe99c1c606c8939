"""Sessions, counts, spent keys and revocations in Redis or Valkey: one server, a Cluster, or what Sentinels watch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from hiredis import ReplyError

from sojourn.errors import ConfigError
from sojourn.ports import Clock, CounterStore, OnceStore, RevocationLog, SessionStore, system_clock
from sojourn.stores.redis_client import RedisClient, unavailable
from sojourn.stores.redis_counters import RedisCounterStore, RedisOnceStore
from sojourn.stores.redis_keys import LOG
from sojourn.stores.redis_link import Lost, Words
from sojourn.stores.redis_log import RedisRevocationLog
from sojourn.stores.redis_node import Node
from sojourn.stores.redis_sessions import RedisSessionStore
from sojourn.stores.redis_url import Target, read_url

__all__ = ["RedisServer"]

_log = logging.getLogger("sojourn")

_NOBODY: Final = b"sojourn:{0000}:s:nobody"


class RedisServer:
    """One server, Cluster or service and its stores: `sessions`, `counters`, `once`, `revocations`.

    One connection for each server, opened when needed, and a second one where writes wait for replicas. Each call waits
    at most half a second for a connection and half a second for the answer; a server that failed five times in a row is
    left alone but for one call a second.
    """

    def __init__(self, url: str, *, clock: Clock = system_clock) -> None:
        """Raises `ConfigError` for a URL that cannot be read."""
        self._target: Target = read_url(url)
        self._client = RedisClient(self._target)
        self.sessions: SessionStore = RedisSessionStore(self._client, clock)
        self.counters: CounterStore = RedisCounterStore(self._client, clock)
        self.once: OnceStore = RedisOnceStore(self._client, clock)
        self._log = RedisRevocationLog(self._client, clock)
        self.revocations: RevocationLog = self._log

    async def connect(self) -> None:
        """See that everything Sojourn does is allowed there.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it cannot now.
        """
        self._client.reopen()
        try:
            for node in await self._client.nodes():
                await _check(node, self._target)
        except Lost as lost:
            raise unavailable(lost) from None

    async def aclose(self) -> None:
        """Finish what was asked and close the connections."""
        self._log.close()
        await self._client.aclose()


async def _check(node: Node, target: Target) -> None:
    tries: Mapping[str, Words] = {
        "GET": (_NOBODY,),
        "DEL": (_NOBODY,),
        "EVAL": ("redis.call('TIME') return 0", 1, _NOBODY),
        "WAIT": (0, 0),
        "XRANGE": (LOG[1], b"-", b"+", b"COUNT", 1),
    }
    for command, arguments in tries.items():
        reply = await node.ask((command, *arguments))
        code = str(reply).partition(" ")[0] if isinstance(reply, ReplyError) else ""
        if code in {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY"}:
            raise Lost(f"it answered {code}", "dialling")
        if code == "NOPERM" or "ACL failure" in str(reply):
            raise ConfigError(
                "redis",
                f"this user may not run {command} on Sojourn's keys",
                "Give it ~sojourn:* and +@all -@admin -@dangerous +info +config|get.",
            )
    about = _fields(await node.ask((b"INFO", b"server")))
    mode = about.get("server_mode") or about.get("redis_mode")  # as Valkey says it, as Redis does
    if target.kind == "single" and mode in {"cluster", "sentinel"}:
        raise ConfigError("redis", f"the server is a {mode}'s", f'Write "redis+{mode}://" for it.')
    if not node.tells_replicas:
        _log.warning(
            "redis: this user may not run INFO, so writes wait for no replica: allow it (+info), or set ?replicas=N"
        )
    settings = await node.ask((b"CONFIG", b"GET", b"maxmemory*"))
    if isinstance(settings, list):
        found = dict(zip(settings[::2], settings[1::2], strict=True))
        policy = found.get(b"maxmemory-policy", b"").decode()
        if found.get(b"maxmemory", b"0") != b"0" and policy != "noeviction":
            _log.warning(
                "redis: maxmemory-policy is %s: when memory runs out, sessions, limits and revocations vanish; "
                "set it to noeviction, or give Sojourn a server of its own",
                policy,
            )


def _fields(info: Any) -> Mapping[str, str]:
    if not isinstance(info, bytes):
        return {}
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, _, value in pairs}
