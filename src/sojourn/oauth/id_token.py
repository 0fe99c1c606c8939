"""The ID token, fully verified: signature first, then every claim (OIDC Core 3.1.3.7)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sojourn.oauth.answers import json_value, number, same
from sojourn.oauth.steps import refuse
from sojourn.providers.base import OIDCProvider

__all__ = ["IDToken", "has_key", "needs_keys", "read", "verify"]

LEEWAY: Final = 10
OLDEST: Final = 3600

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,131072}\.[A-Za-z0-9_-]{0,1024}")
_SUBJECT: Final = re.compile(r"[\x20-\x7e]{1,255}")
_DIGESTS: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "dsa": hashlib.sha512}


class IDToken(msgspec.Struct, frozen=True):
    """An ID token of the right form and algorithm, nothing of it believed yet."""

    token: str
    kid: str | None


def read(token: str | None, provider: OIDCProvider) -> IDToken:
    """Its header: the algorithm must be the registered one before any key is looked at."""
    if token is None:
        raise refuse("id_token.missing")
    if not _FORM.fullmatch(token):
        raise refuse("id_token.form")
    header = _json_part(token.split(".")[0])
    if header.get("alg") != provider.id_token_signed_response_alg:
        raise refuse("id_token.algorithm")
    kid = header.get("kid")
    if "crit" in header or "b64" in header or (kid is not None and not isinstance(kid, str)):
        raise refuse("id_token.form")
    return IDToken(token, kid)


def needs_keys(provider: OIDCProvider) -> bool:
    """Whether the provider's published keys verify its tokens (else the client secret does)."""
    return not provider.id_token_signed_response_alg.startswith("HS")


def has_key(token: IDToken, provider: OIDCProvider, keys: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of the published keys may verify this token; if not, they may have been rotated."""
    from sojourn.oauth import jose

    return bool(jose.fitting(keys, provider.id_token_signed_response_alg, token.kid))


def verify(
    token: IDToken,
    provider: OIDCProvider,
    keys: Sequence[Mapping[str, Any]],
    *,
    nonce: str | None,
    access_token: str,
    code: str,
    now: int,
) -> dict[str, Any]:
    """The claims, or the refusal. `keys` are the published ones, unused where the client secret is registered."""
    from sojourn.oauth import jose

    algorithm = provider.id_token_signed_response_alg
    if needs_keys(provider):
        candidates = jose.fitting(keys, algorithm, token.kid)
    else:
        candidates = [jose.secret_key(provider.client_secret or "")]
    if not candidates:
        raise refuse("id_token.key")
    if not jose.verify(token.token, candidates, algorithm):
        raise refuse("id_token.signature")
    claims = _json_part(token.token.split(".")[1])
    _check_parties(claims, provider)
    _check_times(claims, now)
    _check_binding(claims, algorithm, nonce=nonce, access_token=access_token, code=code)
    return claims


def _json_part(part: str) -> dict[str, Any]:
    try:
        document = json_value(base64.urlsafe_b64decode(f"{part}{'=' * (-len(part) % 4)}"))
    except ValueError:
        raise refuse("id_token.form") from None
    if not isinstance(document, dict):
        raise refuse("id_token.form")
    return document


def _check_parties(claims: Mapping[str, Any], provider: OIDCProvider) -> None:
    if claims.get("iss") != provider.issuer:
        raise refuse("id_token.issuer")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise refuse("id_token.subject")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    known = {provider.client_id, *provider.trusted_audiences}
    if provider.client_id not in audiences or not all(isinstance(one, str) and one in known for one in audiences):
        raise refuse("id_token.audience")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != provider.client_id:
        raise refuse("id_token.authorized_party")


def _check_times(claims: Mapping[str, Any], now: int) -> None:
    expires_at, issued_at = number(claims.get("exp")), number(claims.get("iat"))
    if expires_at is None or now >= expires_at + LEEWAY:
        raise refuse("id_token.expired")
    if issued_at is None or not now - OLDEST - LEEWAY <= issued_at <= now + LEEWAY:
        raise refuse("id_token.issued_at")
    not_before = number(claims.get("nbf", 0))
    if not_before is None or not_before > now + LEEWAY:
        raise refuse("id_token.not_yet_valid")


def _check_binding(
    claims: Mapping[str, Any], algorithm: str, *, nonce: str | None, access_token: str, code: str
) -> None:
    theirs = claims.get("nonce")
    if nonce is None or not isinstance(theirs, str) or not same(nonce, theirs):
        raise refuse("id_token.nonce")
    if "at_hash" in claims and not _is_half_hash(claims["at_hash"], access_token, algorithm):
        raise refuse("id_token.at_hash")
    if "c_hash" in claims and not _is_half_hash(claims["c_hash"], code, algorithm):
        raise refuse("id_token.c_hash")


def _is_half_hash(claim: object, value: str, algorithm: str) -> bool:
    digest = _DIGESTS[algorithm[-3:].lower()](value.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    return isinstance(claim, str) and same(half, claim)
