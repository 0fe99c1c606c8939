"""Failed sign-ins, counted by account and, more generously, by network, wherever counts are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from sojourn.errors import StoreUnavailable
from sojourn.events import Event
from sojourn.flows.failures import store_failed
from sojourn.policy.rate_limit import Rate
from sojourn.ports import Clock, CounterStore

__all__ = ["SignInLimiter", "Taken"]

T = TypeVar("T")

# Many people share one network behind one address: an office may fail ten times as often as one account.
_NETWORK_FACTOR = 10
_REST = 1
"""Seconds for which a store that failed is left alone, so that an outage does not cost each attempt a timeout."""
_TELL_EVERY = 60


class Taken(msgspec.Struct, frozen=True):
    """An attempt that was counted, and the store that counted it: only there it can be given back."""

    account: str | None
    network: str
    store: CounterStore


class SignInLimiter:
    """Takes an attempt before it is judged, and gives it back when it turns out to be the owner's.

    `store` makes each count one step, so that parallel guesses cannot share one. While it is down, `fallback` counts at
    the same rate in this process, and the store is asked again every other second.
    """

    def __init__(
        self,
        count: int,
        period: int,
        *,
        store: CounterStore,
        fallback: CounterStore,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._account_rate = Rate(count, period)
        self._network_rate = Rate(count * _NETWORK_FACTOR, period)
        self._store = store
        self._fallback = fallback
        self._clock = clock
        self._emit = emit
        self._failed_at: int | None = None
        self._told_at = 0

    async def take(self, account: str | None, network: str) -> Taken | int:
        """Count an attempt; the seconds to wait if it is one too many, and then nothing was counted.

        `account` is a hash of the name. A form that names none counts for its network alone: what strangers share must
        not shut anybody out.
        """
        result = await self._ask(partial(self._count, Taken(account, network, self._store)))
        return await self._count(Taken(account, network, self._fallback)) if result is None else result

    async def give_back(self, taken: Taken) -> None:
        """Nobody could judge the attempt: it costs nothing."""
        undo = partial(self._undo, taken)
        await (self._ask(undo) if taken.store is self._store else undo())

    async def succeeded(self, taken: Taken) -> None:
        """The owner signed in: their account starts afresh, and the network gets this one attempt back.

        Never refuses them: a count that cannot be changed now recovers by itself.
        """
        await self._forgive(taken, self._fallback)
        await self._ask(partial(self._forgive, taken, self._store))

    async def _count(self, attempt: Taken) -> Taken | int:
        # The network comes first: one that is out of attempts cannot touch anybody's account.
        rate = self._network_rate
        wait = await attempt.store.take(_network_key(attempt.network), count=rate.count, period=rate.period)
        if wait is None and attempt.account is not None:
            rate = self._account_rate
            wait = await attempt.store.take(_account_key(attempt.account), count=rate.count, period=rate.period)
            if wait is not None:
                # Denied is denied, also where the store fails just now: the fallback would allow it.
                with suppress(StoreUnavailable):
                    await self._return_network(attempt)
        return attempt if wait is None else wait

    async def _undo(self, taken: Taken) -> None:
        if taken.account is not None:
            rate = self._account_rate
            await taken.store.give_back(_account_key(taken.account), count=rate.count, period=rate.period)
        await self._return_network(taken)

    async def _forgive(self, taken: Taken, store: CounterStore) -> None:
        if taken.account is not None:
            await store.clear(_account_key(taken.account))
        if store is taken.store:
            await self._return_network(taken)

    async def _return_network(self, taken: Taken) -> None:
        rate = self._network_rate
        await taken.store.give_back(_network_key(taken.network), count=rate.count, period=rate.period)

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """What the store answers, or None where it does not or should not be asked now."""
        if self._failed_at is not None:
            now = self._clock()
            # A clock that was set back is no reason to leave the store alone for longer.
            if 0 <= now - self._failed_at <= _REST:
                return None
            self._failed_at = now  # Others go on without waiting for what this one finds out.
        try:
            answer = await question()
        except StoreUnavailable as error:
            await self._note(error)
            return None
        self._failed_at = None
        return answer

    async def _note(self, error: StoreUnavailable) -> None:
        now = self._clock()
        begins, self._failed_at = self._failed_at is None, now
        if begins or not 0 <= now - self._told_at < _TELL_EVERY:
            self._told_at = now
            await self._emit(store_failed(error, at=now))


def _account_key(account: str) -> str:
    return f"sign-in:account:{account}"


def _network_key(network: str) -> str:
    return f"sign-in:network:{network}"
