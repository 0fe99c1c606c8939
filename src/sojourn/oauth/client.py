"""The two journeys of a sign-in through a provider, each a sequence of pure halves with one call between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import anyio
import msgspec

from sojourn.errors import SignInRefused
from sojourn.models import Account, Profile, Value
from sojourn.oauth import authorization, discovery, id_token, token_endpoint, userinfo
from sojourn.oauth.answers import json_value
from sojourn.oauth.authorization import VerifiedCallback
from sojourn.oauth.cache import Published
from sojourn.oauth.discovery import Metadata
from sojourn.oauth.steps import refuse
from sojourn.oauth.token_endpoint import ProviderTokens
from sojourn.oauth.transaction import Transaction
from sojourn.oauth.transport import HTTPTransport
from sojourn.ports import Clock, Transport, TransportError, TransportRequest, TransportResponse
from sojourn.providers.base import Enrichment, OAuthProvider, OIDCProvider
from sojourn.providers.profiles import normalise

__all__ = ["Identity", "OAuthClient"]


class Identity(Value, frozen=True, kw_only=True):
    """Who a provider says somebody is.

    `raw` is its own document, `claims` the session claims that its enrichments fill, `tokens` what it handed out.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"raw"})
    profile: Profile
    account: Account
    tokens: ProviderTokens
    raw: Mapping[str, Any]
    claims: Mapping[str, Any] = msgspec.field(default_factory=dict)


class OAuthClient:
    """Starts and finishes sign-ins; keeps what providers publish. Raises `SignInRefused` and nothing else."""

    def __init__(self, transport: Transport | None, clock: Clock) -> None:
        self._transport = transport or HTTPTransport()
        self._clock = clock
        self._metadata: dict[str, Published[Metadata]] = {}
        self._keys: dict[str, Published[Sequence[dict[str, Any]]]] = {}

    async def start(
        self,
        provider: OAuthProvider | OIDCProvider,
        transaction: Transaction,
        redirect_uri: str,
        extra: Mapping[str, str],
    ) -> str:
        """Where to send the browser; refuses with `OAuthSignin`."""
        try:
            metadata = await self._metadata_of(provider)
        except SignInRefused as refused:
            raise SignInRefused("OAuthSignin", refused.step, refused.detail) from None
        return authorization.url(provider, metadata, transaction, redirect_uri, extra)

    async def finish(
        self,
        provider: OAuthProvider | OIDCProvider,
        transaction: Transaction,
        pairs: Sequence[tuple[str, str]],
        redirect_uri: str,
    ) -> Identity:
        """Who came back; refuses with `OAuthCallback`, or `Callback` when the provider answered with an error."""
        authorization.read_state(pairs)  # an answer that is refused anyway costs no request
        metadata = await self._metadata_of(provider)
        callback = authorization.read_callback(pairs, transaction, provider, metadata)
        answer = await self._send(token_endpoint.request(callback, metadata, redirect_uri, self._clock()))
        tokens = token_endpoint.read(answer, self._clock())
        if isinstance(provider, OIDCProvider):
            raw = await self._openid_document(provider, callback, metadata, tokens)
        else:
            raw = userinfo.read(await self._send(userinfo.request(provider.userinfo_url, tokens.access_token)))
        subject = raw["sub"] if isinstance(provider, OIDCProvider) else None
        raw, claims = await self._enriched(provider, tokens.access_token, raw)
        profile = _profile(provider, raw, subject)
        account = Account(
            provider=provider.id,
            provider_account_id=profile.id,
            type=provider.type,
            scope=tokens.scope or provider.scope,
        )
        return Identity(profile=profile, account=account, tokens=tokens, raw=raw, claims=claims)

    async def aclose(self) -> None:
        """Close the connections to providers."""
        await self._transport.aclose()

    async def _openid_document(
        self, provider: OIDCProvider, callback: VerifiedCallback, metadata: Metadata, tokens: ProviderTokens
    ) -> dict[str, Any]:
        token = id_token.read(tokens.id_token, provider)
        keys: Sequence[dict[str, Any]] = ()
        if id_token.needs_keys(provider):
            published = self._keys_of(metadata)
            keys = await published.get()
            if not id_token.has_key(token, provider, keys):
                keys = await published.again()
        claims = id_token.verify(
            token,
            provider,
            keys,
            nonce=callback.transaction.nonce,
            access_token=tokens.access_token,
            code=callback.code,
            now=self._clock(),
        )
        if metadata.userinfo_endpoint is None or not userinfo.is_wanted(claims, provider):
            return claims
        answer = await self._send(userinfo.request(metadata.userinfo_endpoint, tokens.access_token))
        # What was signed wins over what was only sent.
        return userinfo.read(answer, subject=claims["sub"]) | claims

    async def _enriched(
        self, provider: OAuthProvider | OIDCProvider, access_token: str, raw: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}

        async def ask(enrichment: Enrichment) -> None:
            found[enrichment.name] = await self._bonus(enrichment, access_token, raw)

        async with anyio.create_task_group() as group:
            for enrichment in provider.enrich:
                group.start_soon(ask, enrichment)
        document: dict[str, Any] = dict(raw)
        claims: dict[str, Any] = {}
        for enrichment in provider.enrich:
            members = found[enrichment.name]
            document |= members
            claims |= {claim: members[member] for claim, member in enrichment.claims.items() if member in members}
        return document, claims

    async def _bonus(self, enrichment: Enrichment, access_token: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            answer = await self._transport.send(enrichment.request(access_token, raw))
            if answer.status != 200:
                return {}
            return dict(enrichment.read(json_value(answer.body), raw))
        except Exception:  # noqa: BLE001  a bonus: neither its provider nor its reader may undo a sign-in
            return {}

    async def _metadata_of(self, provider: OAuthProvider | OIDCProvider) -> Metadata:
        if isinstance(provider, OAuthProvider):
            return discovery.configured(provider)

        async def fetch() -> Metadata:
            return discovery.read(provider, await self._send(discovery.request(provider)))

        return await self._metadata.setdefault(provider.issuer, Published(fetch, self._clock)).get()

    def _keys_of(self, metadata: Metadata) -> Published[Sequence[dict[str, Any]]]:
        async def fetch() -> Sequence[dict[str, Any]]:
            return discovery.read_keys(await self._send(discovery.keys_request(metadata)))

        return self._keys.setdefault(str(metadata.jwks_uri), Published(fetch, self._clock))

    async def _send(self, request: TransportRequest) -> TransportResponse:
        try:
            return await self._transport.send(request)
        except TransportError as error:
            raise refuse("unreachable", str(error)) from None


def _profile(provider: OAuthProvider | OIDCProvider, raw: Mapping[str, Any], subject: str | None) -> Profile:
    try:
        profile = normalise(provider.profile(raw))
    except Exception as error:
        raise refuse("profile", f"the profile function raised {type(error).__name__}") from error
    if subject is not None and profile.id != subject:
        raise refuse("profile", "an OpenID provider's account id is its sub, and the profile function changed it")
    return profile
