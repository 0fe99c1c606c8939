"""What a request turned out to carry: a session, or the reason why there is none."""

from __future__ import annotations

from typing import ClassVar, Generic

from sojourn.cookies import Cookie
from sojourn.errors import StoreUnavailable
from sojourn.models import ClaimsT, Session, User, Value
from sojourn.ports import UserStore

__all__ = ["Carried", "Loaded", "OnceUser"]


class Loaded(Value, Generic[ClaimsT], frozen=True, kw_only=True):
    """The session of a request, or why there is none.

    `code` is the coarse code of a refusal, `step` the check that refused (for events and logs, not for the outside);
    `detail` adds what an operator must know and anybody may; `cookies` are to be set on the response; `unavailable`
    means "I cannot tell", which is a 503 and never a sign-out. `token` is what carried the session.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"token"})
    session: Session[ClaimsT] | None = None
    code: str | None = None
    step: str | None = None
    detail: str = ""
    cookies: tuple[Cookie, ...] = ()
    unavailable: StoreUnavailable | None = None
    token: str = ""


class Carried(Value, Generic[ClaimsT], frozen=True, kw_only=True):
    """What a Cookie header carries: a token and the session it opens, or the step that refused."""

    hidden: ClassVar[frozenset[str]] = frozenset({"token"})
    token: str
    session: Session[ClaimsT] | None = None
    step: str = "missing"
    detail: str = ""


class OnceUser:
    """Loads the user's row at the first call and remembers it for the rest of the request."""

    __slots__ = ("_found", "_user", "_user_id", "_users")

    def __init__(self, users: UserStore, user_id: str) -> None:
        self._users = users
        self._user_id = user_id
        self._found = False
        self._user: User | None = None

    async def __call__(self) -> User | None:
        if not self._found:
            self._user = await self._users.get(self._user_id)
            self._found = True
        return self._user
