"""Failed sign-ins, counted in this process: by account and, more generously, by network."""

from __future__ import annotations

from operator import itemgetter

from sojourn.policy.rate_limit import Deny, Rate, decide
from sojourn.ports import Clock

__all__ = ["SignInLimiter"]

# Many people share one network behind one address: an office may fail ten times as often as one account.
_NETWORK_FACTOR = 10
_MOST_KEYS = 100_000


class SignInLimiter:
    """Takes an attempt before it is judged, and gives it back when it turns out to be the owner's.

    Everything between reading and writing a count is synchronous, so that parallel guesses cannot share one.
    """

    def __init__(self, count: int, period: int, clock: Clock) -> None:
        self._account_rate = Rate(count, period)
        self._network_rate = Rate(count * _NETWORK_FACTOR, period)
        self._clock = clock
        self._recovered_at: dict[str, float] = {}

    def take(self, account: str | None, network: str) -> int | None:
        """Count an attempt; seconds to wait if it is one too many, and then nothing was counted.

        A form that names no account counts for its network alone: what strangers share must not shut anybody out.
        """
        now = self._clock()
        if len(self._recovered_at) > _MOST_KEYS:
            self._forget(now)
        keys = [(f"network:{network}", self._network_rate)]
        if account is not None:
            keys.insert(0, (f"account:{account}", self._account_rate))
        allowed: dict[str, float] = {}
        for key, rate in keys:
            decision = decide(self._recovered_at.get(key, 0), now, rate)
            if isinstance(decision, Deny):
                return decision.retry_after
            allowed[key] = decision.recovered_at
        self._recovered_at.update(allowed)
        return None

    def succeeded(self, account: str | None, network: str) -> None:
        """The owner signed in: their account starts afresh, and the network gets this one attempt back."""
        self._recovered_at.pop(f"account:{account}", None)
        key = f"network:{network}"
        self._recovered_at[key] = self._recovered_at.get(key, 0) - self._network_rate.step

    def _forget(self, now: float) -> None:
        self._recovered_at = {key: at for key, at in self._recovered_at.items() if at > now}
        if len(self._recovered_at) > _MOST_KEYS // 2:
            # Only a flood of made-up accounts fills this with live keys. Those that failed least make room, so that a
            # flood does not wash away the count of the one account that is being guessed at.
            by_count = sorted(self._recovered_at.items(), key=itemgetter(1))
            self._recovered_at = dict(by_count[-(_MOST_KEYS // 2) :])
