"""Where people sign in: the kinds of provider, and the known ones."""

from __future__ import annotations

from sojourn.providers.base import (
    AuthMethod,
    CredentialsProvider,
    Enrichment,
    OAuthProvider,
    OIDCProvider,
    ProfileMapper,
    Provider,
    SignatureAlgorithm,
)
from sojourn.providers.catalog import GitHub, Google
from sojourn.providers.profiles import openid_profile

__all__ = [
    "OIDC",
    "AuthMethod",
    "Credentials",
    "CredentialsProvider",
    "Enrichment",
    "GitHub",
    "Google",
    "OAuth",
    "OAuthProvider",
    "OIDCProvider",
    "ProfileMapper",
    "Provider",
    "SignatureAlgorithm",
    "openid_profile",
]

Credentials = CredentialsProvider
OAuth = OAuthProvider
OIDC = OIDCProvider
