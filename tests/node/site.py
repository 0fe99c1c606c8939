"""The application of these tests: a few pages, and Sojourn mounted beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sojourn import Auth, Callbacks, Claims, ClaimsChange, Profile, Session, SessionPolicy
from sojourn.adapters.starlette import mount, signed_in
from sojourn.providers import OIDC, OIDCProvider, Provider
from tests.node.real_parts import CertifiedProvider

SECRET = "the secret of an application that only tests know"
PASSWORD = "correct horse battery staple"

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Application</title>
<div id="root"></div><script src="/page.js"></script></html>"""


class SiteClaims(Claims):
    """What this application adds to a session."""

    username: str | None = None


def check_password(form: Mapping[str, str]) -> Profile | None:
    """One person has a password here."""
    if (form.get("username"), form.get("password")) != ("ada", PASSWORD):
        return None
    return Profile(id="1", name="Ada", email="ada@app.example", username="ada")


def fill_claims(claims: SiteClaims, change: ClaimsChange) -> SiteClaims:
    """A browser may change its user's name and nothing else."""
    if change.trigger == "update" and isinstance(change.data, dict) and isinstance(change.data.get("name"), str):
        return claims.replace(name=change.data["name"])
    return claims


def client_of(
    op: CertifiedProvider, url: str, method: str = "client_secret_basic", algorithm: str = "RS256"
) -> OIDCProvider:
    """The setting for a client that is registered here and now at the certified provider."""
    settings: dict[str, Any] = {"token_endpoint_auth_method": method, "id_token_signed_response_alg": algorithm}
    wanted: dict[str, Any] = {"redirect_uris": [f"{url}/api/auth/callback/op"], **settings}
    if method == "private_key_jwt":
        key = RSAKey.generate_key(2048, auto_kid=True)
        wanted["jwks"] = {"keys": [{**key.as_dict(private=False), "alg": "RS256", "use": "sig"}]}
        settings["private_key"] = key.as_pem(private=True).decode()
    client = op.register(**wanted)
    settings |= {"client_id": client["client_id"], "client_secret": client.get("client_secret")}
    return OIDC(id="op", name="Example", issuer=op.issuer, **settings)


def make_auth(
    url: str, providers: Sequence[Provider], *, database: Path | None = None, **settings: Any
) -> Auth[SiteClaims]:
    return Auth(
        secret=SECRET,
        base_url=url,
        providers=providers,
        database=f"sqlite:///{database}" if database is not None else None,
        claims=SiteClaims,
        callbacks=Callbacks(claims=fill_claims),
        session=settings.pop("session", SessionPolicy()),
        **settings,
    )


def make_app(auth: Auth[SiteClaims], script: str = "") -> Starlette:
    """`/me` for somebody signed in, and a page whose script is given."""

    @signed_in(auth)
    async def me(request: Request, session: Session[SiteClaims]) -> Response:
        return JSONResponse({"id": session.user_id, "name": session.claims.name, "sid": session.sid})

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def page_script(request: Request) -> Response:
        return Response(script, media_type="text/javascript")

    app = Starlette(routes=[Route("/me", me), Route("/page", page), Route("/page.js", page_script)])
    mount(app, auth)
    return app


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """What is really stored."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()
