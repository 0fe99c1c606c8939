"""What a provider is: frozen data, judged when it is made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, get_args

import msgspec

from sojourn.errors import ConfigError
from sojourn.models import Profile, Value
from sojourn.ports import TransportRequest
from sojourn.providers import urls
from sojourn.providers.profiles import openid_profile

__all__ = [
    "AuthMethod",
    "ClientProvider",
    "CredentialsProvider",
    "Enrichment",
    "OAuthProvider",
    "OIDCProvider",
    "ProfileMapper",
    "Provider",
    "SignatureAlgorithm",
]

AuthMethod = Literal["client_secret_basic", "client_secret_post", "none", "private_key_jwt"]
SignatureAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
ProfileMapper = Callable[[Mapping[str, Any]], Profile]
Authorize = Callable[[Mapping[str, str]], Awaitable[Profile | None] | Profile | None]

# Every request sets these itself; a configured value would undo a check (RFC 9700 2.1).
FIXED_PARAMETERS: Final = frozenset(
    {
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "registration",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)
_ID: Final = re.compile(r"[a-z0-9-]{1,64}")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")  # RFC 6749 3.3


class Enrichment(msgspec.Struct, frozen=True, kw_only=True):
    """One more question to a provider after the profile, in halves.

    `request(access_token, raw)` builds it; `read(document, raw)` turns the decoded JSON of a 200 answer into members
    that are put into the raw profile. An answer that fails or is not understood leaves the profile as it was.
    `claims` says which session claims such a member fills: `{"is_sponsor": "isSponsor"}`.
    """

    name: str
    request: Callable[[str, Mapping[str, Any]], TransportRequest]
    read: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]
    claims: Mapping[str, str] = msgspec.field(default_factory=dict)


def _named(provider_id: object, name: object) -> str:
    if not isinstance(provider_id, str) or not _ID.fullmatch(provider_id):
        raise ConfigError("providers[].id", f"{provider_id!r} is no provider id", "Use 1 to 64 of a-z, 0-9, hyphen.")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise ConfigError(f"providers.{provider_id}.name", f"{name!r} is no name", "Use a text, or leave it out.")
    return name if isinstance(name, str) else provider_id


class ClientProvider(Value, frozen=True, kw_only=True):
    """What every provider has to which this application is an OAuth 2 client.

    `trust_email=True` says that addresses this provider calls verified may link accounts; `keep_tokens=True` keeps what
    it hands out, encrypted, beside the account. `private_key` is a PEM or JWK text for `private_key_jwt`.
    `authorization_params` go into every authorization request, and nothing from a browser replaces them. `enrich` asks
    for more after the profile.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"client_secret", "private_key"})
    id: str
    client_id: str
    client_secret: str | None = None
    name: str = ""
    trust_email: bool = False
    keep_tokens: bool = False
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"
    private_key: str | None = None
    authorization_params: Mapping[str, str] = msgspec.field(default_factory=dict)
    enrich: Sequence[Enrichment] = ()

    def __hash__(self) -> int:
        return hash(self.id)  # a mapping has no hash

    def _refuse(self, key: str, seen: str, fix: str) -> ConfigError:
        return ConfigError(f"providers.{self.id}.{key}", seen, fix)

    def _check_client(self) -> None:
        msgspec.structs.force_setattr(self, "name", _named(self.id, self.name or None))
        for key, required in (("client_id", True), ("client_secret", False), ("private_key", False)):
            value = getattr(self, key)
            if value is None and not required:
                continue
            if not isinstance(value, str) or not value.strip():
                raise self._refuse(key, "it is missing or empty", "Set what the provider gave to this application.")
        for key in ("trust_email", "keep_tokens"):
            if not isinstance(getattr(self, key), bool):
                raise self._refuse(key, f"{getattr(self, key)!r} is not a boolean", "Use true or false.")
        self._check_auth_method()
        self._check_parameters()

    def _check_auth_method(self) -> None:
        match self.token_endpoint_auth_method:
            case "client_secret_basic" | "client_secret_post":
                if self.client_secret is None:
                    raise self._refuse(
                        "client_secret",
                        f"it is missing, and token_endpoint_auth_method is {self.token_endpoint_auth_method!r}",
                        'Set client_secret, or token_endpoint_auth_method="none" for a public client.',
                    )
            case "private_key_jwt":
                if self.private_key is None:
                    raise self._refuse(
                        "private_key", "it is missing, private_key_jwt needs it", "Set a PEM or JWK text."
                    )
                self._check_private_key(self.private_key)
            case "none":
                pass
            case unknown:
                raise self._refuse(
                    "token_endpoint_auth_method", f"{unknown!r} is unknown", f"Use {', '.join(get_args(AuthMethod))}."
                )
        if self.private_key is not None and self.token_endpoint_auth_method != "private_key_jwt":
            raise self._refuse(
                "private_key",
                f"it is set, but token_endpoint_auth_method is {self.token_endpoint_auth_method!r}",
                'Set token_endpoint_auth_method="private_key_jwt", or remove the key.',
            )

    def _check_private_key(self, private_key: str) -> None:
        from sojourn.providers import private_keys  # JOSE is loaded only where a key has to be read

        try:
            private_keys.read(private_key)
        except ValueError as error:
            raise self._refuse("private_key", str(error), "Use a private RSA, EC or Ed25519 key.") from None

    def _check_parameters(self) -> None:
        # The types promise strings, but a configuration file may hold anything.
        parameters: Sequence[tuple[object, object]] = tuple(self.authorization_params.items())
        for key, value in parameters:
            if not isinstance(key, str) or not isinstance(value, str):
                raise self._refuse("authorization_params", f"{key!r} is not a text with a text", "Use strings only.")
            if key in FIXED_PARAMETERS:
                raise self._refuse("authorization_params", f"{key!r} is set by every request itself", "Remove it.")

    def _check_scope(self, scope: object) -> None:
        if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
            raise self._refuse("scope", f"{scope!r} is no list of scopes", "Use names with one blank between them.")

    def _check_url(self, key: str, url: object, *, query: bool = True) -> None:
        if reason := urls.check(url, query=query):
            # User information in a URL is a password.
            shown = repr(url) if "@" not in str(url) else "the URL"
            raise self._refuse(key, f"{shown} cannot be used: {reason}", "Use https (http is for loopback hosts only).")


