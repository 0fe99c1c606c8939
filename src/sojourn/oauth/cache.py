"""What a provider published, kept for a while, and longer while it cannot be asked (requirements F-21, F-22)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio

from sojourn.errors import SignInRefused
from sojourn.ports import Clock

__all__ = ["PAUSE", "STALE", "TTL", "Published"]

TTL: Final = 3600
STALE: Final = 24 * 3600
PAUSE: Final = 30
"""Seconds between two attempts that something other than age asked for: an unknown key, a provider that was down."""

T = TypeVar("T")


class Published(Generic[T]):
    """One document of one provider. Callers at the same moment share one request and its outcome, a refusal too.

    Ages are judged by `clock`; one that was set back makes the document old, never eternal.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = anyio.Lock()
        self._attempts = 0
        self._value: T | None = None
        self._fetched_at = 0
        self._failure: SignInRefused | None = None
        self._tried_at: int | None = None
        self._forced_at: int | None = None

    async def get(self) -> T:
        """The document, at most an hour old; up to a day older while the provider fails. Raises `SignInRefused`."""
        value = self._value
        if value is not None and self._age(self._fetched_at) < TTL:
            return value
        if value is not None and self._is_recent(self._tried_at) and self._age(self._fetched_at) < TTL + STALE:
            return value
        return await self._ask()

    async def again(self) -> T:
        """The document asked for anew, though at most once in 30 s; between times the one at hand."""
        if self._value is not None and self._is_recent(self._forced_at):
            return self._value
        self._forced_at = self._clock()
        return await self._ask()

    async def _ask(self) -> T:
        seen = self._attempts
        async with self._lock:
            if self._attempts == seen:
                await self._attempt()
        value, failure = self._value, self._failure
        if failure is not None and (value is None or self._age(self._fetched_at) >= TTL + STALE):
            raise SignInRefused(failure.code, failure.step, failure.detail)  # one each: they grow tracebacks
        assert value is not None
        return value

    async def _attempt(self) -> None:
        try:
            self._value = await self._fetch()
            self._fetched_at = self._clock()
            self._failure = None
            self._tried_at = None
        except SignInRefused as refused:
            self._failure = refused
            self._tried_at = self._clock()
        # Not counted when cancelled: whoever waits then asks for themselves.
        self._attempts += 1

    def _age(self, at: int) -> float:
        age = self._clock() - at
        return age if age >= 0 else TTL

    def _is_recent(self, at: int | None) -> bool:
        return at is not None and 0 <= self._clock() - at < PAUSE
