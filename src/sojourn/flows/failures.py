"""What happened, in words: refusals and failures as events that name the step, the cause and the fix."""

from __future__ import annotations

from sojourn.errors import StoreUnavailable, TokenError
from sojourn.events import SessionMissing, SessionRefused, StoreFailed
from sojourn.refusals import explain

__all__ = ["session_missing", "session_refused", "store_failed"]


def session_refused(step: str, detail: str, *, at: int, client: str | None) -> SessionRefused:
    """A cookie that opened no session; `detail` is added to the step's cause."""
    text = explain(step)
    cause = f"{text.cause} ({detail})" if detail else text.cause
    return SessionRefused(at=at, step=step, code=TokenError(step).code, cause=cause, fix=text.fix, client=client)


def session_missing(*, at: int, client: str | None = None) -> SessionMissing:
    """Somebody without a cookie asked for what needs a session."""
    text = explain("missing")
    return SessionMissing(at=at, step="missing", code="session_missing", cause=text.cause, fix=text.fix, client=client)


def store_failed(error: StoreUnavailable, *, at: int) -> StoreFailed:
    """A store, the password pool or a callback of the application that could not answer."""
    kind, _, callback = error.store.partition(".")
    step = f"{callback}_callback" if kind == "callbacks" else "passwords" if kind == "passwords" else "store"
    text = explain(step)
    return StoreFailed(at=at, store=error.store, detail=error.detail, step=step, cause=text.cause, fix=text.fix)
