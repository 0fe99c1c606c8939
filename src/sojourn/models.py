"""The values that travel: frozen, keyword-only, without a clock."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, dataclass_transform

import msgspec

from sojourn.errors import ConfigError

__all__ = ["Account", "Claims", "ClaimsT", "Device", "Lifetimes", "Profile", "Session", "User", "Value"]


class Value(msgspec.Struct, frozen=True):
    """A value whose `hidden` fields, secrets or merely long, no `repr` shows.

    A Struct, here and wherever no framework has to understand it: each dataclass takes a millisecond of every import.
    """

    hidden: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields that may be seen, for `rich`."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.hidden]


# RFC 7519 and OIDC Core fix these spellings; every other field travels in camelCase.
_REGISTERED = frozenset({"auth_time"})


def _wire_name(field: str) -> str:
    if field in _REGISTERED:
        return field
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), field)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _ClaimsMeta(msgspec.StructMeta):
    """Tells type checkers what every subclass of `Claims` inherits: frozen, keyword-only."""


class Claims(msgspec.Struct, metaclass=_ClaimsMeta, frozen=True, kw_only=True, rename=_wire_name):
    """What a session says about its user; subclass it to add typed claims.

    Times are epoch seconds. `sid` names the session and stays through every refresh, `jti` names one token,
    `auth_time` is when the person last proved who they are (OIDC Core 2). Zero and the empty string mean "not set yet":
    `iat`, `exp`, `jti` and, at sign-in, `sid` and `auth_time` are filled when the token is made. Fields travel in
    camelCase (`is_sponsor` as `isSponsor`); members of a token that no field names are kept through refreshes.
    """

    sub: str = ""
    name: str | None = None
    email: str | None = None
    picture: str | None = None
    sid: str = ""
    auth_time: int = 0
    iat: int = 0
    exp: int = 0
    jti: str = ""

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed; an unknown field is a `TypeError`."""
        return msgspec.structs.replace(self, **changes)


if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ClaimsT = TypeVar("ClaimsT", bound=Claims, default=Claims)
else:
    from typing import TypeVar

    ClaimsT = TypeVar("ClaimsT", bound=Claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who a provider says somebody is; `id` is the provider's own name for them, never an address."""

    id: str
    name: str | None = None
    email: str | None = None
    image: str | None = None
    email_verified: bool = False
    username: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person's record. Times are epoch seconds; `email` is normalised, `email_verified_at` is None until proven."""

    id: str
    username: str | None = None
    name: str | None = None
    email: str | None = None
    email_verified_at: int | None = None
    image: str | None = None
    created_at: int = 0
    last_login_at: int | None = None
    disabled_at: int | None = None

    def replace(self, **changes: Any) -> User:
        """A copy with these fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One way in: a provider's account that belongs to a user; `sealed_tokens` is what it handed out, encrypted."""

    provider: str
    provider_account_id: str
    type: str = "oauth"  # oauth, oidc, credentials or email
    user_id: str = ""
    scope: str | None = None
    created_at: int = 0
    sealed_tokens: str | None = field(default=None, repr=False)


class Device(Value, frozen=True, kw_only=True):
    """One of somebody's sessions as a list shows it; times are epoch seconds.

    `last_seen_at` is when it was extended last, `expires_at` when it ends unless it is extended. A session in a token
    is written down once: there they are the sign-in and the latest end that it can have.
    """

    sid: str
    created_at: int
    last_seen_at: int
    expires_at: int
    provider: str | None = None
    client: str | None = None
    user_agent: str | None = None


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """A session's durations in seconds, converted once from `SessionPolicy`."""

    max_age: int
    update_age: int
    grace_period: int
    absolute_age: int
    leeway: int = 15


class Session(msgspec.Struct, Generic[ClaimsT], frozen=True, kw_only=True):
    """Who is signed in, since when, until when.

    `sid` is the session's name (a token made elsewhere without one is known by its `jti`), `user_id` its subject;
    `issued_at`, `expires_at` and `auth_time` are epoch seconds. `version` grows with every change of a session that a
    store keeps; it is 0 for one in a token.
    """

    claims: ClaimsT
    sid: str
    user_id: str
    issued_at: int
    expires_at: int
    auth_time: int
    load_user: Callable[[], Awaitable[User | None]] | None = None
    version: int = 0

    async def user(self) -> User | None:
        """The user's row, loaded once per request; `None` if it is gone.

        Raises `StoreUnavailable` when the store cannot answer and `ConfigError` when the session did not come from a
        request or no database is configured.
        """
        if self.load_user is None:
            raise ConfigError(
                "database", "this session has no user store", "Set `database` and load the session through a request."
            )
        return await self.load_user()
