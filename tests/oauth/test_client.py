from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import RSAKey

from sojourn.errors import SignInRefused
from sojourn.models import Profile
from sojourn.oauth import jose, transaction
from sojourn.oauth.client import Identity, OAuthClient
from sojourn.oauth.transaction import Transaction
from sojourn.ports import TransportError, TransportRequest, TransportResponse
from sojourn.providers import Enrichment, GitHub, OAuthProvider, OIDCProvider
from tests.oauth.scripted import NOW, REDIRECT_URI, DrivenClock, Script, ScriptedTransport, answer, oauth, oidc

KEY = RSAKey.generate_key(2048)
GITHUB = "http://127.0.0.1:9"
OP = {
    "issuer": "https://op.example",
    "authorization_endpoint": "https://op.example/auth",
    "token_endpoint": "https://op.example/token",
    "jwks_uri": "https://op.example/keys",
}
CLAIMS = {"iss": "https://op.example", "sub": "1", "aud": "me", "iat": NOW, "exp": NOW + 60}


def op_script(begun: Transaction, claims: dict[str, Any] | None = None, **metadata: object) -> dict[str, Script]:
    signed = jose.sign(CLAIMS | {"nonce": begun.nonce} | (claims or {}), KEY, "RS256")
    return {
        "https://op.example/.well-known/openid-configuration": answer(OP | metadata),
        "https://op.example/keys": answer({"keys": [KEY.as_dict(private=False) | {"kid": KEY.thumbprint()}]}),
        "https://op.example/token": answer({"access_token": "at", "token_type": "Bearer", "id_token": signed}),
    }


async def finish(provider: OAuthProvider | OIDCProvider, begun: Transaction, transport: ScriptedTransport) -> Identity:
    client = OAuthClient(transport, DrivenClock())
    return await client.finish(provider, begun, [("state", begun.state), ("code", "c")], REDIRECT_URI)


async def test_start_refuses_with_its_own_code() -> None:
    client = OAuthClient(ScriptedTransport({}), DrivenClock())
    with pytest.raises(SignInRefused) as caught:
        await client.start(oidc(), transaction.begin(oidc(), "/", NOW), REDIRECT_URI, {})
    assert (caught.value.code, caught.value.step, caught.value.detail) == ("OAuthSignin", "unreachable", "nobody there")


async def test_plain_oauth_starts_without_a_request() -> None:
    transport = ScriptedTransport({})
    client = OAuthClient(transport, DrivenClock())
    url = await client.start(oauth(), transaction.begin(oauth(), "/", NOW), REDIRECT_URI, {})
    assert url.startswith("https://plain.example/authorize?client_id=me&response_type=code")
    assert not transport.sent


async def test_answer_with_an_error_costs_no_request() -> None:
    transport = ScriptedTransport({})
    with pytest.raises(SignInRefused) as caught:
        await OAuthClient(transport, DrivenClock()).finish(
            oidc(), transaction.begin(oidc(), "/", NOW), [("error", "access_denied")], REDIRECT_URI
        )
    assert caught.value.code == "Callback"
    assert not transport.sent


async def test_openid_without_userinfo_endpoint_takes_the_id_token_alone() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    identity = await finish(oidc(), begun, ScriptedTransport(op_script(begun)))
    assert identity.profile == Profile(id="1")
    assert identity.account.scope == "openid profile email"


async def test_signed_claims_win_over_userinfo() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    script = op_script(begun, {"name": "Signed"}, userinfo_endpoint="https://op.example/me")
    script["https://op.example/me"] = answer({"sub": "1", "name": "Sent", "email": "a@b.example", "iss": "x"})
    transport = ScriptedTransport(script)
    identity = await finish(oidc(), begun, transport)
    assert (identity.profile.name, identity.profile.email) == ("Signed", "a@b.example")
    assert identity.raw["iss"] == "https://op.example"
    assert transport.sent[-1].headers["Authorization"] == "Bearer at"


async def test_registered_secret_needs_no_keys() -> None:
    provider = oidc(id_token_signed_response_alg="HS256")
    begun = transaction.begin(provider, "/", NOW)
    script = op_script(begun)
    signed = jose.sign(CLAIMS | {"nonce": begun.nonce}, jose.secret_key(str(provider.client_secret)), "HS256")
    script["https://op.example/token"] = answer({"access_token": "at", "token_type": "Bearer", "id_token": signed})
    transport = ScriptedTransport(script)
    assert (await finish(provider, begun, transport)).profile.id == "1"
    assert "https://op.example/keys" not in [request.url for request in transport.sent]


async def test_rotated_keys_are_asked_for_once_more() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    script = op_script(begun)
    fitting = script["https://op.example/keys"]
    replies = iter([answer({"keys": []}), fitting])
    script["https://op.example/keys"] = lambda request: next(replies)  # type: ignore[assignment,return-value]
    assert (await finish(oidc(), begun, ScriptedTransport(script))).profile.id == "1"


async def test_profile_function_cannot_rename_an_openid_account() -> None:
    provider = oidc(profile=lambda raw: Profile(id="root"))
    begun = transaction.begin(provider, "/", NOW)
    with pytest.raises(SignInRefused) as caught:
        await finish(provider, begun, ScriptedTransport(op_script(begun)))
    assert caught.value.step == "profile"


PLAIN_TOKENS = answer({"access_token": "at", "token_type": "bearer", "scope": "me", "id_token": "unverified"})


