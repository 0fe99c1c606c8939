from __future__ import annotations

import json
from pathlib import Path

import pytest

from sojourn.config import AuthConfig
from sojourn.configfile import load
from sojourn.errors import ConfigError
from sojourn.models import Claims
from sojourn.providers import OAuthProvider

SECRET = "cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g"
FILE = f"""
base_url = "http://127.0.0.1:8000"
secrets = ["{SECRET}"]
database = "sqlite:///sojourn.db"
compat = "nextauth-v4"
trusted_proxies = []
[session]
strategy = "jwt"
max_age = "6h"
[[providers]]
type = "oidc"
id = "op"
issuer = "http://127.0.0.1:3200"
client_id = "c"
client_secret = "s"
[[providers]]
type = "credentials"
[rate_limit]
sign_in = "5/1m"
"""


def read(tmp_path: Path, text: str = FILE, environment: dict[str, str] | None = None) -> AuthConfig[Claims]:
    path = tmp_path / "sojourn.toml"
    path.write_text(text)
    return load(path, claims=Claims, environment=environment or {})


def test_the_whole_file(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert config.base.origin == "http://127.0.0.1:8000"
    assert config.secrets == (SECRET,)
    assert [provider.id for provider in config.providers] == ["op", "credentials"]
    assert config.lifetimes.max_age == 6 * 3600
    assert config.rate == (5, 60)


def test_a_file_says_how_long_to_trust(tmp_path: Path) -> None:
    config = read(tmp_path, FILE + '[revocation]\nstaleness_limit = "2m"\non_stale = "refuse"\n')
    assert (config.staleness_limit, config.on_stale) == (120, "refuse")


def test_the_environment_wins(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        environment={
            "SOJOURN_BASE_URL": "https://other.example",
            "SOJOURN_SESSION_MAX_AGE": "1h",
            "SOJOURN_SESSION_MAX_CHUNKS": "2",
            "SOJOURN_RATE_LIMIT_SIGN_IN": "1/1s",
            "SOJOURN_REVOCATION_STALENESS_LIMIT": "10s",
            "SOJOURN_REVOCATION_ON_STALE": "accept",
            "SOJOURN_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1",
            "SOJOURN_SECRETS": json.dumps([SECRET[::-1], SECRET]),
            "SOJOURN_PROVIDERS": json.dumps([{"type": "credentials"}]),
        },
    )
    assert config.base.origin == "https://other.example"
    assert config.lifetimes.max_age == 3600
    assert config.session.max_chunks == 2
    assert config.rate == (1, 1)
    assert (config.staleness_limit, config.on_stale) == (10, "accept")
    assert config.secrets == (SECRET[::-1], SECRET)
    assert [provider.id for provider in config.providers] == ["credentials"]


def test_one_secret_of_the_environment_replaces_the_files_list(tmp_path: Path) -> None:
    assert read(tmp_path, environment={"SOJOURN_SECRET": SECRET[::-1]}).secrets == (SECRET[::-1],)


def test_the_environment_alone_is_enough() -> None:
    config = load(None, claims=Claims, environment={"SOJOURN_SECRET": SECRET, "SOJOURN_URL": "https://app.example"})
    assert config.base.origin == "https://app.example"


def test_a_plain_oauth_provider_names_its_profile_members(tmp_path: Path) -> None:
    text = FILE.replace('type = "credentials"', 'type = "oauth"\nid = "own"\nclient_id = "c"\nclient_secret = "s"') + ""
    text = text.replace(
        'id = "own"',
        'id = "own"\nauthorize_url = "https://o.example/a"\ntoken_url = "https://o.example/t"\n'
        'userinfo_url = "https://o.example/u"\nprofile = {id = "uid", image = "avatar"}',
    )
    provider = read(tmp_path, text).providers[1]
    assert isinstance(provider, OAuthProvider)
    profile = provider.profile({"uid": 7, "name": "Ada", "avatar": "https://o.example/a.png", "email": 3})
    assert (profile.id, profile.name, profile.image, profile.email) == ("7", "Ada", "https://o.example/a.png", None)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("--config", "not toml ["),
        ("colour", 'colour = "red"\n' + FILE),
        ("session.colour", FILE.replace('max_age = "6h"', 'colour = "red"')),
        ("session.max_age", FILE.replace('max_age = "6h"', "max_age = 6")),
        ("session.max_chunks", FILE.replace('max_age = "6h"', 'max_chunks = "2"')),
        (
            "session",
            'session = "jwt"\n' + FILE.replace("[session]", "[pages]").replace('strategy = "jwt"\nmax_age = "6h"', ""),
        ),
        ("secrets", FILE.replace(f'["{SECRET}"]', f'"{SECRET}"')),
        ("base_url", FILE.replace('"http://127.0.0.1:8000"', "8000")),
        ("providers[1].type", FILE.replace('type = "credentials"', 'type = "saml"')),
        ("providers[1].authorize", FILE.replace('type = "credentials"', 'type = "credentials"\nauthorize = "x"')),
        ("providers[0]", FILE.replace('client_id = "c"', 'client = "c"')),
    ],
)
def test_each_mistake_is_refused_by_key(tmp_path: Path, key: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.key == key
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SOJOURN_SECRETS", "[broken"), ("SOJOURN_SESSION_MAX_CHUNKS", "two"), ("SOJOURN_PROVIDERS", '["x"]')],
)
def test_bad_variables_are_refused_by_name(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path, environment={variable: value})


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Path("nowhere.toml"), claims=Claims, environment={})
    assert caught.value.key == "--config"


