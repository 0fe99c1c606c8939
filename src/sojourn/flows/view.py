"""What `GET /session` shows of a session (nextauth.md 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from sojourn.callbacks import call
from sojourn.models import Session

__all__ = ["show"]


async def show(session: Session[Any], callback: Callable[[dict[str, Any], Session[Any]], Any] | None) -> bytes:
    """Name, email and image, when it ends, and what the application makes of that, as JSON.

    Raises `TypeError` if the application makes no mapping of it, beside whatever it raises itself.
    """
    claims = session.claims
    user = {"name": claims.name, "email": claims.email, "image": claims.picture}
    ends = datetime.fromtimestamp(session.expires_at, UTC)
    view: dict[str, Any] = {"user": user, "expires": ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    if callback is None:
        return msgspec.json.encode(view)
    shown: object = await call(callback, view, session)
    if not isinstance(shown, Mapping):
        raise TypeError("a session is shown as a mapping")
    return msgspec.json.encode(shown)
