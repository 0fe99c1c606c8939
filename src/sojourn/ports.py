"""What Sojourn asks of the outside: stores, logs, the network, the clock. Protocols only.

A failing backend raises `StoreUnavailable` and nothing else. Absent is `None` or `False`. Nothing here judges expiry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import ClassVar, Protocol

import msgspec

from sojourn.models import Account, User, Value

__all__ = [
    "Clock",
    "CounterStore",
    "OnceStore",
    "Revocation",
    "RevocationLog",
    "SessionChange",
    "SessionRecord",
    "SessionStore",
    "TokenTable",
    "Transport",
    "TransportError",
    "TransportRequest",
    "TransportResponse",
    "UserStore",
    "system_clock",
]

Clock = Callable[[], int]
"""Now, in whole epoch seconds. Passed in everywhere; nothing else reads the time."""


def system_clock() -> int:
    """The machine's wall clock."""
    return time_ns() // 1_000_000_000


class UserStore(Protocol):
    """Users, their accounts and password hashes. Emails and usernames arrive normalised."""

    async def get(self, user_id: str) -> User | None: ...

    async def get_by_email(self, email: str) -> User | None: ...

    async def get_by_account(self, provider: str, provider_account_id: str) -> User | None: ...

    async def get_by_username(self, username: str) -> tuple[User, str | None] | None:
        """The user and their password hash (PHC string), if they have one."""
        ...

    async def create(self, user: User, account: Account | None = None, password_hash: str | None = None) -> User:
        """Insert the user and their first account in one transaction.

        Raises `Conflict("email")`, `Conflict("username")` or `Conflict("account")` and then has written nothing.
        """
        ...

    async def link(self, account: Account) -> None:
        """Insert an account of an existing user; raises `Conflict("account")`."""
        ...

    async def update(self, user: User) -> None:
        """Write name, image, email, verification and disabling of a user; raises `Conflict` if gone or taken."""
        ...

    async def record_login(self, user_id: str, at: int) -> None: ...

    async def set_password_hash(self, user_id: str, password_hash: str) -> None: ...

    async def list_accounts(self, user_id: str) -> Sequence[Account]: ...

    async def keep_tokens(self, provider: str, provider_account_id: str, sealed_tokens: str) -> None:
        """Replace an account's sealed tokens; an account that is gone is no error."""
        ...


class SessionRecord(Value, frozen=True):
    """A session as a store keeps it; times are epoch seconds.

    `secret_hash` is the SHA-256 of the secret in the cookie, `claims` their JSON. `issued_at` is when the record was
    last written. Nobody needs it after `forget_after`, and a store may drop it then, never before. `client` and
    `user_agent` are what the sign-in came from. `version` grows by one with each change.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"secret_hash", "claims"})
    sid: str
    user_id: str
    secret_hash: bytes
    claims: bytes
    auth_time: int
    issued_at: int
    expires_at: int
    forget_after: int
    version: int = 1
    provider: str | None = None
    client: str | None = None
    user_agent: str | None = None


class SessionChange(Value, frozen=True, kw_only=True):
    """What of a record may change."""

    hidden: ClassVar[frozenset[str]] = frozenset({"claims"})
    claims: bytes
    issued_at: int
    expires_at: int
    forget_after: int


class SessionStore(Protocol):
    """Sessions that live in a store. There is no upsert: it would bring sessions back that were signed out.

    Each method is one step to everybody else. Ids come from `identifiers.session_id`.
    """

    async def insert(self, record: SessionRecord) -> None:
        """Raises `Conflict("session")` if the id exists, `Conflict("user")` where users are kept too and theirs is
        gone; durable when it returns."""
        ...

    async def get(self, sid: str) -> SessionRecord | None: ...

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        """The record and its user's row in the same step; the user is None where the store keeps none."""
        ...

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        """Raises `Conflict("session")` if the record is gone or newer; else it is one version on."""
        ...

    async def delete(self, sid: str) -> bool:
        """Whether there was one; durable when it returns."""
        ...

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        """The user's records that need not be forgotten yet, newest sign-in first."""
        ...

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        """Delete all of the user's records, or all `but` that one; returns the ids that are gone now."""
        ...

    async def purge(self, *, limit: int = 1000) -> int:
        """Drop at most `limit` records that nobody needs any more; returns how many. 0 where they go by themselves."""
        ...


class TokenTable(Protocol):
    """Sessions that are asked for by their tokens, which are stored as they are: another program's table."""

    async def find(self, token: str) -> tuple[SessionRecord, User] | None: ...

    async def insert_token(self, token: str, record: SessionRecord) -> None:
        """Raises `Conflict("user")` if the user is gone."""
        ...

    async def replace_token(self, token: str, change: SessionChange, *, expected_version: int) -> int:
        """The new version; raises `Conflict("session")` if the session is gone or was extended by anybody."""
        ...


class CounterStore(Protocol):
    """Counts attempts by GCRA: at most `count` in `period` seconds for each key (`policy/rate_limit.py`)."""

    async def take(self, key: str, *, count: int, period: int) -> int | None:
        """Count one attempt; the whole seconds to wait if it is one too many, and then nothing was counted."""
        ...

    async def give_back(self, key: str, *, count: int, period: int) -> None:
        """Take one attempt back."""
        ...

    async def clear(self, key: str) -> None:
        """Let the key start afresh."""
        ...


class OnceStore(Protocol):
    """What may be spent once: states, nonces, mailed links."""

    async def spend(self, key: str, forget_after: int) -> bool:
        """True for exactly one caller per key, also among callers at the same moment; kept until `forget_after`."""
        ...


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """One ending: of a session (`kind="session"`, subject is the sid) or of all a user's sessions up to `at`
    (`kind="user"`). May be forgotten after `forget_after`, when no token it could kill is alive."""

    kind: str
    subject: str
    at: int
    forget_after: int


class RevocationLog(Protocol):
    """Append-only: what ended, in order."""

    async def append(self, revocation: Revocation) -> None:
        """Durable when it returns."""
        ...

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        """Everything after this position, and the position to go on from."""
        ...

    async def wait(self, after: int, seconds: float) -> None:
        """Return when there may be entries after this position, and after so many seconds in any case.

        It may return too early. A caller who is cancelled leaves nothing behind, and what could not be heard raises
        `StoreUnavailable`; the next call then begins anew.
        """
        ...


class TransportRequest(Value, frozen=True, kw_only=True):
    """One request to a provider, built by a pure half in `oauth/`.

    `form` is sent as a urlencoded body; `body` as it is, its type among the headers. Never both.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"headers", "form", "body"})
    method: str
    url: str
    headers: Mapping[str, str]
    form: Sequence[tuple[str, str]] | None = None
    body: bytes | None = None


class TransportResponse(Value, frozen=True, kw_only=True):
    """A provider's answer, whole: status, lower-case headers, body of at most 1 MB."""

    hidden: ClassVar[frozenset[str]] = frozenset({"headers", "body"})
    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends to providers: no redirects, a wall-clock deadline, a size cap after inflating."""

    async def send(self, request: TransportRequest) -> TransportResponse:
        """Raises `TransportError` for anything but a whole answer."""
        ...

    async def aclose(self) -> None: ...


class TransportError(Exception):
    """A provider could not be reached, was too slow or said too much; the text names which, without secrets."""
