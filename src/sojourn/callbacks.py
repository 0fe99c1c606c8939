"""What the application decides: four callables with typed arguments, plain or async.

They run at fixed points of a flow. What they raise refuses that step and is logged; its text never reaches a browser.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from sojourn.models import Account, Claims, ClaimsT, Profile, Session, User

__all__ = ["Callbacks", "ClaimsChange", "SignInAttempt", "call", "unusable_claims"]

T = TypeVar("T")
Trigger = Literal["sign_in", "sign_up", "update", "refresh"]


class SignInAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who proved who they are and asks to come in.

    `user` is their record, or `None` before a first sign-in; `raw` is the provider's own profile document.
    """

    profile: Profile
    account: Account
    user: User | None = None
    raw: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ClaimsChange(msgspec.Struct, frozen=True, kw_only=True):
    """Why claims are being made.

    `trigger` is `sign_in`, `sign_up` (the record was made now), `update` (the browser posted `data`) or `refresh`.
    `user` is the record where a user store is configured; `account`, `profile` and `raw` exist at sign-in only.
    """

    trigger: Trigger
    user: User | None = None
    account: Account | None = None
    profile: Profile | None = None
    data: Any = None
    raw: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Callbacks(msgspec.Struct, Generic[ClaimsT], frozen=True, kw_only=True):
    """The application's decisions; each may be plain or async, and each has a default.

    `sign_in(attempt)`: True lets in, False refuses with `AccessDenied`, a string sends the browser there (through the
    redirect rule). `redirect(url, base_url)`: where to go after signing in or out; the answer passes the redirect rule.
    `claims(claims, change)`: the claims to keep; `change.data` is what the browser posted, and nothing of it is merged
    by itself. `session(view, session)`: what `GET /session` shows.
    """

    sign_in: Callable[[SignInAttempt], Awaitable[bool | str] | bool | str] | None = None
    redirect: Callable[[str, str], Awaitable[str] | str] | None = None
    claims: Callable[[ClaimsT, ClaimsChange], Awaitable[ClaimsT] | ClaimsT] | None = None
    session: Callable[[dict[str, Any], Session[ClaimsT]], Awaitable[Mapping[str, Any]] | Mapping[str, Any]] | None = (
        None
    )


async def call(function: Callable[..., Awaitable[T] | T], *arguments: object) -> T:
    """What `function` returns, awaited if need be."""
    result = function(*arguments)
    if inspect.isawaitable(result):
        return await result
    return result


def unusable_claims(changed: object, claims_type: type[Claims]) -> str | None:
    """Why no session can be made of what a callback answered, or `None`: a token of such claims would never open."""
    if not isinstance(changed, claims_type):
        return f"returned {type(changed).__name__}, not {claims_type.__name__}"
    try:
        msgspec.json.decode(msgspec.json.encode(changed), type=claims_type)
    except (ValueError, TypeError, RecursionError):
        return f"returned {claims_type.__name__} with a value that its type forbids"
    return None
