"""What happened, in words: as events that name step, cause and fix, and as problem documents that say far less."""

from __future__ import annotations

from sojourn.errors import StoreUnavailable, TokenError
from sojourn.events import SessionMissing, SessionRefused, StoreFailed
from sojourn.http import Response, problem
from sojourn.refusals import explain, public

__all__ = ["session_missing", "session_refused", "store_failed", "unauthorized", "unavailable"]


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


def unauthorized(origin: str, code: str | None, detail: str = "") -> Response:
    """401 as a problem document with the coarse code (RFC 9457, RFC 9110 11.6.1); `detail` is added to its text."""
    code = code or "session_missing"
    text = public(code)
    challenge = ("WWW-Authenticate", f'Session realm="{origin}", error="{code}"')
    return problem(401, code, text.title, f"{text.detail} {detail}".strip(), (challenge,))


def unavailable(error: StoreUnavailable) -> Response:
    """503 as a problem document, which signs nobody out."""
    text = public("unavailable")
    return problem(503, "unavailable", text.title, text.detail, (("Retry-After", str(error.retry_after)),))
