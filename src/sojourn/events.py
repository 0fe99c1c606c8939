"""What happened: one frozen value per event, one dispatcher.

An event never holds a token, cookie, code, verifier or password. `at` is epoch seconds. `name` is stable and is what
logs and metrics key on.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import ClassVar

import msgspec

__all__ = [
    "AccountLinked",
    "Dispatcher",
    "Event",
    "SessionEnded",
    "SessionMissing",
    "SessionRefreshed",
    "SessionRefused",
    "SessionStarted",
    "SessionsEnded",
    "SignInFailed",
    "StoreFailed",
    "UserCreated",
]

logger: logging.Logger = logging.getLogger("sojourn")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; subclasses say what."""

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.INFO
    at: int


class SessionStarted(Event, frozen=True, kw_only=True):
    """Somebody signed in. `provider` is its id; `new_user` says that the record was made now."""

    name: ClassVar[str] = "session_started"
    sid: str
    user_id: str
    provider: str
    new_user: bool = False
    client: str | None = None


class SessionRefreshed(Event, frozen=True, kw_only=True):
    """A session was extended or its claims changed. `trigger`: `refresh` or `update`."""

    name: ClassVar[str] = "session_refreshed"
    sid: str
    user_id: str
    trigger: str
    expires_at: int


class SessionEnded(Event, frozen=True, kw_only=True):
    """A session ended for good. `reason`: `sign_out`, `replaced`, `revoked`, `password_changed`, `disabled`.

    `user_id` is empty where an operator ended a session in a token that no record names.
    """

    name: ClassVar[str] = "session_ended"
    sid: str
    user_id: str
    reason: str


class SessionsEnded(Event, frozen=True, kw_only=True):
    """All sessions of a user ended for good, those that no list names too; the listed ones have their own events."""

    name: ClassVar[str] = "sessions_ended"
    user_id: str
    reason: str


class SessionRefused(Event, frozen=True, kw_only=True):
    """A cookie or token opened no session: the step that refused, why, and the fix."""

    name: ClassVar[str] = "session_refused"
    level: ClassVar[int] = logging.WARNING
    step: str
    code: str
    cause: str
    fix: str
    client: str | None = None


class SessionMissing(SessionRefused, frozen=True, kw_only=True):
    """Somebody without a session cookie was turned away where one is needed."""

    name: ClassVar[str] = "session_missing"
    level: ClassVar[int] = logging.INFO


class SignInFailed(Event, frozen=True, kw_only=True):
    """A sign-in was refused: the protocol's code, the step, the cause and the fix."""

    name: ClassVar[str] = "sign_in_failed"
    level: ClassVar[int] = logging.WARNING
    provider: str
    code: str
    step: str
    cause: str
    fix: str
    client: str | None = None


class UserCreated(Event, frozen=True, kw_only=True):
    """A person's first sign-in made their record."""

    name: ClassVar[str] = "user_created"
    user_id: str
    provider: str


class AccountLinked(Event, frozen=True, kw_only=True):
    """An account was added to an existing user. `reason`: `signed_in` or `verified_email`."""

    name: ClassVar[str] = "account_linked"
    user_id: str
    provider: str
    reason: str


class StoreFailed(Event, frozen=True, kw_only=True):
    """A store did not answer; nobody was signed out. Whoever needed it got 503, and limits are counted in this process
    meanwhile. `detail` is what it said."""

    name: ClassVar[str] = "store_failed"
    level: ClassVar[int] = logging.ERROR
    store: str
    detail: str
    step: str
    cause: str
    fix: str


class Dispatcher:
    """Logs every event on the `sojourn` logger and hands it to the application's `on_event`, plain or async.

    What `on_event` raises is logged and swallowed: telling somebody must never change what happened.
    """

    def __init__(self, on_event: Callable[[Event], Awaitable[None] | None] | None = None) -> None:
        self._on_event = on_event
        self._outage: Event | None = None

    def log(self, event: Event) -> None:
        """Only the log's part, where nothing can be awaited; an outage is told once a second, not once a request."""
        if isinstance(event, StoreFailed):
            if event == self._outage:
                return
            self._outage = event
        fields = msgspec.structs.asdict(event)
        logger.log(event.level, "%s %s", event.name, fields, extra={"event": event.name, "fields": fields})

    async def __call__(self, event: Event) -> None:
        self.log(event)
        if self._on_event is None:
            return
        try:
            result = self._on_event(event)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("on_event failed for %s", event.name)
