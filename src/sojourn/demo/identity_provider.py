"""A small OpenID provider for development: three people, no passwords, this machine only.

It speaks the authorization code flow with PKCE (OIDC Core 3.1, RFC 7636), names itself in its answers (RFC 9207), and
is strict where real providers are: registered redirect URIs only, codes spent once, the client always authenticated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sojourn.demo.people import PEOPLE, Authorization, Grant, Person, ShortLived
from sojourn.errors import ConfigError
from sojourn.pages import page_headers, stylesheet
from sojourn.ports import Clock, system_clock

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["DevelopmentProvider"]

_REQUEST_LIFE: Final = 600  # seconds
_CODE_LIFE: Final = 60
_TOKEN_LIFE: Final = 300


class _Refused(Exception):
    """An error of RFC 6749, and the status of its answer."""

    def __init__(self, error: str, reason: str, *, status: int = 400) -> None:
        self.error = error
        self.reason = reason
        self.status = status
        super().__init__(error)


class DevelopmentProvider:
    """The provider at `issuer`; `app` is to be mounted at the issuer's path.

    Knows one client. Raises `ConfigError` for an issuer that is not on a loopback host; requests from other machines
    are answered with 403.
    """

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str,
        redirect_uris: Sequence[str],
        people: Sequence[Person] = PEOPLE,
        clock: Clock = system_clock,
    ) -> None:
        parts = urlsplit(issuer)
        if not _is_loopback(parts.hostname or ""):
            fix = "It lets anybody in as anyone: run it on 127.0.0.1, and use a real provider elsewhere."
            raise ConfigError("development provider", f"the issuer {issuer!r} is not on a loopback host", fix)
        self.issuer = issuer
        self._path = parts.path
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uris = frozenset(redirect_uris)
        self._people = {person.sub: person for person in people}
        self._clock = clock
        self._key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self._requests: ShortLived[Authorization] = ShortLived(_REQUEST_LIFE, clock)
        self._codes: ShortLived[Grant] = ShortLived(_CODE_LIFE, clock)
        self._tokens: ShortLived[Grant] = ShortLived(_TOKEN_LIFE, clock)
        self.app: Starlette = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/authorize", self._authorize, methods=["GET"]),
                Route("/choose", self._choose, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo, methods=["GET", "POST"]),
                Route("/jwks", self._jwks),
                Route("/people.css", _stylesheet),
            ],
            middleware=[Middleware(_LoopbackOnly)],
        )

    async def _discovery(self, _: Request) -> Response:
        endpoint = self.issuer
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{endpoint}/authorize",
                "token_endpoint": f"{endpoint}/token",
                "userinfo_endpoint": f"{endpoint}/userinfo",
                "jwks_uri": f"{endpoint}/jwks",
                "scopes_supported": ["openid", "profile", "email"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified", "sponsor"],
            }
        )

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse(KeySet([self._key]).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        given = dict(pairs)
        # Nothing may be sent to an address that this client did not register: such a request ends here.
        if given.get("client_id") != self._client_id:
            return self._page("refused.html", 400, reason="No such client.")
        if len(given) != len(pairs):
            return self._page("refused.html", 400, reason="A parameter was given twice.")
        redirect_uri = given.get("redirect_uri", "")
        if redirect_uri not in self._redirect_uris:
            return self._page("refused.html", 400, reason="That redirect URI is not registered.")
        try:
            authorization = _read_authorization(given)
        except _Refused as refused:
            return self._back(redirect_uri, given.get("state"), error=refused.error, error_description=refused.reason)
        if "none" in given.get("prompt", "").split():
            return self._back(redirect_uri, given.get("state"), error="login_required")
        request_id = self._requests.keep(authorization)
        parts = urlsplit(redirect_uri)
        site = f"{parts.scheme}://{parts.netloc}"
        return self._page(
            "choose.html", 200, target=redirect_uri, site=site, request_id=request_id, people=self._people.values()
        )

    async def _choose(self, request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        authorization = self._requests.take(fields.get("request", ""))
        if authorization is None:
            return self._page("refused.html", 400, reason="This choice was made already, or it took too long.")
        if not fields.get("person"):
            return self._back(authorization.redirect_uri, authorization.state, error="access_denied")
        person = self._people.get(fields["person"])
        if person is None:
            return self._page("refused.html", 400, reason="Nobody goes by that name here.")
        grant = Grant(person=person, authorization=authorization, auth_time=self._clock())
        code = self._codes.keep(grant)
        return self._back(authorization.redirect_uri, authorization.state, code=code)

    async def _token(self, request: Request) -> Response:
        try:
            fields = _single(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
            self._authenticate(request.headers.get("authorization", ""), fields)
            answer = self._redeem(fields)
        except _Refused as refused:
            headers = {"Cache-Control": "no-store"}
            if refused.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="development provider"'
            body = {"error": refused.error, "error_description": refused.reason}
            return JSONResponse(body, refused.status, headers)
        return JSONResponse(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _authenticate(self, authorization: str, fields: dict[str, str]) -> None:
        scheme, _, encoded = authorization.partition(" ")
        client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        if scheme.lower() == "basic":
            if "client_secret" in fields:
                raise _Refused("invalid_request", "The client authenticated in two ways.")
            try:
                client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except ValueError:
                raise _Refused("invalid_client", "The Authorization header cannot be read.", status=401) from None
            client_id, secret = unquote_plus(client_id), unquote_plus(secret)  # RFC 6749 2.3.1
        known = client_id == self._client_id
        if not hmac.compare_digest(secret.encode(), self._client_secret.encode()) or not known:
            raise _Refused("invalid_client", "Unknown client or wrong secret.", status=401)

    def _redeem(self, fields: dict[str, str]) -> dict[str, Any]:
        if fields.get("grant_type") != "authorization_code":
            raise _Refused("unsupported_grant_type", "Only authorization_code is known here.")
        grant = self._codes.take(fields.get("code", ""))
        if grant is None:
            raise _Refused("invalid_grant", "The code is unknown, used or older than a minute.")
        authorization = grant.authorization
        if fields.get("redirect_uri") != authorization.redirect_uri:
            raise _Refused("invalid_grant", "The redirect URI differs from the authorization request's.")
        if not hmac.compare_digest(_s256(fields.get("code_verifier", "")), authorization.challenge):
            raise _Refused("invalid_grant", "The code verifier does not fit the challenge.")
        access_token = self._tokens.keep(grant)
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": _TOKEN_LIFE,
            "scope": authorization.scope,
            "id_token": self._id_token(grant, access_token),
        }

    def _id_token(self, grant: Grant, access_token: str) -> str:
        now = self._clock()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self._client_id,
            "iat": now,
            "exp": now + _TOKEN_LIFE,
            "auth_time": grant.auth_time,
            "at_hash": _base64url(hashlib.sha256(access_token.encode()).digest()[:16]),
            **grant.claims(),
        }
        if grant.authorization.nonce is not None:
            claims["nonce"] = grant.authorization.nonce
        return jwt.encode({"alg": "RS256", "kid": self._key.kid, "typ": "JWT"}, claims, self._key)

    async def _userinfo(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        grant = self._tokens.get(token)
        if scheme.lower() != "bearer" or grant is None:
            return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return JSONResponse(grant.claims(), headers={"Cache-Control": "no-store"})

    def _back(self, redirect_uri: str, state: str | None, **answer: str) -> Response:
        pairs = {**answer, **({} if state is None else {"state": state}), "iss": self.issuer}
        mark = "&" if "?" in redirect_uri else "?"
        return RedirectResponse(f"{redirect_uri}{mark}{urlencode(pairs)}", 302, {"Cache-Control": "no-store"})

    def _page(self, template: str, status: int, *, target: str = "", **values: object) -> Response:
        html = _environment().get_template(template).render(base=self._path, **values)
        headers = {name: value for name, value in page_headers([target]) if name != "Content-Type"}
        return HTMLResponse(html, status, headers)


class _LoopbackOnly:
    """Refuses everybody who is not on this machine, whatever address the server listens on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client") or ("", 0)
        if scope["type"] == "http" and not _is_loopback(client[0]):
            refusal = Response("The development identity provider answers this machine only.", 403)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _read_authorization(given: dict[str, str]) -> Authorization:
    if given.get("response_type") != "code":
        raise _Refused("unsupported_response_type", "Only code is known here.")
    scope = given.get("scope", "")
    if "openid" not in scope.split():
        raise _Refused("invalid_scope", "The scope lacks openid.")
    if given.get("code_challenge_method") != "S256" or len(given.get("code_challenge", "")) != 43:
        raise _Refused("invalid_request", "PKCE with S256 is required.")
    return Authorization(
        redirect_uri=given["redirect_uri"],
        state=given.get("state"),
        nonce=given.get("nonce"),
        scope=scope,
        challenge=given["code_challenge"],
    )


def _single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refused("invalid_request", "A parameter was given twice.")
    return fields


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _s256(verifier: str) -> str:
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _stylesheet(_: Request) -> Response:
    more = files(__package__).joinpath("people.css").read_bytes()
    return Response(stylesheet() + more, media_type="text/css; charset=utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(__package__, "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
