"""Where a Redis is: what is read, what is refused, and that no refusal shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.errors import ConfigError
from sojourn.stores.redis import RedisServer
from sojourn.stores.redis_url import Place, read_url


@pytest.mark.parametrize(
    ("url", "places", "database"),
    [
        ("redis://localhost", [("localhost", 6379)], 0),
        ("valkey://localhost:7000/3", [("localhost", 7000)], 3),
        ("redis://[::1]:7000/", [("::1", 7000)], 0),
        ("redis://[::1]", [("::1", 6379)], 0),
        ("rediss://host", [("host", 6379)], 0),
        ("valkeys://host", [("host", 6379)], 0),
        ("unix:///run/redis%20a.sock?db=2", [("/run/redis a.sock", 0)], 2),
        ("redis+cluster://a:1,b:2,[::1]:3", [("a", 1), ("b", 2), ("::1", 3)], 0),
        ("rediss+cluster://a", [("a", 6379)], 0),
    ],
)
def test_what_can_be_read(url: str, places: list[Place], database: int) -> None:
    target = read_url(url)
    assert list(target.places) == places
    assert target.database == database
    assert (target.tls is not None) == (url.partition("://")[0].partition("+")[0] in {"rediss", "valkeys"})
    assert target.kind == ("cluster" if "+" in url else "single")
    assert target.replicas is None


def test_credentials_are_unquoted_and_not_shown() -> None:
    target = read_url("redis://us%40er:p%2Fa:ss@host/1?replicas=2")
    assert (target.username, target.password, target.replicas) == ("us@er", "p/a:ss", 2)
    assert "ss" not in repr(target)
    assert read_url("redis://:secret@host").username is None
    assert read_url("unix://:secret@/run/redis.sock").password == "secret"


def test_a_service_behind_sentinels() -> None:
    target = read_url("redis+sentinel://u:p@a,b:7/my%20service/4")
    assert (target.kind, target.service, target.database) == ("sentinel", "my service", 4)
    assert list(target.places) == [("a", 26379), ("b", 7)]
    assert read_url("redis+sentinel://a/s").database == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "http://secret",
        "redis:",
        "redis://",
        "redis://:secret@",
        "redis://user@host",
        "redis://user:@host",
        "redis://secret:x",
        "redis://secret:",
        "redis://secret:0",
        "redis://secret:65536",
        "redis://secret:١",
        "redis://[secret",
        "redis://[secret]x",
        "redis://a,secret",
        "redis://a/secret",
        "redis://a/0/secret",
        "redis://a/-1",
        "redis://a/99999999",
        "redis://:sec#ret@a",
        "redis://:sec?ret@a",
        "redis://a?secret=1",
        "redis://a?replicas=secret",
        "redis://a?replicas=-1",
        "redis://a?replicas=1&replicas=2",
        "redis://a?db=1",
        "redis://a?ssl_ca_certs=secret",
        "rediss://a?ssl_cert_reqs=none",
        "rediss://a?ssl_ca_certs=/secret",
        "rediss://a?ssl_certfile=/secret",
        "rediss://a?ssl_keyfile=/secret",
        "unix://secret/run/redis.sock",
        "unix://",
        "unix:///",
        "unix:///run/a?db=secret",
        "redis+cluster://a/1",
        "redis+cluster://a,,secret",
        "redis+sentinel://secret",
        "redis+sentinel://secret/",
        "redis+sentinel://a/secret/x",
        "redis+sentinel://a/b/1/secret",
        "redis+other://secret",
        "redis://:sec ret@a",
        "REDIS://secret",
        "redis://a?replicas",
    ],
)
def test_what_is_refused_before_anything_is_connected(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RedisServer(url)
    assert refused.value.key == "redis"
    assert "secret" not in str(refused.value)
    assert "ret" not in str(refused.value).split()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_certificates_of_our_own_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match="certificates"):
        read_url(f"rediss://host?ssl_ca_certs={tmp_path / 'empty.pem'}")