POSTGRES = "postgresql://ada:hunter2@db.example/app"
REDIS = "redis://:hunter2@cache.example:6379/0"
IN_REDIS = f'redis = "{REDIS}"\n' + FILE.replace('strategy = "jwt"', 'strategy = "database"\nstore = "redis"')


def test_a_file_says_where_sessions_live(tmp_path: Path) -> None:
    assert read(tmp_path).session.strategy == "jwt"
    stored = read(tmp_path, FILE.replace('strategy = "jwt"', 'strategy = "database"\nwith_user = true'))
    assert (stored.session.strategy, stored.session.store, stored.session.with_user) == ("database", None, True)
    assert stored.redis is None
    named = read(tmp_path, FILE.replace('strategy = "jwt"', 'strategy = "database"\nstore = "database"'))
    assert (named.session.store, named.session.with_user) == ("database", False)
    in_redis = read(tmp_path, IN_REDIS)
    assert (in_redis.session.strategy, in_redis.session.store) == ("database", "redis")
    assert (in_redis.database, in_redis.redis) == ("sqlite:///sojourn.db", REDIS)


def test_the_environment_says_where_sessions_live(tmp_path: Path) -> None:
    variables = {"SOJOURN_SECRET": SECRET, "SOJOURN_URL": "https://app.example", "SOJOURN_SESSION_STRATEGY": "database"}
    with_user = variables | {"SOJOURN_DATABASE": POSTGRES, "SOJOURN_SESSION_WITH_USER": "true"}
    stored = load(None, claims=Claims, environment=with_user)
    assert (stored.session.strategy, stored.session.with_user, stored.database) == ("database", True, POSTGRES)
    in_redis = load(
        None, claims=Claims, environment=variables | {"SOJOURN_REDIS": REDIS, "SOJOURN_SESSION_STORE": "redis"}
    )
    assert (in_redis.session.store, in_redis.redis, in_redis.database) == ("redis", REDIS, None)
    without = read(
        tmp_path,
        FILE.replace('strategy = "jwt"', 'strategy = "database"\nwith_user = true'),
        {"SOJOURN_SESSION_WITH_USER": "false"},
    )
    assert without.session.with_user is False


