"""What ended, in a stream of Redis: in order, each entry at its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sojourn.errors import StoreUnavailable
from sojourn.ports import Clock, Revocation
from sojourn.stores.redis_client import Command, RedisClient
from sojourn.stores.redis_keys import LOG, LOG_TAG, encoded
from sojourn.stores.redis_scripts import APPEND

__all__ = ["RedisRevocationLog"]

_PAGE: Final = 1000


class RedisRevocationLog:
    """Revocations in a stream; each that is added drops a few that may be forgotten."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

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


def _read(fields: Any) -> Revocation:
    _, kind, _, subject, _, at, _, forget_after = fields
    return Revocation(
        kind=kind.decode(),
        subject=subject.decode("utf-8", "surrogatepass"),
        at=int(at),
        forget_after=int(forget_after),
    )
