"""Which server a connection goes to, and what the pool keeps beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sojourn.stores.postgres_schema import prepare
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import CONNECT_SECONDS, Driver

__all__ = ["PostgresConnection", "dial", "hosts_of"]


class PostgresConnection:
    """One of the driver's, the statements that it has prepared, and until when it may lie idle."""

    __slots__ = ("driver", "generation", "good_until", "prepared")

    def __init__(self, driver: Any, generation: int) -> None:
        self.driver: Any = driver
        self.generation: int = generation
        self.good_until: float = 0.0
        self.prepared: dict[Statement, Any] = {}

    async def prepare(self, statement: Statement) -> Any:
        """The statement made ready, for as long as the connection lives."""
        ready = self.prepared[statement] = await self.driver.prepare(statement.text, timeout=CONNECT_SECONDS)
        return ready


def hosts_of(url: str) -> list[str]:
    """A URL for each host that this one names, `postgresql://user:password@one:5432,two:5432/name`."""
    parts = re.fullmatch(r"([^:]+://(?:[^/?#]*@)?)([^@/?#]*)(.*)", url, re.DOTALL)
    if parts is None or "," not in parts[2]:
        return [url]
    # Only one of several takes writes, and it is not always the same.
    attributes = "" if "target_session_attrs=" in parts[3] else "target_session_attrs=read-write"
    rest = parts[3] if not attributes else f"{parts[3]}{'&' if '?' in parts[3] else '?'}{attributes}"
    return [f"{parts[1]}{host}{rest}" for host in parts[2].split(",")]


async def dial(driver: Driver, hosts: list[str], *, command_timeout: float, settings: Mapping[str, str]) -> Any:
    """The driver's connection to the first host that serves, its tables made; that host then stands first.

    Raises what the driver raises for the last of them. The driver itself would wait for a host that says nothing until
    no time is left for the next.
    """
    failed: Exception | None = None
    for host in list(hosts):
        connection: Any = None
        try:
            connection = await driver.connect(host, CONNECT_SECONDS / len(hosts), command_timeout, settings)
            await prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            if not isinstance(error, Exception):  # of those the driver raises many, bare ValueError and OSError too
                raise
            failed = error
            continue
        hosts.remove(host)
        hosts.insert(0, host)
        return connection
    assert failed is not None
    raise failed
