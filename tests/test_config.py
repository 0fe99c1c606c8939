from __future__ import annotations

from typing import Any, cast

import pytest

from sojourn.config import AuthConfig, Pages, RateLimit, RevocationPolicy, SessionPolicy
from sojourn.errors import ConfigError
from sojourn.models import Claims
from sojourn.providers import Credentials, GitHub

PG = "postgresql://sojourn@127.0.0.1/app"
KEEPING = GitHub(client_id="c", client_secret="s", keep_tokens=True)
SECRET = "cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g"


def build(**settings: Any) -> AuthConfig[Claims]:
    defaults: dict[str, Any] = {"secret": SECRET, "base_url": "https://app.example", "claims": Claims}
    return AuthConfig.build(**{**defaults, "environment": {}, **settings})


def test_the_defaults_are_twelve_hours_and_thirty_days() -> None:
    ages = build().lifetimes
    assert (ages.max_age, ages.update_age, ages.grace_period, ages.absolute_age, ages.leeway) == (
        43200,
        3600,
        900,
        2592000,
        15,
    )


def test_secrets_are_listed_newest_first_and_never_shown() -> None:
    config = build(secret=None, secrets=[SECRET, SECRET[::-1]])
    assert config.secrets == (SECRET, SECRET[::-1])
    assert SECRET not in repr(config)


@pytest.mark.parametrize("name", ["SOJOURN_SECRET", "NEXTAUTH_SECRET", "AUTH_SECRET"])
def test_the_secret_falls_back_to_the_environment(name: str) -> None:
    assert build(secret=None, environment={name: SECRET}).secrets == (SECRET,)


@pytest.mark.parametrize("name", ["SOJOURN_URL", "NEXTAUTH_URL", "AUTH_URL"])
def test_the_base_url_falls_back_to_the_environment(name: str) -> None:
    assert build(base_url=None, environment={name: "https://env.example"}).base.origin == "https://env.example"


@pytest.mark.parametrize("weak", ["s3cret", "changeme", "a" * 40, "short-but-random-31-bytes-xyz12"])
def test_weak_secrets_are_refused_off_loopback_and_not_repeated(weak: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(secret=weak)
    assert caught.value.key == "secret"
    assert weak not in str(caught.value)
    assert build(secret=weak, base_url="http://127.0.0.1:8000").secrets == (weak,)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("secret", {"secret": None}),
        ("secret", {"secret": ""}),
        ("secrets", {"secrets": [SECRET]}),
        ("secrets", {"secret": None, "secrets": SECRET}),
        ("secrets", {"secret": None, "secrets": [SECRET] * 6}),
        ("secret", {"secret": None, "secrets": []}),
        ("base_url", {"base_url": None}),
        ("compat", {"compat": "v6"}),
        ("redis", {"session": SessionPolicy(strategy="database", store="redis")}),
        ("claims", {"claims": dict}),
        ("database", {"session": SessionPolicy(strategy="database")}),
        ("session.strategy", {"session": SessionPolicy(strategy="redis")}),
        ("session.store", {"session": SessionPolicy(store="redis")}),
        ("session.store", {"session": SessionPolicy(strategy="database", store="cookie")}),
        ("session.with_user", {"session": SessionPolicy(with_user=True)}),
        ("session.token", {"database": "memory:", "session": SessionPolicy(strategy="database", token="HS256")}),
        ("session.max_chunks", {"database": "memory:", "session": SessionPolicy(strategy="database", max_chunks=2)}),
        (
            "session.with_user",
            {
                "redis": "redis://127.0.0.1",
                "session": SessionPolicy(strategy="database", store="redis", with_user=True),
            },
        ),
        ("session.token", {"session": SessionPolicy(token=cast("Any", "none"))}),
        ("session.max_chunks", {"session": SessionPolicy(max_chunks=6)}),
        ("session.max_age", {"session": SessionPolicy(max_age="0s")}),
        ("session.update_age", {"session": SessionPolicy(update_age="13h")}),
        ("session.absolute_age", {"session": SessionPolicy(absolute_age="1h")}),
        ("session.max_age", {"session": SessionPolicy(max_age="400d", absolute_age="400d")}),
        ("session.leeway", {"session": SessionPolicy(leeway="10m")}),
        ("rate_limit.sign_in", {"rate_limit": RateLimit(sign_in="often")}),
        ("revocation.on_stale", {"revocation": RevocationPolicy(on_stale="hope")}),
        ("revocation.staleness_limit", {"revocation": RevocationPolicy(staleness_limit="4s")}),
        ("revocation.staleness_limit", {"revocation": RevocationPolicy(staleness_limit="soon")}),
        (
            "revocation",
            {
                "database": "memory:",
                "session": SessionPolicy(strategy="database"),
                "revocation": RevocationPolicy(on_stale="refuse"),
            },
        ),
        ("providers[1].id", {"providers": [Credentials(authorize=lambda form: None)] * 2}),
        ("database", {"providers": [Credentials()]}),
        ("compat_tables", {"compat_tables": "yes"}),
        ("database", {"compat_tables": True}),
        ("providers[0].authorize", {"compat_tables": True, "database": PG, "providers": [Credentials()]}),
        ("providers[0].keep_tokens", {"compat_tables": True, "database": PG, "providers": [KEEPING]}),
        ("providers[0].keep_tokens", {"providers": [KEEPING]}),
        ("pages.sign_in", {"pages": Pages(sign_in="//evil.example")}),
        ("cookie_domain", {"cookie_domain": "com"}),
        ("cookie_domain", {"cookie_domain": "other.example"}),
        ("trusted_proxies", {"trusted_proxies": ["everybody"]}),
    ],
)
def test_each_mistake_is_refused_by_key(key: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(**settings)
    assert caught.value.key.startswith(key)
    assert caught.value.seen
    assert caught.value.fix


def test_rate_limits_are_on_unless_switched_off() -> None:
    assert build().rate == (10, 300)
    assert build(rate_limit=RateLimit(sign_in=None)).rate is None


def test_endings_are_checked_after_a_minute_unless_said_otherwise() -> None:
    assert (build().staleness_limit, build().on_stale) == (300, "check")
    stored = build(database="memory:", session=SessionPolicy(strategy="database"), revocation=RevocationPolicy())
    assert stored.on_stale == "check"
    told = build(revocation=RevocationPolicy(staleness_limit="5s", on_stale="accept"))
    assert (told.staleness_limit, told.on_stale) == (5, "accept")


def test_a_shared_domain_contains_the_host() -> None:
    assert build(cookie_domain="app.example").cookie_domain == "app.example"
    assert build(base_url="https://www.app.example", cookie_domain="app.example").cookie_domain == "app.example"


def test_providers_keep_their_order() -> None:
    github = GitHub(client_id="c", client_secret="s")
    assert [
        provider.id for provider in build(providers=[Credentials(authorize=lambda form: None), github]).providers
    ] == [
        "credentials",
        "github",
    ]