async def plain(document: object, **changes: object) -> Identity:
    provider = oauth(**changes)
    script: dict[str, Script] = {
        "https://plain.example/token": PLAIN_TOKENS,
        "https://plain.example/me": answer(document),
    }
    return await finish(provider, transaction.begin(provider, "/", NOW), ScriptedTransport(script))


async def test_plain_oauth_asks_who_it_is() -> None:
    identity = await plain({"sub": 7, "name": "Ada", "isSponsor": True})
    assert identity.profile == Profile(id="7", name="Ada")
    assert (identity.account.type, identity.account.provider_account_id, identity.account.scope) == ("oauth", "7", "me")
    assert identity.claims == {}  # what a profile says by itself fills no claim


@pytest.mark.parametrize("subject", [None, "", True, 1.5, [], "x" * 256, "a\x00b"])
async def test_profile_without_a_usable_id_is_refused(subject: object) -> None:
    with pytest.raises(SignInRefused) as caught:
        await plain({"sub": subject})
    assert (caught.value.code, caught.value.step) == ("OAuthCallback", "profile")


def no_profile(raw: object) -> Any:
    return {"id": "1"}


def failing_profile(raw: object) -> Any:
    raise RuntimeError("secret details")


@pytest.mark.parametrize("function", [no_profile, failing_profile])
async def test_profile_function_that_fails_is_refused(function: object) -> None:
    with pytest.raises(SignInRefused) as caught:
        await plain({"sub": "1"}, profile=function)
    assert caught.value.step == "profile"
    assert "secret details" not in str(caught.value)


def broken_request(token: str, raw: object) -> TransportRequest:
    raise KeyError("login")


def asking(name: str, url: str, read: Any = lambda document, raw: document) -> Enrichment:
    return Enrichment(
        name=name,
        request=lambda token, raw: TransportRequest(
            method="GET", url=url, headers={"Authorization": f"Bearer {token}"}
        ),
        read=read,
        claims={f"claim_{name}": "found"},
    )


async def test_enrichments_add_or_leave_alone() -> None:
    provider = oauth(
        enrich=(
            asking("good", "https://plain.example/good"),
            asking("down", "https://plain.example/down"),
            asking("refused", "https://plain.example/refused"),
            asking("garbage", "https://plain.example/garbage"),
            asking("list", "https://plain.example/list"),
            asking("misread", "https://plain.example/good", lambda document, raw: document["missing"]["too"]),
            Enrichment(name="broken", request=broken_request, read=lambda document, raw: {}),
        )
    )
    transport = ScriptedTransport(
        {
            "https://plain.example/token": PLAIN_TOKENS,
            "https://plain.example/me": answer({"sub": "1"}),
            "https://plain.example/good": answer({"found": 1}),
            "https://plain.example/down": TransportError("slow"),
            "https://plain.example/refused": answer({"found": 2}, 403),
            "https://plain.example/garbage": answer(b"<html>"),
            "https://plain.example/list": answer([1, 2]),
        }
    )
    identity = await finish(provider, transaction.begin(provider, "/", NOW), transport)
    assert identity.raw == {"sub": "1", "found": 1}
    assert identity.claims == {"claim_good": 1}


def github_script(**changes: Script) -> dict[str, Script]:
    script: dict[str, Script] = {
        "login": answer({"access_token": "gho_1", "token_type": "bearer", "scope": "read:user,user:email"}),
        "user": answer(
            {"id": 583231, "login": "octocat", "name": None, "email": None, "avatar_url": "https://a.example/1"}
        ),
        "emails": answer(
            [
                {"email": "old@example.com", "primary": False, "verified": True},
                {"email": "Octo@Example.com", "primary": True, "verified": True},
            ]
        ),
        "graphql": answer({"data": {"repositoryOwner": {"viewerIsSponsoring": True}}}),
    } | changes
    urls = {
        "login": f"{GITHUB}/login/oauth/access_token",
        "user": f"{GITHUB}/api/v3/user",
        "emails": f"{GITHUB}/api/v3/user/emails",
        "graphql": f"{GITHUB}/api/graphql",
    }
    return {urls[name]: value for name, value in script.items()}


async def github(**changes: Script) -> Identity:
    provider = GitHub(client_id="me", client_secret="s", sponsor_of="ada", base_url=GITHUB)
    return await finish(provider, transaction.begin(provider, "/", NOW), ScriptedTransport(github_script(**changes)))


async def test_github_tells_address_and_sponsorship() -> None:
    identity = await github()
    assert identity.profile == Profile(
        id="583231",
        name="octocat",
        email="octo@example.com",
        image="https://a.example/1",
        email_verified=True,
        username="octocat",
    )
    assert identity.raw["isSponsor"] is True
    assert identity.claims == {"is_sponsor": True}


@pytest.mark.parametrize(
    "failure",
    [
        TransportError("slow"),
        answer({}, 502),
        answer({"errors": [{"type": "INSUFFICIENT_SCOPES"}], "data": None}),
        answer({"data": {"repositoryOwner": None}}),
        answer({"data": {"repositoryOwner": {"viewerIsSponsoring": "yes"}}}),
    ],
)
async def test_github_sponsorship_that_fails_stays_unknown(failure: TransportResponse | Exception) -> None:
    identity = await github(graphql=failure)
    assert identity.profile.id == "583231"
    assert "isSponsor" not in identity.raw
    assert identity.claims == {}


async def test_client_makes_and_closes_its_transport() -> None:
    transport = ScriptedTransport({})
    await OAuthClient(transport, DrivenClock()).aclose()
    assert transport.closed
    await OAuthClient(None, DrivenClock()).aclose()
