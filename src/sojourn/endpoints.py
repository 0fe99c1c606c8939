"""The map of routes: every path under the base path, and what answers it (nextauth.md 1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic
from urllib.parse import parse_qsl, quote

import msgspec

from sojourn.cookies import Cookie, CookieNames, merge
from sojourn.errors import BadRequest, ClaimsTooLarge, SignInRefused, StoreUnavailable
from sojourn.events import Event, SignInFailed, StoreFailed
from sojourn.flows.admission import Admission, Proof
from sojourn.flows.callback import finish_sign_in, open_transaction, prove_credentials
from sojourn.flows.dialect import Dialect, Outcome
from sojourn.flows.limits import SignInLimiter
from sojourn.flows.revocation import Revoker
from sojourn.flows.session import Loaded, SessionFlow
from sojourn.flows.sign_in import start_sign_in
from sojourn.flows.sign_out import sign_out
from sojourn.flows.visit import Visit
from sojourn.http import NO_STORE, Request, Response, json_response, problem
from sojourn.models import ClaimsT
from sojourn.oauth.client import OAuthClient
from sojourn.passwords import PasswordHasher
from sojourn.policy import redirects
from sojourn.ports import Clock, OnceStore, UserStore
from sojourn.providers import CredentialsProvider, Provider
from sojourn.refusals import explain
from sojourn.screens import Screens
from sojourn.tokens import TokenFormat

__all__ = ["Endpoints"]

# v4 sends exactly these on /session and /csrf; Vary keeps shared caches honest.
_POLLED = (
    ("Cache-Control", "private, no-cache, no-store"),
    ("Pragma", "no-cache"),
    ("Expires", "0"),
    ("Vary", "Cookie"),
)
_LATER = {
    "sessions": "the devices list comes with stored sessions",
    "events": "the push channel comes with the browser client",
    "client.js": "the browser client comes with a later version",
    "react.js": "the browser client comes with a later version",
    "backchannel-logout": "back-channel logout comes with stored sessions",
}


class Endpoints(Generic[ClaimsT]):
    """Answers every request under the base path. Never raises for what a request holds."""

    def __init__(
        self,
        *,
        base: str,
        base_path: str,
        dialect: Dialect,
        names: CookieNames,
        providers: Mapping[str, Provider],
        sessions: SessionFlow[ClaimsT],
        admission: Admission[ClaimsT],
        screens: Screens,
        read_visit: Callable[[Request], Awaitable[Visit]],
        revoker: Revoker,
        oauth: OAuthClient,
        transactions: TokenFormat,
        once: OnceStore,
        users: UserStore | None,
        hasher: PasswordHasher,
        limiter: SignInLimiter | None,
        network_of: Callable[[Request], str],
        jwks: Callable[[], Mapping[str, Any]],
        new_user_page: str | None,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._base = base
        self._origin = base[: len(base) - len(base_path)]
        self._base_path = base_path
        self._dialect = dialect
        self._names = names
        self._providers = providers
        self._sessions = sessions
        self._admission = admission
        self._screens = screens
        self._read_visit = read_visit
        self._revoker = revoker
        self._oauth = oauth
        self._transactions = transactions
        self._once = once
        self._users = users
        self._hasher = hasher
        self._limiter = limiter
        self._network_of = network_of
        self._jwks = jwks
        self._new_user_page = new_user_page
        self._clock = clock
        self._emit = emit

    async def handle(self, request: Request) -> Response:
        """The answer, with caching switched off wherever the endpoint did not say otherwise."""
        try:
            response = await self._route(request)
        except BadRequest as error:
            response = problem(error.status, error.code, "Bad request", str(error))
        except StoreUnavailable as error:
            await self._emit(StoreFailed(at=self._clock(), store=error.store, detail=error.detail))
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
                return self._with_cookies(
                    json_response({"csrfToken": visit.csrf_token}, headers=_POLLED), visit.set_cookies
                )
            case "GET", "providers", _:
                return json_response(self._provider_list())
            case "GET", "signin" | "signout" | "error" | "verify-request", _:
                visit = await self._read_visit(request)
                return self._with_cookies(self._screens.show(action, visit, name), visit.set_cookies)
            case "POST", "signin", _:
                return await self._start(request, self._providers.get(name))
            case "GET" | "POST", "callback", _ if name in self._providers:
                return await self._callback(request, self._providers[name])
            case "POST", "signout", _:
                return await self._sign_out(request)
            case "POST", "_log", _:
                return Response(status=200)
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

    def _with_cookies(self, response: Response, cookies: Sequence[Cookie]) -> Response:
        headers = tuple(("Set-Cookie", cookie.header()) for cookie in merge(cookies))
        return response.adding(*headers)

    def _answer(self, visit: Visit, outcome: Outcome, cookies: Sequence[Cookie] = ()) -> Response:
        response = self._dialect.answer(visit.request, visit.fields, outcome)
        return self._with_cookies(response, (*visit.set_cookies, *cookies))

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
            body = msgspec.json.encode(await self._sessions.view(loaded.session))
        response = Response(status=200, headers=(("Content-Type", "application/json"), *_POLLED), body=body)
        return self._with_cookies(response, loaded.cookies)

    async def _update_session(self, request: Request) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            headers = (("Content-Type", "application/json"),)
            refused = Response(status=400, headers=headers, body=self._dialect.no_session)
            return self._with_cookies(refused, visit.set_cookies)
        try:
            cookie_header = request.headers.get("cookie", "")
            loaded = await self._sessions.update(cookie_header, visit.fields.get("data"), request.client)
        except ClaimsTooLarge as error:
            return problem(400, "session_too_large", "The session would become too large", str(error))
        return await self._show_session(loaded)

    async def _start(self, request: Request, provider: Provider | None) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None or provider is None:
            return self._answer(visit, self._dialect.csrf_failure(self._base, "signin"))
        if isinstance(provider, CredentialsProvider):
            return self._answer(visit, Outcome(location=f"{self._base}/signin"))
        try:
            outcome, cookies = await start_sign_in(
                visit,
                provider,
                client=self._oauth,
                seal_with=self._transactions,
                names=self._names,
                redirect_uri=f"{self._base}/callback/{provider.id}",
                clock=self._clock,
            )
        except SignInRefused as refused:
            return await self._refused(visit, provider.id, refused)
        return self._answer(visit, outcome, cookies)

    async def _callback(self, request: Request, provider: Provider) -> Response:
        if isinstance(provider, CredentialsProvider):
            if request.method == "GET":
                return self._dialect.unsupported(request.method)
            return await self._credentials(request, provider)
        visit = await self._read_visit(request)
        pairs = _answer_pairs(request)
        cookies: tuple[Cookie, ...] = ()
        try:
            opened, deletion = open_transaction(
                visit, pairs, provider.id, seal_with=self._transactions, names=self._names, clock=self._clock
            )
            cookies = (deletion,)
            proof = await finish_sign_in(
                opened,
                pairs,
                provider,
                client=self._oauth,
                once=self._once,
                redirect_uri=f"{self._base}/callback/{provider.id}",
            )
            return await self._admit(visit, proof, opened.callback_url, cookies)
        except SignInRefused as refused:
            return await self._refused(visit, provider.id, refused, cookies)

    async def _credentials(self, request: Request, provider: CredentialsProvider) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            return self._answer(visit, self._dialect.csrf_failure(self._base, "signin"))
        try:
            proof = await prove_credentials(
                visit,
                provider,
                users=self._users,
                hasher=self._hasher,
                limiter=self._limiter,
                network=self._network_of(request),
            )
            return await self._admit(visit, proof, visit.callback_url, ())
        except SignInRefused as refused:
            return await self._refused(visit, provider.id, refused)

    async def _admit(self, visit: Visit, proof: Proof, callback_url: str, cookies: tuple[Cookie, ...]) -> Response:
        cookie_header = visit.request.headers.get("cookie", "")
        admitted = await self._admission.admit(
            proof,
            cookie_header=cookie_header,
            client=visit.request.client,
        )
        location = callback_url
        if admitted.location is not None:
            location = redirects.resolve(admitted.location, base_url=self._origin, origin=self._origin)
        elif admitted.new_user and self._new_user_page is not None:
            mark = "&" if "?" in self._new_user_page else "?"
            location = f"{self._new_user_page}{mark}callbackUrl={quote(callback_url, safe=_JS_SAFE)}"
        return self._answer(visit, Outcome(location=location), (*cookies, *admitted.cookies))

    async def _refused(
        self, visit: Visit, provider_id: str, refused: SignInRefused, cookies: tuple[Cookie, ...] = ()
    ) -> Response:
        text = explain(refused.step)
        await self._emit(
            SignInFailed(
                at=self._clock(),
                provider=provider_id,
                code=refused.code,
                step=refused.step,
                cause=f"{text.cause} ({refused.detail})" if refused.detail else text.cause,
                fix=text.fix,
                client=visit.request.client,
            )
        )
        response = self._answer(visit, self._dialect.error(self._base, refused), cookies)
        wait = dict(refused.params).get("retry_after")
        return response.adding(("Retry-After", wait)) if wait else response

    async def _sign_out(self, request: Request) -> Response:
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            return self._answer(visit, self._dialect.csrf_failure(self._base, "signout"))
        cookies = await sign_out(request.headers.get("cookie", ""), sessions=self._sessions, revoker=self._revoker)
        return self._answer(visit, Outcome(location=visit.callback_url), cookies)

    async def _verify(self, request: Request) -> Response:
        """204 with the user in headers, or 401: for nginx `auth_request`, Traefik and Caddy."""
        loaded = await self._sessions.load(request.headers.get("cookie", ""), request.client)
        if loaded.unavailable is not None:
            raise loaded.unavailable
        if loaded.session is None:
            return self._with_cookies(self._screens.unauthorized(loaded.code), loaded.cookies)
        session = loaded.session
        headers = [("X-Auth-User-Id", quote(session.user_id, safe=_HEADER_SAFE)), ("X-Auth-Session-Id", session.sid)]
        if session.claims.email:
            headers.append(("X-Auth-Email", quote(session.claims.email, safe=_HEADER_SAFE)))
        return self._with_cookies(Response(status=204, headers=tuple(headers)), loaded.cookies)


_JS_SAFE = "-_.!~*'()"
_HEADER_SAFE = "!#$&'()*+,-./:;=?@[]^_`{|}~ "


def _answer_pairs(request: Request) -> list[tuple[str, str]]:
    """A provider's answer as pairs, repeated names kept so that they can be refused (OAU-07)."""
    source = request.query
    if request.method == "POST":
        source = request.body.decode("utf-8", "replace")
    try:
        return parse_qsl(source, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise BadRequest("invalid_query", "too many parameters") from error
