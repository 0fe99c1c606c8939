"""Every lie of a provider, each refused with its own step; and one who tells the truth."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable

import pytest

from sojourn.errors import SignInRefused
from sojourn.oauth import transaction
from sojourn.oauth.client import Identity, OAuthClient
from sojourn.oauth.steps import STEPS
from sojourn.oauth.transport import HTTPTransport
from sojourn.providers import OIDC, OIDCProvider
from tests.hostile_provider import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, Answer, HostileProvider, Pairs, json_answer
from tests.refusals.provider_lies import DISCOVERY, LIES, NOW, only_userinfo_has_the_address

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the real ones takes longer than a lie


def provider_at(op: HostileProvider) -> OIDCProvider:
    return OIDC(id="op", issuer=op.base, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)


def client_at(*, total: float = 5.0) -> OAuthClient:
    return OAuthClient(HTTPTransport(total=total, connect=total, tls=NO_AUTHORITIES), lambda: NOW)


async def sign_in(
    op: HostileProvider, client: OAuthClient, bend: Callable[[Pairs], Pairs] = lambda pairs: pairs
) -> Identity:
    provider = provider_at(op)
    begun = transaction.begin(provider, "/", NOW)
    url = await client.start(provider, begun, REDIRECT_URI, {})
    return await client.finish(provider, begun, bend(op.authorize(url)), REDIRECT_URI)


@pytest.mark.parametrize("name", LIES)
async def test_lie_is_refused(name: str) -> None:
    lie = LIES[name]
    assert lie.step in STEPS
    async with HostileProvider(NOW) as op:
        lie.tell(op)
        client = client_at(total=lie.total)
        try:
            with pytest.raises(SignInRefused) as refused:
                await sign_in(op, client, lie.bend)
        finally:
            await client.aclose()
    assert (refused.value.code, refused.value.step) == (lie.code, lie.step)
    assert "<" not in refused.value.detail
    assert CLIENT_SECRET not in str(refused.value)


async def test_truth_is_believed() -> None:
    async with HostileProvider(NOW) as op:
        client = client_at()
        identity = await sign_in(op, client)
        await client.aclose()
    assert (identity.profile.id, identity.profile.email, identity.profile.email_verified) == (
        "248289",
        "ada@example.com",
        True,
    )
    assert (identity.account.provider, identity.account.provider_account_id, identity.account.type) == (
        "op",
        "248289",
        "oidc",
    )
    assert identity.tokens.expires_at == NOW + 3600
    assert identity.tokens.access_token not in repr(identity)
    assert op.hits == {DISCOVERY: 1, "/token": 1, "/jwks": 1}


async def test_truth_compressed_is_believed() -> None:
    async with HostileProvider(NOW) as op:
        document = json_answer({"keys": op.published}).body
        op.answers["/jwks"] = Answer(zlib.compress(document), headers={"Content-Encoding": "deflate"})
        client = client_at()
        assert (await sign_in(op, client)).profile.id == "248289"
        await client.aclose()


async def test_token_response_cannot_name_another_account() -> None:
    async with HostileProvider(NOW) as op:
        op.token_members |= {"provider": "github", "providerAccountId": "1", "type": "credentials", "userId": "root"}
        client = client_at()
        identity = await sign_in(op, client)
        await client.aclose()
    assert (identity.account.provider, identity.account.provider_account_id, identity.account.type) == (
        "op",
        "248289",
        "oidc",
    )
    assert identity.account.user_id == ""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/jwks", "/userinfo"])
async def test_redirect_elsewhere_is_not_followed(path: str, status: int) -> None:
    async with HostileProvider(NOW) as op, HostileProvider(NOW) as elsewhere:
        only_userinfo_has_the_address(op)
        op.answers[path] = Answer(b"", status, {"Location": f"{elsewhere.base}{path}"})
        client = client_at()
        with pytest.raises(SignInRefused):
            await sign_in(op, client)
        await client.aclose()
        assert op.hits[path] == 1
        assert not elsewhere.hits


async def test_answer_of_another_provider_is_refused() -> None:
    async with HostileProvider(NOW) as op:
        client = client_at()
        other = OIDC(id="other", issuer=op.base, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        begun = transaction.begin(other, "/", NOW)
        pairs = op.authorize(await client.start(other, begun, REDIRECT_URI, {}))
        with pytest.raises(SignInRefused) as refused:
            await client.finish(provider_at(op), begun, pairs, REDIRECT_URI)
        await client.aclose()
    assert refused.value.step == "provider_mismatch"
    assert not op.hits["/token"]


async def test_provider_cookies_stay_with_one_sign_in() -> None:
    async with HostileProvider(NOW) as op:
        op.answers[DISCOVERY] = Answer(json_answer(op.discovery()).body, headers={"Set-Cookie": "who=ada; Path=/"})
        client = client_at()
        await sign_in(op, client)
        await client.aclose()
        assert not [headers for _, headers, _ in op.seen if "cookie" in headers]


async def test_keys_rotated_on_the_way_cost_one_refetch() -> None:
    async with HostileProvider(NOW) as op:
        client = client_at()
        await sign_in(op, client)
        op.rotate("second")
        assert (await sign_in(op, client)).profile.id == "248289"
        assert op.hits["/jwks"] == 2
        await client.aclose()


async def test_junk_key_ids_cost_one_refetch() -> None:
    async with HostileProvider(NOW) as op:
        client = client_at()
        await sign_in(op, client)
        op.header["kid"] = "junk"
        outcomes = await asyncio.gather(*(sign_in(op, client) for _ in range(20)), return_exceptions=True)
        assert {getattr(outcome, "step", outcome) for outcome in outcomes} == {"id_token.key"}
        assert op.hits["/jwks"] == 2
        await client.aclose()
