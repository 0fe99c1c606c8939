"""Every lie of a provider, each refused with its own step; and one who tells the truth."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sojourn.errors import SignInRefused
from sojourn.oauth import transaction
from sojourn.oauth.client import Identity, OAuthClient
from sojourn.oauth.steps import STEPS
from sojourn.oauth.transport import HTTPTransport
from sojourn.providers import OIDC, OIDCProvider
from tests.hostile_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URI,
    REMOVED,
    Answer,
    HostileProvider,
    Pairs,
    Raw,
    b64,
    cut_off,
    drip,
    endless,
    hs256,
    json_answer,
    not_http,
    public_jwk,
    public_pem,
    reset,
    rsa_key,
    silent,
)

NOW = 1_800_000_000
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading the real ones takes longer than a lie
DISCOVERY = "/.well-known/openid-configuration"


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


@dataclass(frozen=True)
class Lie:
    step: str
    tell: Callable[[HostileProvider], object] = lambda op: None
    bend: Callable[[Pairs], Pairs] = lambda pairs: pairs
    code: str = "OAuthCallback"
    total: float = 5.0


def claims(**members: object) -> Callable[[HostileProvider], object]:
    return lambda op: op.claims.update(members)


def header(**members: object) -> Callable[[HostileProvider], object]:
    return lambda op: op.header.update(members)


def tokens(**members: object) -> Callable[[HostileProvider], object]:
    return lambda op: op.token_members.update(members)


def metadata(**members: object) -> Callable[[HostileProvider], object]:
    return lambda op: op.metadata.update(members)


def published(**members: object) -> Callable[[HostileProvider], object]:
    return lambda op: op.published[0].update(members)


def answers(path: str, answer: Answer | Raw) -> Callable[[HostileProvider], object]:
    return lambda op: op.answers.update({path: answer})


def signed_with_public_key(op: HostileProvider) -> None:
    op.header["alg"] = "HS256"
    op.sign = hs256(public_pem(op.key))


def unsigned(op: HostileProvider) -> None:
    op.header["alg"] = "none"
    op.sign = lambda message: b""


def small_key(op: HostileProvider) -> None:
    op.key = rsa_key("small", 1024)
    op.published = [public_jwk(op.key, op.kid)]


def other_key(op: HostileProvider) -> None:
    op.key = rsa_key("other")


def only_userinfo_has_the_address(op: HostileProvider) -> None:
    op.claims["email"] = REMOVED


def another_ones_profile(op: HostileProvider) -> None:
    only_userinfo_has_the_address(op)
    op.answers["/userinfo"] = json_answer({"sub": "somebody-else", "email": "boss@example.com"})


def no_profile(op: HostileProvider) -> None:
    only_userinfo_has_the_address(op)
    op.answers["/userinfo"] = Answer(b"", 500)


def replacing(name: str, value: str | None) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [p for p in pairs if p[0] != name] + ([] if value is None else [(name, value)])


def also(name: str, value: str) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [*pairs, (name, value)]


GZIP = {"Content-Encoding": "gzip"}
MISSHAPEN = (
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"<html><script>alert(1)</script>",
    b"[" * 50_000,
    b"NaN",
)

LIES = {
    # the way back
    "state_of_another_sign_in": Lie("state", bend=replacing("state", "A" * 43)),
    "state_missing": Lie("state", bend=replacing("state", None)),
    "state_with_surrogate": Lie("state", bend=replacing("state", "\udcff")),
    "state_twice": Lie("duplicate_parameter", bend=also("state", "x")),
    "code_twice": Lie("duplicate_parameter", bend=also("code", "x")),
    "iss_twice": Lie("duplicate_parameter", bend=also("iss", "x")),
    "error_twice": Lie("duplicate_parameter", bend=lambda pairs: [*pairs, ("error", "a"), ("error", "b")]),
    "error_beside_code": Lie("provider_error", bend=also("error", "access_denied"), code="Callback"),
    "error_with_markup": Lie("provider_error", bend=also("error", "<script>"), code="Callback"),
    "code_missing": Lie("code", bend=replacing("code", None)),
    "code_empty": Lie("code", bend=replacing("code", "")),
    "code_not_ascii": Lie("code", bend=replacing("code", "\u00e9\n")),
    "code_of_another_sign_in": Lie("token_endpoint", bend=replacing("code", "injected")),
    "tokens_in_front_instead_of_code": Lie(
        "code", bend=lambda pairs: [*pairs[1:], ("id_token", "x"), ("access_token", "x")]
    ),
    "mix_up": Lie("iss", bend=replacing("iss", "https://attacker.example")),
    "iss_longer": Lie("iss", bend=lambda pairs: [*pairs[:2], ("iss", f"{pairs[2][1]}/")]),
    "iss_promised_and_absent": Lie("iss", bend=replacing("iss", None)),
    # the ID token
    "id_token_missing": Lie("id_token.missing", tokens(id_token=REMOVED)),
    "id_token_empty": Lie("id_token.missing", tokens(id_token="")),
    "id_token_number": Lie("token_endpoint", tokens(id_token=1)),
    "id_token_garbage": Lie("id_token.form", tokens(id_token="a.b.c.d.e")),
    "id_token_header_garbage": Lie("id_token.form", tokens(id_token="a.b.c")),
    "id_token_header_list": Lie("id_token.form", tokens(id_token=f"{b64(b'[]')}.e30.AA")),
    "alg_none": Lie("id_token.algorithm", unsigned),
    "alg_hs256_with_public_key": Lie("id_token.algorithm", signed_with_public_key),
    "alg_missing": Lie("id_token.algorithm", header(alg=REMOVED)),
    "alg_number": Lie("id_token.algorithm", header(alg=256)),
    "alg_rs512": Lie("id_token.algorithm", header(alg="RS512")),
    "crit": Lie("id_token.form", header(crit=["exp"])),
    "b64_false": Lie("id_token.form", header(b64=False)),
    "kid_unknown": Lie("id_token.key", header(kid="nobody")),
    "kid_number": Lie("id_token.form", header(kid=1)),
    "signed_by_another_key": Lie("id_token.signature", other_key),
    "signature_empty": Lie("id_token.signature", lambda op: setattr(op, "sign", lambda message: b"")),
    "issuer_other": Lie("id_token.issuer", claims(iss="https://attacker.example")),
    "issuer_prefix": Lie("id_token.issuer", claims(iss="http://127.0.0.1")),
    "issuer_list": Lie("id_token.issuer", claims(iss=["a"])),
    "issuer_missing": Lie("id_token.issuer", claims(iss=REMOVED)),
    "sub_missing": Lie("id_token.subject", claims(sub=REMOVED)),
    "sub_number": Lie("id_token.subject", claims(sub=248289)),
    "sub_empty": Lie("id_token.subject", claims(sub="")),
    "sub_too_long": Lie("id_token.subject", claims(sub="x" * 256)),
    "sub_not_ascii": Lie("id_token.subject", claims(sub="ad\u00e4")),
    "audience_other": Lie("id_token.audience", claims(aud="somebody")),
    "audience_unknown_too": Lie("id_token.audience", claims(aud=[CLIENT_ID, "somebody"], azp=CLIENT_ID)),
    "audience_empty": Lie("id_token.audience", claims(aud=[])),
    "audience_missing": Lie("id_token.audience", claims(aud=REMOVED)),
    "audience_of_lists": Lie("id_token.audience", claims(aud=[CLIENT_ID, [CLIENT_ID]])),
    "azp_other": Lie("id_token.authorized_party", claims(azp="somebody")),
    "azp_missing_with_two_audiences": Lie("id_token.authorized_party", claims(aud=[CLIENT_ID, CLIENT_ID])),
    "expired": Lie("id_token.expired", claims(exp=NOW - 10)),
    "exp_missing": Lie("id_token.expired", claims(exp=REMOVED)),
    "exp_text": Lie("id_token.expired", claims(exp=str(NOW + 300))),
    "exp_true": Lie("id_token.expired", claims(exp=True)),
    "iat_future": Lie("id_token.issued_at", claims(iat=NOW + 11)),
    "iat_old": Lie("id_token.issued_at", claims(iat=NOW - 3611)),
    "iat_missing": Lie("id_token.issued_at", claims(iat=REMOVED)),
    "nbf_future": Lie("id_token.not_yet_valid", claims(nbf=NOW + 11)),
    "nbf_text": Lie("id_token.not_yet_valid", claims(nbf="soon")),
    "nonce_other": Lie("id_token.nonce", claims(nonce="A" * 43)),
    "nonce_missing": Lie("id_token.nonce", claims(nonce=REMOVED)),
    "nonce_list": Lie("id_token.nonce", claims(nonce=[])),
    "at_hash_other": Lie("id_token.at_hash", claims(at_hash="A" * 22)),
    "at_hash_number": Lie("id_token.at_hash", claims(at_hash=1)),
    "c_hash_other": Lie("id_token.c_hash", claims(c_hash="A" * 22)),
    # keys
    "jwks_small_rsa": Lie("id_token.key", small_key),
    "jwks_for_encryption": Lie("id_token.key", published(use="enc")),
    "jwks_wrong_kty": Lie("id_token.key", published(kty="EC", crv="P-256", x="AA", y="AA")),
    "jwks_secret_kty": Lie("id_token.key", published(kty="oct", k="AAAA")),
    "jwks_other_algorithm": Lie("id_token.key", published(alg="RS512")),
    "jwks_other_operations": Lie("id_token.key", published(key_ops=["encrypt"])),
    "jwks_operations_text": Lie("id_token.key", published(key_ops="verify")),
    "jwks_exponent_one": Lie("id_token.key", published(e="AQ")),
    "jwks_modulus_number": Lie("id_token.key", published(n=5)),
    "jwks_keys_of_wrong_type": Lie("id_token.key", lambda op: setattr(op, "published", [1, None, "x", []])),
    "jwks_no_list": Lie("jwks", lambda op: setattr(op, "published", {})),
    "jwks_too_many": Lie("jwks", lambda op: setattr(op, "published", op.published * 101)),
    "jwks_down": Lie("jwks", answers("/jwks", Answer(b"", 500))),
    # the token response
    "token_type_mac": Lie("token_type", tokens(token_type="mac")),
    "token_type_missing": Lie("token_type", tokens(token_type=REMOVED)),
    "token_type_list": Lie("token_type", tokens(token_type=["Bearer"])),
    "error_with_200": Lie("token_endpoint", tokens(error="invalid_grant")),
    "access_token_missing": Lie("token_endpoint", tokens(access_token=REMOVED)),
    "access_token_number": Lie("token_endpoint", tokens(access_token=1)),
    "access_token_splits_headers": Lie("token_endpoint", tokens(access_token="a\r\nX-Admin: 1")),
    "refresh_token_list": Lie("token_endpoint", tokens(refresh_token=[])),
    "scope_object": Lie("token_endpoint", tokens(scope={})),
    "expires_in_negative": Lie("token_endpoint", tokens(expires_in=-1)),
    "expires_in_endless": Lie("token_endpoint", tokens(expires_in=10**15)),
    "expires_in_object": Lie("token_endpoint", tokens(expires_in={})),
    "expires_in_word": Lie("token_endpoint", tokens(expires_in="soon")),
    # metadata
    "discovery_other_issuer": Lie("discovery", metadata(issuer="https://attacker.example"), code="OAuthSignin"),
    "discovery_slash_more": Lie("discovery", lambda op: op.metadata.update(issuer=f"{op.base}/"), code="OAuthSignin"),
    "discovery_plain_endpoint": Lie(
        "discovery", metadata(token_endpoint="http://idp.example/token"), code="OAuthSignin"
    ),
    "discovery_disguised_loopback": Lie(
        "discovery", metadata(token_endpoint="http://localhost:80@evil.example/"), code="OAuthSignin"
    ),
    "discovery_script_endpoint": Lie(
        "discovery", metadata(authorization_endpoint="javascript:alert(1)"), code="OAuthSignin"
    ),
    "discovery_file_endpoint": Lie("discovery", metadata(jwks_uri="file:///etc/passwd"), code="OAuthSignin"),
    "discovery_endpoint_number": Lie("discovery", metadata(userinfo_endpoint=1), code="OAuthSignin"),
    "discovery_endpoint_missing": Lie("discovery", metadata(token_endpoint=REMOVED), code="OAuthSignin"),
    "discovery_down": Lie("discovery", answers(DISCOVERY, Answer(b"", 503)), code="OAuthSignin"),
    "discovery_silent": Lie("unreachable", answers(DISCOVERY, silent), code="OAuthSignin", total=0.5),
    # userinfo
    "userinfo_of_another": Lie("userinfo.subject", another_ones_profile),
    "userinfo_down": Lie("userinfo", no_profile),
    # no answers at all
    "token_silent": Lie("unreachable", answers("/token", silent), total=0.5),
    "token_dripping": Lie("unreachable", answers("/token", drip), total=0.5),
    "token_endless": Lie("unreachable", answers("/token", endless)),
    "token_reset": Lie("unreachable", answers("/token", reset)),
    "token_cut_off": Lie("unreachable", answers("/token", cut_off)),
    "token_not_http": Lie("unreachable", answers("/token", not_http)),
    "token_oversized": Lie("unreachable", answers("/token", Answer(b" " * 1_000_001))),
    "token_gzip_bomb": Lie("unreachable", answers("/token", Answer(gzip.compress(bytes(50_000_000)), headers=GZIP))),
    "token_gzip_cut_off": Lie("unreachable", answers("/token", Answer(gzip.compress(b"{}" * 99)[:-9], headers=GZIP))),
    "token_gzip_that_is_none": Lie("unreachable", answers("/token", Answer(b"{}", headers=GZIP))),
    "token_unknown_encoding": Lie("unreachable", answers("/token", Answer(b"{}", headers={"Content-Encoding": "br"}))),
    "token_500": Lie("token_endpoint", answers("/token", Answer(b"<h1>oops</h1>", 500))),
    "token_204": Lie("token_endpoint", answers("/token", Answer(b"", 204))),
    "token_error_of_objects": Lie("token_endpoint", answers("/token", json_answer({"error": {"a": []}}, 400))),
    "keys_silent": Lie("unreachable", answers("/jwks", silent), total=0.5),
} | {
    f"token_misshapen_{number}": Lie("token_endpoint", answers("/token", Answer(body)))
    for number, body in enumerate(MISSHAPEN)
}


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
        op.answers[DISCOVERY] = Answer(json_answer(op.discovery()).body, headers={"Set-Cookie": "who=ada"})
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
