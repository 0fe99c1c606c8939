"""What can go wrong, as one tree.

```
SojournError
├── ConfigError        the programmer's mistake, at start; names the key, the value seen and the fix
├── ClaimsTooLarge     the programmer's mistake, while claims are added; nothing was issued
├── TokenError         401  a hostile, damaged, foreign, expired or ended token; carries the step that refused
├── BadRequest         400  a request that cannot be read: body, type, size
├── SignInRefused      a sign-in that was thought about and refused; carries the protocol's code and the step
├── StoreUnavailable   503  a store or channel cannot answer; never a sign-out
└── Conflict           a record exists already, or is gone or newer; a store's answer to a lost race
```

The browser sees a coarse code only (`TokenError.code`, `SignInRefused.code`). The step, its cause and its fix go to the
event, the log, `sojourn token open` and the doctor; `sojourn.refusals` holds their texts.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BadRequest",
    "ClaimsTooLarge",
    "ConfigError",
    "Conflict",
    "SignInRefused",
    "SojournError",
    "StoreUnavailable",
    "TokenError",
]

_COARSE: Final = {
    "missing": "session_missing",
    "expired": "session_expired",
    "absolute_age": "session_expired",
    "ended": "session_ended",
    "stale": "unavailable",
}


class SojournError(Exception):
    """Everything that Sojourn raises on purpose."""


class ConfigError(SojournError):
    """A setting that cannot work: names the key, the value seen and the fix."""

    def __init__(self, key: str, seen: str, fix: str) -> None:
        self.key = key
        self.seen = seen
        self.fix = fix
        super().__init__(f"{key}: {seen}. {fix}")


class ClaimsTooLarge(SojournError):
    """The session would not fit its byte budget; `size` and `budget` are characters of the cookie's value."""

    def __init__(self, size: int, budget: int) -> None:
        self.size = size
        self.budget = budget
        super().__init__(
            f"the session takes {size} characters of cookie, the budget is {budget}: keep less in its claims"
        )


class TokenError(SojournError):
    """A token that opens no session; `step` says which check refused, `code` what the outside may know."""

    def __init__(self, step: str, detail: str = "") -> None:
        self.step = step
        self.detail = detail
        super().__init__(f"{step}: {detail}" if detail else step)

    @property
    def code(self) -> str:
        """One of `session_missing`, `session_invalid`, `session_expired`, `session_ended`.

        Or `unavailable`, which is no verdict on the token: it cannot be told now, and is a 503.
        """
        return _COARSE.get(self.step, "session_invalid")


class BadRequest(SojournError):
    """A request whose body or shape cannot be read; `code` is stable, `status` is 400 or 413."""

    def __init__(self, code: str, detail: str, status: int = 400) -> None:
        self.code = code
        self.status = status
        super().__init__(detail)


class SignInRefused(SojournError):
    """A sign-in that ends in an explained refusal.

    `code` is the protocol's (`OAuthCallback`, `CredentialsSignin`, …); `step` names the check that refused, in our
    own words, for the event and the log; `detail` never holds a secret; `params` are added to the error page's URL.
    """

    def __init__(self, code: str, step: str, detail: str = "", params: tuple[tuple[str, str], ...] = ()) -> None:
        self.code = code
        self.step = step
        self.detail = detail
        self.params = params
        super().__init__(f"{code} at {step}: {detail}" if detail else f"{code} at {step}")


class StoreUnavailable(SojournError):
    """A store, log or channel did not answer; `retry_after` is in seconds."""

    def __init__(self, store: str, detail: str = "", retry_after: int = 2) -> None:
        self.store = store
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"{store} is unavailable: {detail}" if detail else f"{store} is unavailable")


class Conflict(SojournError):
    """The record exists already, or the one to replace is gone or newer; `what` names the unique thing."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)
