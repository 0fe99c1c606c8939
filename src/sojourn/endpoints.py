"""The map of routes: every path under the base path, and what answers it (nextauth.md 1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic
from urllib.parse import quote

from sojourn.arrivals import Arrivals, answer, with_cookies
from sojourn.devices import DevicesEndpoint
from sojourn.errors import BadRequest, ClaimsTooLarge, StoreUnavailable
from sojourn.events import Event
from sojourn.flows.dialect import Dialect, Outcome
from sojourn.flows.failures import session_missing, store_failed, unauthorized
from sojourn.flows.revocation import Revoker
from sojourn.flows.session import Loaded, SessionFlow
from sojourn.flows.sign_out import sign_out
from sojourn.flows.visit import Visit
from sojourn.http import NO_STORE, Request, Response, json_response, problem
from sojourn.models import ClaimsT
from sojourn.ports import Clock
from sojourn.providers import Provider
from sojourn.screens import Screens

__all__ = ["Endpoints"]

# v4 sends exactly these on /session and /csrf; Vary keeps shared caches honest.
_POLLED = (
    ("Cache-Control", "private, no-cache, no-store"),
    ("Pragma", "no-cache"),
    ("Expires", "0"),
    ("Vary", "Cookie"),
)
_LATER = {
    "events": "the push channel comes with the browser client",
    "client.js": "the browser client comes with a later version",
    "react.js": "the browser client comes with a later version",
    "backchannel-logout": "back-channel logout comes with a later version",
}


class Endpoints(Generic[ClaimsT]):
    """Answers every request under the base path. Never raises for what a request holds."""

    def __init__(
        self,
        *,
        base: str,
        base_path: str,
        origin: str,
        dialect: Dialect,
        providers: Mapping[str, Provider],
        sessions: SessionFlow[ClaimsT],
        arrivals: Arrivals[ClaimsT],
        devices: DevicesEndpoint,
        screens: Screens,
        read_visit: Callable[[Request], Awaitable[Visit]],
        revoker: Revoker,
        jwks: Callable[[], Mapping[str, Any]],
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._base = base
        self._base_path = base_path
        self._origin = origin
        self._dialect = dialect
        self._providers = providers
        self._sessions = sessions
        self._arrivals = arrivals
        self._devices = devices
        self._screens = screens
        self._read_visit = read_visit
        self._revoker = revoker
        self._jwks = jwks
        self._clock = clock
        self._emit = emit

    async def handle(self, request: Request) -> Response:
        """The answer, with caching switched off wherever the endpoint did not say otherwise."""
        try:
            response = await self._route(request)
        except BadRequest as error:
            response = problem(error.status, error.code, "Bad request", str(error))
        except StoreUnavailable as error:
            await self._emit(store_failed(error, at=self._clock()))
            response = self._screens.unavailable(request, error)
        if not any(name.lower() == "cache-control" for name, _ in response.headers):
            response = response.adding(*NO_STORE)
        return response

    async def _route(self, request: Request) -> Response:
        action, _, rest = request.path.removeprefix(self._base_path).lstrip("/").partition("/")
        name = rest.partition("/")[0]
        if not self._dialect.routes(action, rest):
            return self._dialect.unsupported(request.method)
        match request.method, action, name:
            case "GET", "session", _:
                return await self._show_session(
                    await self._sessions.load(request.headers.get("cookie", ""), request.client)
                )
            case "POST", "session", _:
                return await self._update_session(request)
            case "GET", "csrf", _:
                visit = await self._read_visit(request)
                return with_cookies(json_response({"csrfToken": visit.csrf_token}, headers=_POLLED), visit.set_cookies)
            case "GET", "providers", _:
                return json_response(self._provider_list())
            case "GET", "signin" | "signout" | "error" | "verify-request", _:
                visit = await self._read_visit(request)
                return with_cookies(self._screens.show(action, visit, name), visit.set_cookies)
            case "POST", "signin", _:
                return await self._arrivals.start(request, self._providers.get(name))
            case "GET" | "POST", "callback", _ if name in self._providers:
                return await self._arrivals.finish(request, self._providers[name])
            case "POST", "signout", _:
                return await self._sign_out(request)
            case "POST", "_log", _:
                return Response(status=200)
            case "GET" | "DELETE", "sessions", _:
                return await self._devices.answer(request, rest) or self._dialect.unsupported(request.method)
            case "GET", "verify", _:
                return await self._verify(request)
            case "GET", "jwks", _:
                return json_response(self._jwks(), headers=(("Cache-Control", "public, max-age=300"),))
            case "GET", "pages.css", _:
                return self._screens.stylesheet()
            case _ if action in _LATER:
                return problem(404, "not_available", "Not in this version", f"{_LATER[action]}.")
            case _:
                return self._dialect.unsupported(request.method)

    def _provider_list(self) -> dict[str, dict[str, str]]:
        return {
            provider.id: {
                "id": provider.id,
                "name": provider.name,
                "type": self._dialect.provider_type(provider.type),
                "signinUrl": f"{self._base}/signin/{provider.id}",
                "callbackUrl": f"{self._base}/callback/{provider.id}",
            }
            for provider in self._providers.values()
        }

    async def _show_session(self, loaded: Loaded[ClaimsT]) -> Response:
        if loaded.unavailable is not None:
            raise loaded.unavailable
        if loaded.session is None:
            body = self._dialect.no_session
        else:
            body = await self._sessions.view(loaded.session)
        response = Response(status=200, headers=(("Content-Type", "application/json"), *_POLLED), body=body)
        return with_cookies(response, loaded.cookies)

    async def _update_session(self, request: Request) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            headers = (("Content-Type", "application/json"),)
            refused = Response(status=400, headers=headers, body=self._dialect.no_session)
            return with_cookies(refused, visit.set_cookies)
        try:
            cookie_header = request.headers.get("cookie", "")
            loaded = await self._sessions.update(cookie_header, visit.fields.get("data"), request.client)
        except ClaimsTooLarge as error:
            return problem(400, "session_too_large", "The session would become too large", str(error))
        return await self._show_session(loaded)

    async def _sign_out(self, request: Request) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            return answer(self._dialect, visit, self._dialect.csrf_failure(self._base, "signout"))
        cookies = await sign_out(request.headers.get("cookie", ""), sessions=self._sessions, revoker=self._revoker)
        return answer(self._dialect, visit, Outcome(location=visit.callback_url), cookies)

    async def _verify(self, request: Request) -> Response:
        """204 with the user in headers, or 401: for nginx `auth_request`, Traefik and Caddy."""
        loaded = await self._sessions.load(request.headers.get("cookie", ""), request.client)
        if loaded.unavailable is not None:
            raise loaded.unavailable
        if loaded.session is None:
            if loaded.step == "missing":
                await self._emit(session_missing(at=self._clock(), client=request.client))
            return with_cookies(unauthorized(self._origin, loaded.code), loaded.cookies)
        session = loaded.session
        headers = [("X-Auth-User-Id", session.user_id), ("X-Auth-Session-Id", session.sid)]
        if session.claims.email:
            headers.append(("X-Auth-Email", session.claims.email))
        headers = [(name, quote(value, safe=_HEADER_SAFE)) for name, value in headers]
        return with_cookies(Response(status=204, headers=tuple(headers)), loaded.cookies)


# Blanks are encoded too: a proxy drops them at either end, and " ada" would become somebody else.
_HEADER_SAFE = "!#$&'()*+,-./:;=?@[]^_`{|}~"
