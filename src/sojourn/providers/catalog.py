"""Known providers as data, with one profile function each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sojourn.errors import ConfigError
from sojourn.identifiers import normalise_email
from sojourn.models import Profile
from sojourn.ports import TransportRequest
from sojourn.providers import urls
from sojourn.providers.base import Enrichment, OAuthProvider, OIDCProvider
from sojourn.providers.profiles import account_id, image_url, text

__all__ = ["GitHub", "Google"]

_GITHUB: Final = "https://github.com"
_LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")
_SPONSORING: Final = (
    "query($login: String!) { repositoryOwner(login: $login) { ... on Sponsorable { viewerIsSponsoring } } }"
)


def Google(  # noqa: N802
    *,
    client_id: str,
    client_secret: str,
    scope: str = "openid email profile",
    trust_email: bool = False,
    keep_tokens: bool = False,
    authorization_params: Mapping[str, str] | None = None,
) -> OIDCProvider:
    """Google: an OpenID provider."""
    return OIDCProvider(
        id="google",
        name="Google",
        issuer="https://accounts.google.com",
        client_id=client_id,
        client_secret=client_secret,
        scope=scope,
        trust_email=trust_email,
        keep_tokens=keep_tokens,
        authorization_params=authorization_params or {},
    )


def GitHub(  # noqa: N802
    *,
    client_id: str,
    client_secret: str,
    scope: str = "read:user user:email",
    trust_email: bool = False,
    keep_tokens: bool = False,
    sponsor_of: str | None = None,
    base_url: str = _GITHUB,
    authorization_params: Mapping[str, str] | None = None,
) -> OAuthProvider:
    """GitHub, or a GitHub Enterprise server at `base_url`.

    With the scope `user:email` the address may be private, and is as verified as GitHub says. `sponsor_of` is a login:
    the raw profile then says in `isSponsor` whether the person sponsors it; without an answer the member is absent.
    """
    if reason := urls.check(base_url, query=False):
        raise ConfigError(
            "providers.github.base_url", f"{base_url!r} cannot be used: {reason}", "Use the https URL of the server."
        )
    base_url = base_url.rstrip("/")
    api, graphql = f"{base_url}/api/v3", f"{base_url}/api/graphql"
    if base_url == _GITHUB:
        api, graphql = "https://api.github.com", "https://api.github.com/graphql"
    enrich = []
    if {"user", "user:email"} & set(scope.split()):
        enrich.append(_github_emails(f"{api}/user/emails"))
    if sponsor_of is not None:
        if not _LOGIN.fullmatch(sponsor_of):
            raise ConfigError(
                "providers.github.sponsor_of", f"{sponsor_of!r} is no login", "Use the login of a user or organisation."
            )
        enrich.append(_github_sponsorship(graphql, sponsor_of))
    return OAuthProvider(
        id="github",
        name="GitHub",
        issuer=f"{base_url}/login/oauth",
        authorize_url=f"{base_url}/login/oauth/authorize",
        token_url=f"{base_url}/login/oauth/access_token",
        userinfo_url=f"{api}/user",
        client_id=client_id,
        client_secret=client_secret,
        scope=scope,
        trust_email=trust_email,
        keep_tokens=keep_tokens,
        profile=_github_profile,
        enrich=tuple(enrich),
        authorization_params=authorization_params or {},
    )


def _github_profile(raw: Mapping[str, Any]) -> Profile:
    return Profile(
        id=account_id(raw.get("id")),
        name=text(raw.get("name")) or text(raw.get("login")),
        email=normalise_email(raw.get("email")),
        image=image_url(raw.get("avatar_url")),
        email_verified=raw.get("email_verified") is True,
        username=text(raw.get("login")),
    )


def _github_headers(access_token: str) -> dict[str, str]:
    return {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {access_token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }


def _github_emails(url: str) -> Enrichment:
    def request(access_token: str, raw: Mapping[str, Any]) -> TransportRequest:
        return TransportRequest(method="GET", url=url, headers=_github_headers(access_token))

    def read(document: Any, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        shown = normalise_email(raw.get("email"))
        entries = [entry for entry in document if normalise_email(entry["email"])]
        public = [entry for entry in entries if normalise_email(entry["email"]) == shown]
        primary = [entry for entry in entries if entry.get("primary") is True]
        # The address the person shows is theirs to choose; else the one GitHub writes to.
        for entry in (*public, *primary):
            return {"email": entry["email"], "email_verified": entry.get("verified") is True}
        return {}

    return Enrichment(name="emails", request=request, read=read)


def _github_sponsorship(url: str, login: str) -> Enrichment:
    def request(access_token: str, raw: Mapping[str, Any]) -> TransportRequest:
        return TransportRequest(
            method="POST",
            url=url,
            headers={**_github_headers(access_token), "Content-Type": "application/json"},
            body=msgspec.json.encode({"query": _SPONSORING, "variables": {"login": login}}),
        )

    def read(document: Any, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        sponsoring = document["data"]["repositoryOwner"]["viewerIsSponsoring"]
        return {"isSponsor": sponsoring} if isinstance(sponsoring, bool) else {}

    return Enrichment(name="sponsorship", request=request, read=read, claims={"is_sponsor": "isSponsor"})
