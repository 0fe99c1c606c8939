"""What a provider may lie about: each lie by name, how it is told, and the step that must refuse it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from tests.hostile_provider import (
    CLIENT_ID,
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
DISCOVERY = "/.well-known/openid-configuration"


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
