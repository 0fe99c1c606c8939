"""What the types of the public API promise. Checked by mypy and basedpyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sojourn import (
    Auth,
    Callbacks,
    Claims,
    ClaimsChange,
    Event,
    Loaded,
    Profile,
    RateLimit,
    Session,
    SessionPolicy,
    TokenError,
    User,
)
from sojourn.adapters import asgi, starlette
from sojourn.adapters.fastapi import MaybeSignedIn, SignedIn, mount
from sojourn.providers import OIDC, Credentials, GitHub, OAuth


class MyClaims(Claims):
    username: str | None = None
    is_sponsor: bool = False


async def check_password(form: Mapping[str, str]) -> Profile | None:
    return Profile(id="1", name="Ada", email="ada@example.org") if form.get("password") else None


def fill_claims(claims: MyClaims, change: ClaimsChange) -> MyClaims:
    assert_type(change.user, User | None)
    return claims.replace(is_sponsor=change.trigger == "sign_up")


async def on_event(event: Event) -> None:
    assert_type(event.at, int)


def to_profile(raw: Mapping[str, object]) -> Profile:
    return Profile(id=str(raw["id"]))


auth = Auth(
    secrets=["newest", b"older"],
    base_url="https://app.example",
    providers=[
        GitHub(client_id="id", client_secret="secret"),
        OIDC(id="op", issuer="https://op.example", client_id="id", client_secret="secret", scope="openid email"),
        OAuth(
            id="old",
            authorize_url="https://old.example/authorize",
            token_url="https://old.example/token",
            userinfo_url="https://old.example/me",
            profile=to_profile,
            client_id="id",
            client_secret="secret",
        ),
        Credentials(authorize=check_password),
    ],
    database="sqlite:///app.db",
    session=SessionPolicy(max_age="12h", update_age="1h", grace_period="15m", absolute_age="30d"),
    claims=MyClaims,
    callbacks=Callbacks(claims=fill_claims),
    on_event=on_event,
    rate_limit=RateLimit(sign_in="10/5m"),
)
assert_type(auth, Auth[MyClaims])
app = FastAPI()
mount(app, auth)


async def everything_about_a_session(session: Session[MyClaims]) -> None:
    assert_type(session.claims, MyClaims)
    assert_type(session.claims.is_sponsor, bool)
    assert_type(session.claims.replace(name="Ada"), MyClaims)
    assert_type(session.sid, str)
    assert_type(session.issued_at, int)
    assert_type(await session.user(), User | None)


def tokens() -> None:
    assert_type(auth.issue(MyClaims(sub="1", is_sponsor=True)), str)
    try:
        assert_type(auth.verify("token"), Session[MyClaims])
    except TokenError as error:
        assert_type(error.step, str)
        assert_type(error.code, str)


@app.get("/me")
async def me(session: Annotated[Session[MyClaims], Depends(SignedIn(auth))]) -> bool:
    return session.claims.is_sponsor


@app.get("/maybe")
async def maybe(session: Annotated[Session[MyClaims] | None, Depends(MaybeSignedIn(auth))]) -> str | None:
    return None if session is None else session.claims.username


@app.websocket("/ws")
async def socket(websocket: WebSocket, session: Annotated[Session[MyClaims], Depends(SignedIn(auth))]) -> None:
    await websocket.accept()
    assert_type(await SignedIn(auth)(websocket), Session[MyClaims])
    assert_type(await MaybeSignedIn(auth)(websocket), Session[MyClaims] | None)


@starlette.signed_in(auth)
async def guarded(request: Request, session: Session[MyClaims]) -> Response:
    assert_type(await starlette.load_session(request, auth), Session[MyClaims] | None)
    assert_type(await starlette.require_session(request, auth), Session[MyClaims])
    assert_type(await asgi.load_session(request.scope, auth), Loaded[MyClaims])
    return JSONResponse({"sub": session.user_id})


@starlette.signed_in(auth)  # type: ignore[arg-type]  # the endpoint does not take the session
async def unguarded(request: Request) -> Response:
    return Response()


starlette.mount(Starlette(), auth)
mount(app, "auth")  # type: ignore[arg-type]
Auth(secret=1)  # type: ignore[arg-type]
whole: asgi.ASGIApp = asgi.SojournMiddleware(app, auth)