@pytest.mark.parametrize(
    ("key", "seen", "fix", "text"),
    [
        ("session.strategy", "'redis'", 'store = "redis"', FILE.replace('"jwt"', '"redis"')),
        ("session.strategy", "a URL", "jwt, database", FILE.replace('"jwt"', f'"{REDIS}"')),
        ("session.strategy", "1", "a text in quotes", FILE.replace('"jwt"', "1")),
        ("session.store", "'memcached'", "database, redis", IN_REDIS.replace('store = "redis"', 'store = "memcached"')),
        ("session.store", "a URL", "database, redis", IN_REDIS.replace('store = "redis"', f'store = "{REDIS}"')),
        ("session.store", "a URL", "a text in quotes", IN_REDIS.replace('store = "redis"', f'store = ["{REDIS}"]')),
        ("session.store", "with strategy", "leave store out", IN_REDIS.replace('= "database"', '= "jwt"')),
        ("session.with_user", "'yes'", "true or false", FILE.replace('"jwt"', '"database"\nwith_user = "yes"')),
        ("session.with_user", "1", "true or false", FILE.replace('"jwt"', '"database"\nwith_user = 1')),
        ("session.with_user", "with strategy", "session.user()", FILE.replace('"jwt"', '"jwt"\nwith_user = true')),
        ("session.with_user", "with store", "session.user()", IN_REDIS.replace("store =", "with_user = true\nstore =")),
        ("session.max_chunks", "True", "whole number", FILE.replace('"jwt"', '"jwt"\nmax_chunks = true')),
        ("redis", "nothing", "give its URL", IN_REDIS.replace(f'redis = "{REDIS}"\n', "")),
        ("redis", "a list", "a text", IN_REDIS.replace(f'"{REDIS}"', f'["{REDIS}"]')),
        (
            "database",
            "nothing",
            "give its URL",
            FILE.replace('"jwt"', '"database"')
            .replace('database = "sqlite:///sojourn.db"', "")
            .replace('[[providers]]\ntype = "credentials"', ""),
        ),
    ],
)
def test_a_place_that_cannot_work_is_refused(tmp_path: Path, key: str, seen: str, fix: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.key == key
    assert seen in caught.value.seen
    assert fix in caught.value.fix
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "key", "seen"),
    [
        ("SOJOURN_SESSION_WITH_USER", "yes", "SOJOURN_SESSION_WITH_USER", "'yes'"),
        ("SOJOURN_SESSION_WITH_USER", REDIS, "SOJOURN_SESSION_WITH_USER", "a URL"),
        ("SOJOURN_SESSION_MAX_CHUNKS", POSTGRES, "SOJOURN_SESSION_MAX_CHUNKS", "a URL"),
        ("SOJOURN_SESSION_STRATEGY", REDIS, "session.strategy", "a URL"),
        ("SOJOURN_SESSION_STORE", REDIS, "session.store", "a URL"),
    ],
)
def test_a_variable_that_cannot_work_is_refused(tmp_path: Path, variable: str, value: str, key: str, seen: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, environment={variable: value})
    assert (caught.value.key, caught.value.seen) == (key, seen)
    assert "hunter2" not in str(caught.value)


def test_a_switch_stands_in_the_file_or_in_the_environment(tmp_path: Path) -> None:
    text = FILE.replace('type = "credentials"', 'type = "github"\nclient_id = "c"\nclient_secret = "s"')
    text = text.replace('"sqlite:///sojourn.db"', f'"{POSTGRES}"')
    assert read(tmp_path, text).compat_tables is False
    assert read(tmp_path, f"compat_tables = true\n{text}").compat_tables is True
    assert read(tmp_path, text, {"SOJOURN_COMPAT_TABLES": "true"}).compat_tables is True
    assert read(tmp_path, f"compat_tables = true\n{text}", {"SOJOURN_COMPAT_TABLES": "false"}).compat_tables is False
    for key, given, variables in (
        ("compat_tables", 'compat_tables = "true"\n', {}),
        ("compat_tables", "compat_tables = 1\n", {}),
        ("SOJOURN_COMPAT_TABLES", "", {"SOJOURN_COMPAT_TABLES": "yes"}),
    ):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, given + text, variables)
        assert caught.value.key == key
        assert "true or false" in caught.value.fix