class OAuthProvider(ClientProvider, frozen=True, kw_only=True):
    """A plain OAuth 2 provider: its endpoints, and how its profile document becomes a `Profile`.

    `issuer` is what the provider sends as `iss` (RFC 9207), if it does.
    """

    type: ClassVar[Literal["oauth"]] = "oauth"
    authorize_url: str
    token_url: str
    userinfo_url: str
    profile: ProfileMapper
    scope: str | None = None
    issuer: str | None = None

    def __post_init__(self) -> None:
        self._check_client()
        for key in ("authorize_url", "token_url", "userinfo_url"):
            self._check_url(key, getattr(self, key))
        if self.issuer is not None:
            self._check_url("issuer", self.issuer, query=False)
        if self.scope is not None:
            self._check_scope(self.scope)
        if not callable(self.profile):
            raise self._refuse("profile", "it is not callable", "Pass a function from the raw profile to a Profile.")


class OIDCProvider(ClientProvider, frozen=True, kw_only=True):
    """An OpenID provider, known by its issuer alone; everything else is discovered.

    `id_token_signed_response_alg` is the one algorithm that ID tokens may have. `trusted_audiences` are further members
    of `aud` that are known.
    """

    type: ClassVar[Literal["oidc"]] = "oidc"
    issuer: str
    scope: str = "openid profile email"
    profile: ProfileMapper = openid_profile
    id_token_signed_response_alg: SignatureAlgorithm = "RS256"
    trusted_audiences: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._check_client()
        self._check_url("issuer", self.issuer, query=False)
        self._check_scope(self.scope)
        if "openid" not in self.scope.split(" "):
            raise self._refuse("scope", f"{self.scope!r} lacks openid", "Add openid, or use OAuth for plain OAuth 2.")
        if not callable(self.profile):
            raise self._refuse("profile", "it is not callable", "Pass a function from the claims to a Profile.")
        algorithm = self.id_token_signed_response_alg
        if algorithm not in get_args(SignatureAlgorithm):
            raise self._refuse(
                "id_token_signed_response_alg",
                f"{algorithm!r} is not accepted",
                f"Use one of {', '.join(get_args(SignatureAlgorithm))}, as registered with the provider.",
            )
        if algorithm.startswith("HS") and len((self.client_secret or "").encode()) < int(algorithm[2:]) // 8:
            raise self._refuse(
                "client_secret", f"it is too short for {algorithm}", "Use a longer one, or RS256 (RFC 7518 3.2)."
            )


class CredentialsProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Sign-in by name and password.

    `authorize(form)` answers who that is, or `None`; plain or async. Without it the users table is asked.
    `trust_email=True` says that addresses it calls verified may link accounts.
    """

    type: ClassVar[Literal["credentials"]] = "credentials"
    fields: ClassVar[tuple[str, ...]] = ("username", "password")
    authorize: Authorize | None = None
    id: str = "credentials"
    name: str = "Credentials"
    trust_email: bool = False

    def __post_init__(self) -> None:
        _named(self.id, self.name)
        if not isinstance(self.trust_email, bool):
            raise ConfigError(
                f"providers.{self.id}.trust_email", f"{self.trust_email!r} is no boolean", "Use true or false."
            )
        if self.authorize is not None and not callable(self.authorize):
            raise ConfigError(f"providers.{self.id}.authorize", "it is not callable", "Pass a function or None.")


Provider = OAuthProvider | OIDCProvider | CredentialsProvider
