"""FastAPI: `mount`, and `SignedIn` as a dependency that overrides find and the generated docs show.

No `from __future__ import annotations` here: FastAPI resolves string annotations through the callable's `__globals__`,
which an instance with `__call__` does not have.
"""

from typing import Any, Generic

from fastapi import FastAPI
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.openapi.models import SecurityBase as SecurityBaseModel
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from sojourn.adapters import starlette
from sojourn.adapters.starlette import NotSignedIn, load_session, require_session
from sojourn.auth import Auth
from sojourn.cookies import cookie_names
from sojourn.models import ClaimsT, Session

__all__ = ["MaybeSignedIn", "NotSignedIn", "SignedIn", "mount"]


def mount(app: FastAPI, auth: Auth[Any]) -> None:
    """Put `auth` on `app`: its routes, the lazy session of every request, start-up and shut-down, and error answers."""
    starlette.mount(app, auth)


class _SessionDependency(SecurityBase, Generic[ClaimsT]):
    """Equal for the same kind and `auth`, so `app.dependency_overrides[SignedIn(auth)]` finds every use of it."""

    def __init__(self, auth: Auth[ClaimsT]) -> None:
        self.auth = auth
        self._hash = hash((type(self), id(auth)))  # asked for several times a request
        self.scheme_name = "Sojourn session"
        config = auth.config
        names = cookie_names(config.compat, secure=config.base.secure, share_with=config.cookie_domain)
        self.model: SecurityBaseModel = APIKey.model_validate({"in": APIKeyIn.cookie, "name": names.session})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _SessionDependency) and other.auth is self.auth

    def __hash__(self) -> int:
        return self._hash


class SignedIn(_SessionDependency[ClaimsT]):
    """The session of whoever is signed in; nobody gets a 401 problem document, a WebSocket is closed with 1008.

    `session: Annotated[Session[MyClaims], Depends(SignedIn(auth))]`
    """

    async def __call__(self, connection: HTTPConnection) -> Session[ClaimsT]:
        return await require_session(connection, self.auth)


class MaybeSignedIn(_SessionDependency[ClaimsT]):
    """The session, or `None` for nobody; a store that cannot answer is a 503, not nobody.

    `session: Annotated[Session[MyClaims] | None, Depends(MaybeSignedIn(auth))]`
    """

    async def __call__(self, connection: HTTPConnection) -> Session[ClaimsT] | None:
        return await load_session(connection, self.auth)
