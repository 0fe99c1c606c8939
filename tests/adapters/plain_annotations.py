"""An application whose annotations are values, not strings: no `from __future__ import annotations` on purpose."""

from typing import Annotated

from fastapi import Depends, FastAPI

from sojourn import Auth, Session
from sojourn.adapters.fastapi import MaybeSignedIn, SignedIn, mount
from tests.adapters.stories import StoryClaims


def make_app(auth: Auth[StoryClaims]) -> FastAPI:
    app = FastAPI()
    mount(app, auth)

    @app.get("/me")
    async def me(session: Annotated[Session[StoryClaims], Depends(SignedIn(auth))]) -> dict[str, str]:
        return {"sub": session.user_id}

    @app.get("/maybe")
    async def maybe(session: Annotated[Session[StoryClaims] | None, Depends(MaybeSignedIn(auth))]) -> dict[str, bool]:
        return {"signedIn": session is not None}

    return app
