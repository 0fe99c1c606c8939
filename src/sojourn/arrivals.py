"""Signing in over HTTP: the way to a provider, the way back, and user name and password (nextauth.md 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic
from urllib.parse import parse_qsl, quote

from sojourn.cookies import Cookie, CookieNames, merge
from sojourn.errors import BadRequest, SignInRefused
from sojourn.events import Event, SignInFailed
from sojourn.flows.admission import Admission, Proof
from sojourn.flows.callback import finish_sign_in, finished_cookies, prove_credentials, transaction_of
from sojourn.flows.dialect import Dialect, Outcome
from sojourn.flows.limits import SignInLimiter
from sojourn.flows.sign_in import start_sign_in
from sojourn.flows.visit import Visit
from sojourn.http import Request, Response
from sojourn.models import ClaimsT
from sojourn.oauth.client import OAuthClient
from sojourn.passwords import PasswordHasher
from sojourn.policy import redirects
from sojourn.ports import Clock, OnceStore, UserStore
from sojourn.providers import CredentialsProvider, Provider
from sojourn.refusals import explain
from sojourn.tokens import TokenFormat

__all__ = ["Arrivals", "answer", "with_cookies"]

_JS_SAFE = "-_.!~*'()"


def with_cookies(response: Response, cookies: Sequence[Cookie]) -> Response:
    """The response with these cookies, one Set-Cookie for each name."""
    return response.adding(*(("Set-Cookie", cookie.header()) for cookie in merge(cookies)))


def answer(dialect: Dialect, visit: Visit, outcome: Outcome, cookies: Sequence[Cookie] = ()) -> Response:
    """Where a flow led, as this client wants to be told, with the visit's own cookies first."""
    response = dialect.answer(visit.request, visit.fields, outcome)
    return with_cookies(response, (*visit.set_cookies, *cookies))


class Arrivals(Generic[ClaimsT]):
    """Answers `/signin/:id` and `/callback/:id`; a refusal becomes the protocol's error and an event."""

    def __init__(
        self,
        *,
        base: str,
        origin: str,
        dialect: Dialect,
        names: CookieNames,
        admission: Admission[ClaimsT],
        read_visit: Callable[[Request], Awaitable[Visit]],
        oauth: OAuthClient,
        transactions: TokenFormat,
        once: OnceStore,
        users: UserStore | None,
        hasher: PasswordHasher,
        limiter: SignInLimiter | None,
        network_of: Callable[[Request], str],
        new_user_page: str | None,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._base = base
        self._origin = origin
        self._dialect = dialect
        self._names = names
        self._admission = admission
        self._read_visit = read_visit
        self._oauth = oauth
        self._transactions = transactions
        self._once = once
        self._users = users
        self._hasher = hasher
        self._limiter = limiter
        self._network_of = network_of
        self._new_user_page = new_user_page
        self._clock = clock
        self._emit = emit

    async def start(self, request: Request, provider: Provider | None) -> Response:
        """`POST /signin/:id`: on to the provider (nextauth.md 1.2.5)."""
        visit = await self._read_visit(request)
        if visit.csrf_refusal is not None:
            return answer(self._dialect, visit, self._dialect.csrf_failure(self._base, "signin"))
        if provider is None:
            return await self._refused(visit, "", SignInRefused("Signin", "provider_unknown"))
        if isinstance(provider, CredentialsProvider):
            return answer(self._dialect, visit, Outcome(location=f"{self._base}/signin"))
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
        return answer(self._dialect, visit, outcome, cookies)

    async def finish(self, request: Request, provider: Provider) -> Response:
        """`/callback/:id`: back from the provider, or a user name and password (nextauth.md 1.2.6)."""
        if isinstance(provider, CredentialsProvider):
            if request.method == "GET":
                return self._dialect.unsupported(request.method)
            return await self._credentials(request, provider)
        visit = await self._read_visit(request)
        pairs = _answer_pairs(request)
        cookies = finished_cookies(visit, pairs, self._names)
        try:
            opened = transaction_of(
                visit, pairs, provider.id, seal_with=self._transactions, names=self._names, now=self._clock()
            )
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
            return answer(self._dialect, visit, self._dialect.csrf_failure(self._base, "signin"))
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
            user_agent=visit.request.headers.get("user-agent"),
        )
        location = callback_url
        if admitted.location is not None:
            location = redirects.resolve(admitted.location, base_url=self._origin, origin=self._origin)
        elif admitted.new_user and self._new_user_page is not None:
            mark = "&" if "?" in self._new_user_page else "?"
            location = f"{self._new_user_page}{mark}callbackUrl={quote(callback_url, safe=_JS_SAFE)}"
        return answer(self._dialect, visit, Outcome(location=location), (*cookies, *admitted.cookies))

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
                cause=f"{text.cause} ({refused.detail})" if refused.detail not in ("", text.cause) else text.cause,
                fix=text.fix,
                client=visit.request.client,
            )
        )
        response = answer(self._dialect, visit, self._dialect.error(self._base, refused), cookies)
        wait = dict(refused.params).get("retry_after")
        return response.adding(("Retry-After", wait)) if wait else response


def _answer_pairs(request: Request) -> list[tuple[str, str]]:
    """A provider's answer as pairs, repeated names kept so that they can be refused (OAU-07)."""
    source = request.query
    if request.method == "POST":
        source = request.body.decode("utf-8", "replace")
    try:
        return parse_qsl(source, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise BadRequest("invalid_query", "too many parameters") from error
