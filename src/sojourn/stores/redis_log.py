"""What ended, in a stream of Redis: in order, each entry at its position."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from hiredis import ReplyError

from sojourn.errors import StoreUnavailable
from sojourn.ports import Clock, Revocation
from sojourn.stores.redis_client import Command, RedisClient, unavailable
from sojourn.stores.redis_keys import LOG, LOG_TAG, encoded
from sojourn.stores.redis_link import COMMAND, Link, Lost
from sojourn.stores.redis_scripts import APPEND

__all__ = ["RedisRevocationLog"]

_PAGE: Final = 1000


class RedisRevocationLog:
    """Revocations in a stream; each that is added drops a few that may be forgotten.

    Who waits for the next one holds up a connection of its own.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._link: tuple[Link, asyncio.AbstractEventLoop] | None = None
        self._closed = False

    async def append(self, revocation: Revocation) -> None:
        words = APPEND.words(
            LOG,
            self._clock(),
            encoded(revocation.kind),
            encoded(revocation.subject),
            revocation.at,
            revocation.forget_after,
        )
        await self._client.run(Command(LOG_TAG, words, lasting=True, whole=True))

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        """Everything after this position, in pages, so that none holds the server up."""
        found: list[Revocation] = []
        while True:
            words = (b"XRANGE", LOG[1], f"{after + 1}-0", b"+", b"COUNT", _PAGE)
            page = await self._client.run(Command(LOG_TAG, words, repeatable=True))
            try:
                for position, fields in page:
                    after = int(position.partition(b"-")[0])
                    found.append(_read(fields))
            except (TypeError, ValueError):
                raise StoreUnavailable("redis", "what is kept in the log is no revocation") from None
            if len(page) < _PAGE:
                return after, found

    async def wait(self, after: int, seconds: float) -> None:
        self._closed = False
        loop = asyncio.get_running_loop()
        kept, self._link = self._link, None
        reusable = kept is not None and kept[1] is loop and kept[0].ended is None
        link = kept[0] if kept is not None and reusable else await self._client.dial_apart(LOG_TAG)
        milliseconds = max(1, int(seconds * 1000))  # 0 would be for ever
        words = (b"XREAD", b"COUNT", 1, b"BLOCK", milliseconds, b"STREAMS", LOG[1], f"{after}-0")
        try:
            told = await link.ask(words, patience=seconds + COMMAND)
        except Lost as lost:
            raise unavailable(lost) from None
        except BaseException:
            link.end("nobody waits on it any longer")
            raise
        if self._closed or self._link is not None or isinstance(told, ReplyError):
            link.end("nobody waits on it any longer")
        else:
            self._link = link, loop
        if isinstance(told, ReplyError):  # the keys have moved, or this is no primary any more
            raise StoreUnavailable("redis", f"asked to wait it answered {str(told).partition(' ')[0]}")

    def close(self) -> None:
        """Listen no longer."""
        self._closed = True
        kept, self._link = self._link, None
        if kept is not None:
            kept[0].end("it was closed")


def _read(fields: Any) -> Revocation:
    _, kind, _, subject, _, at, _, forget_after = fields
    return Revocation(
        kind=kind.decode(),
        subject=subject.decode("utf-8", "surrogatepass"),
        at=int(at),
        forget_after=int(forget_after),
    )
