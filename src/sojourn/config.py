"""AuthConfig: frozen, judged once at start; every mistake names the key, the value seen and the fix."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Generic, Literal, get_args

import msgspec

from sojourn.callbacks import Callbacks
from sojourn.claims import worst_case_size
from sojourn.errors import ConfigError
from sojourn.events import Event
from sojourn.models import Claims, ClaimsT, Lifetimes, Value
from sojourn.policy.origin import BaseURL, TrustedProxies, parse_base_url
from sojourn.providers import Provider
from sojourn.settings import Pages, RateLimit, SessionPolicy, TokenKind

__all__ = ["AuthConfig", "Compat", "Pages", "RateLimit", "SessionPolicy", "TokenKind", "warn_of_size"]

logger: logging.Logger = logging.getLogger("sojourn")

Compat = Literal["nextauth-v4", "authjs-v5"]

_SECRET_VARIABLES = ("SOJOURN_SECRET", "NEXTAUTH_SECRET", "AUTH_SECRET")
_URL_VARIABLES = ("SOJOURN_URL", "NEXTAUTH_URL", "AUTH_URL")
_PLACEHOLDERS = frozenset(
    {"secret", "changeme", "change-me", "password", "test", "your-secret", "nextauth", "supersecret", "development"}
)
_MOST_SECRETS = 5
_LONGEST_AGE = 100 * 365 * 86400
_SHORTEST_SECRET = 32


class AuthConfig(Value, Generic[ClaimsT], frozen=True, kw_only=True):
    """Everything that `Auth` is configured with, judged and converted."""

    hidden: ClassVar[frozenset[str]] = frozenset({"secrets", "database", "redis", "signing_keys"})
    secrets: tuple[str | bytes, ...]
    base: BaseURL
    providers: tuple[Provider, ...]
    lifetimes: Lifetimes
    session: SessionPolicy
    claims: type[ClaimsT]
    callbacks: Callbacks[ClaimsT]
    compat: Compat
    database: str | None = None
    redis: str | None = None
    compat_tables: bool = False
    signing_keys: tuple[str, ...] = ()
    trusted_proxies: TrustedProxies
    on_event: Callable[[Event], Awaitable[None] | None] | None = None
    rate: tuple[int, int] | None = None
    pages: Pages = msgspec.field(default_factory=Pages)
    cookie_domain: str | None = None
    site_name: str = ""

    @classmethod
    def build(
        cls,
        *,
        secret: str | bytes | None = None,
        secrets: Sequence[str | bytes] | None = None,
        base_url: str | None = None,
        providers: Sequence[Provider] = (),
        database: str | None = None,
        redis: str | None = None,
        compat_tables: bool = False,
        compat: str = "nextauth-v4",
        trusted_proxies: Sequence[str] = (),
        session: SessionPolicy | None = None,
        claims: type[ClaimsT],
        callbacks: Callbacks[ClaimsT] | None = None,
        on_event: Callable[[Event], Awaitable[None] | None] | None = None,
        rate_limit: RateLimit | None = None,
        pages: Pages | None = None,
        signing_keys: Sequence[str] = (),
        cookie_domain: str | None = None,
        site_name: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> AuthConfig[ClaimsT]:
        """The configuration, or `ConfigError` naming the first setting that cannot work.

        `secret` and `base_url` fall back to `SOJOURN_SECRET`/`NEXTAUTH_SECRET`/`AUTH_SECRET` and
        `SOJOURN_URL`/`NEXTAUTH_URL`/`AUTH_URL`.
        """
        variables = os.environ if environment is None else environment
        if compat not in get_args(Compat):
            raise ConfigError("compat", repr(compat), f"Choose one of {', '.join(get_args(Compat))}.")
        kind: object = claims  # an untyped caller may pass anything
        if not (isinstance(kind, type) and issubclass(kind, Claims)):
            raise ConfigError("claims", repr(claims), "Give a subclass of sojourn.Claims.")
        url = base_url or next((variables[name] for name in _URL_VARIABLES if variables.get(name)), None)
        if not url:
            raise ConfigError(
                "base_url", "nothing", f"Give the public URL of the application, or set {_URL_VARIABLES[0]}."
            )
        base = parse_base_url(url)
        policy = session or SessionPolicy()
        _check_urls(database=database, redis=redis)
        policy.check_place(database, redis)
        _check_tables(compat_tables, database, providers)
        chosen = pages or Pages()
        chosen.check()
        return cls(
            secrets=_secrets(secret, secrets, variables, loopback=base.loopback),
            base=base,
            providers=_providers(providers, database),
            lifetimes=_endless(policy.lifetimes()) if compat_tables and policy.is_stored else policy.lifetimes(),
            session=policy,
            claims=claims,
            callbacks=callbacks or Callbacks(),
            compat=compat,  # type: ignore[arg-type]  # judged above
            database=database,
            redis=redis,
            compat_tables=compat_tables,
            signing_keys=tuple(signing_keys),
            trusted_proxies=TrustedProxies(trusted_proxies),
            on_event=on_event,
            rate=(rate_limit or RateLimit()).rates(),
            pages=chosen,
            cookie_domain=_cookie_domain(cookie_domain, base),
            site_name=site_name or base.host,
        )


def _secrets(
    one: str | bytes | None, many: Sequence[str | bytes] | None, variables: Mapping[str, str], *, loopback: bool
) -> tuple[str | bytes, ...]:
    if one is not None and many is not None:
        raise ConfigError(
            "secrets", "secret and secrets together", "Give one of them; secrets lists them newest first."
        )
    if isinstance(many, (str, bytes)):
        raise ConfigError("secrets", "one text", "Give a list, newest first; or use secret for a single one.")
    found = tuple(many) if many is not None else (one,) if one is not None else _from_environment(variables)
    if not found:
        raise ConfigError(
            "secret", "nothing", f"Set {_SECRET_VARIABLES[0]} or give secret; `sojourn keys new` prints a good one."
        )
    if len(found) > _MOST_SECRETS:
        raise ConfigError(
            "secrets", f"{len(found)} secrets", f"Keep at most {_MOST_SECRETS}: each one is tried on foreign tokens."
        )
    for position, text in enumerate(found):
        data = text.encode() if isinstance(text, str) else text
        key = "secret" if many is None else f"secrets[{position}]"
        if not data:
            raise ConfigError(key, "an empty text", "`sojourn keys new` prints a good one.")
        weak = (
            len(data) < _SHORTEST_SECRET
            or data.decode("utf-8", "replace").strip().lower() in _PLACEHOLDERS
            or len(set(data)) < 8
        )
        if weak and not loopback:
            raise ConfigError(
                key,
                f"a weak secret of {len(data)} bytes",
                "Use at least 32 random bytes; `sojourn keys new` prints one.",
            )
    return found


def _from_environment(variables: Mapping[str, str]) -> tuple[str, ...]:
    return next(((variables[name],) for name in _SECRET_VARIABLES if variables.get(name)), ())


def _providers(providers: Sequence[Provider], database: str | None) -> tuple[Provider, ...]:
    seen: set[str] = set()
    for position, provider in enumerate(providers):
        if provider.id in seen:
            raise ConfigError(f"providers[{position}].id", repr(provider.id), "Each provider needs an id of its own.")
        seen.add(provider.id)
        if provider.type == "credentials" and provider.authorize is None and database is None:
            raise ConfigError(
                "database", "nothing", "Credentials() without authorize checks the users table: set database."
            )
        if provider.type != "credentials" and provider.keep_tokens and database is None:
            key = f"providers[{position}].keep_tokens"
            raise ConfigError(key, "true without a database", "Tokens are kept beside accounts: set database.")
    return tuple(providers)


def _check_urls(**urls: object) -> None:
    for key, url in urls.items():
        if url is not None and not (isinstance(url, str) and url.strip()):
            seen = "an empty text" if isinstance(url, str) else f"a {type(url).__name__}"
            raise ConfigError(key, seen, "Give a URL, or leave it out.")


def _check_tables(compat_tables: object, database: str | None, providers: Sequence[Provider]) -> None:
    """What the tables of an Auth.js adapter have no column for."""
    if not isinstance(compat_tables, bool):
        raise ConfigError("compat_tables", repr(compat_tables), "Use true or false.")
    if not compat_tables:
        return
    if database is None:
        raise ConfigError(
            "database", "nothing", "compat_tables shares the tables of a PostgreSQL database: give its URL."
        )
    for position, provider in enumerate(providers):
        if provider.type != "credentials" and provider.keep_tokens:
            fix = "Their table has no place for encrypted tokens: leave keep_tokens out, or compat_tables."
            raise ConfigError(f"providers[{position}].keep_tokens", "true with compat_tables", fix)
        if provider.type == "credentials" and provider.authorize is None:
            fix = "Their table has no passwords: give authorize, or leave compat_tables out."
            raise ConfigError(f"providers[{position}].authorize", "nothing with compat_tables", fix)


def _endless(lifetimes: Lifetimes) -> Lifetimes:
    # Those tables say when a session was extended last and not when it began: no age could be counted from there.
    return msgspec.structs.replace(lifetimes, absolute_age=lifetimes.absolute_age + _LONGEST_AGE)


def _cookie_domain(domain: str | None, base: BaseURL) -> str | None:
    if domain is None:
        return None
    if "." not in domain.strip(".") or base.loopback:
        raise ConfigError(
            "cookie_domain", repr(domain), 'Cookies are shared within a registered domain only, like "example.com".'
        )
    if base.host != domain and not base.host.endswith(f".{domain}"):
        raise ConfigError(
            "cookie_domain", repr(domain), f"The application runs at {base.host}, which is not inside that domain."
        )
    return domain


def warn_of_size(claims: type[Claims], one_cookie: int) -> None:
    """Say at start that a session of these claims can pass one cookie of `one_cookie` characters (RFC 6265bis 6.1)."""
    size = worst_case_size(claims)
    if size is None:
        reason = "the length of its own fields has no bound"
    elif size > one_cookie:
        reason = f"it can take {size} characters"
    else:
        return
    logger.warning(
        "claims: a session of %s may need more than one cookie of %d characters: %s. Bound its texts with "
        "msgspec.Meta(max_length=...), and keep lists in the user's record.",
        claims.__name__,
        one_cookie,
        reason,
    )
