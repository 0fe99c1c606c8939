"""The declared base URL, trusted proxies, the client's address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.errors import ConfigError
from sojourn.http import Request
from sojourn.policy.origin import TrustedProxies, client_address, explain_host, network_of, parse_base_url

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "vectors.json").read_text("utf-8"))


# --- the base URL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "origin", "base_path", "host", "secure", "loopback"),
    [
        ("https://app.example", "https://app.example", "/api/auth", "app.example", True, False),
        ("https://app.example/", "https://app.example", "/api/auth", "app.example", True, False),
        ("app.example", "https://app.example", "/api/auth", "app.example", True, False),
        ("HTTPS://App.Example:443/Auth/", "https://app.example", "/Auth", "app.example", True, False),
        ("https://app.example:8443/a/b?x=y#z", "https://app.example:8443", "/a/b", "app.example", True, False),
        ("http://localhost", "http://localhost", "/api/auth", "localhost", False, True),
        ("http://localhost:80", "http://localhost", "/api/auth", "localhost", False, True),
        ("http://app.localhost:3000", "http://app.localhost:3000", "/api/auth", "app.localhost", False, True),
        ("http://127.0.0.53:8000", "http://127.0.0.53:8000", "/api/auth", "127.0.0.53", False, True),
        ("http://[0:0::1]:8000/x", "http://[::1]:8000", "/x", "[::1]", False, True),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]", "/api/auth", "[2001:db8::1]", True, False),
        ("https://localhost", "https://localhost", "/api/auth", "localhost", True, True),
    ],
)
def test_base_urls(text: str, origin: str, base_path: str, host: str, secure: bool, loopback: bool) -> None:
    base = parse_base_url(text)
    assert (base.origin, base.base_path, base.host) == (origin, base_path, host)
    assert (base.secure, base.loopback, base.base) == (secure, loopback, origin + base_path)
    assert parse_base_url(base.base) == base


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "http",
        "httpbin.org",
        "https://",
        "https:///x",
        "https://a b",
        "https://app.example\\x",
        "https://app.example:port",
        "https://app.example:70000",
        "https://bücher.example",
        "https://app..example",
        "https://app.example.",
        "https://[::1",
        "https://[x]",
        "https://[fe80::1%25eth0]",
        "https://app.example//x",
        "https://app.example/a b",
        "https://app.example/a//b",
        "https://user:hunter2@app.example",
        "httpx://app.example",
        "ftp://app.example",
        "http://app.example",
        "http://0.0.0.0:8000",
        "http://192.168.0.1",
        "http://localhost.app.example",
        "http://localhost:80@app.example",
        "http://127.0.0.1.app.example",
        "http://notlocalhost",
    ],
)
def test_base_urls_that_cannot_work_name_the_setting_and_the_fix(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_base_url(text)
    assert refused.value.key == "base_url"
    assert refused.value.seen
    assert refused.value.fix
    assert "hunter2" not in str(refused.value)


def test_plain_http_is_explained() -> None:
    with pytest.raises(
        ConfigError, match=r"^base_url: 'http://app\.example' is plain http .* Write `https://app\.example`"
    ):
        parse_base_url("http://app.example")


# Input -> why we answer otherwise than NextAuth's `parseUrl`.
DIFFERENT = {None: "a base URL is declared, never assumed: the configuration asks for it"}


@pytest.mark.parametrize("vector", VECTORS["v4_parse_url"], ids=lambda vector: repr(vector["input"]))
def test_vectors_of_parse_url(vector: dict[str, Any]) -> None:
    text = vector["input"]
    if text in DIFFERENT:
        text = vector["base"]
    if "throws" in vector:
        with pytest.raises(ConfigError):
            parse_base_url(text)
    else:
        base = parse_base_url(text)
        assert (base.origin, base.base_path, base.base) == (vector["origin"], vector["path"], vector["base"])


# --- proxies and addresses -------------------------------------------------------------------------------------------

PROXIES = TrustedProxies(["127.0.0.0/8", "10.0.0.5", "2001:db8:1::/48", "::ffff:192.0.2.0/120"])


def request(client: str | None, **headers: str) -> Request:
    return Request(
        method="GET",
        path="/",
        client=client,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.mark.parametrize("cidr", ["", "x", "10.0.0.5/8", "10.0.0.0/33", "*", "127.0.0.1:80", "proxy.example", "10.0.0"])
def test_a_bad_proxy_is_a_bad_setting(cidr: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TrustedProxies(["127.0.0.1", cidr])
    assert refused.value.key == "trusted_proxies"


@pytest.mark.parametrize("address", ["127.9.9.9", "::ffff:127.0.0.1", "10.0.0.5", "2001:db8:1:ffff::1", "192.0.2.9"])
def test_listed_proxies_are_trusted(address: str) -> None:
    assert PROXIES.trusts(address)


@pytest.mark.parametrize("address", [None, "", "testclient", "10.0.0.6", "2001:db8:2::1", "192.0.3.1", "::1"])
def test_others_are_not(address: str | None) -> None:
    assert not PROXIES.trusts(address)


def test_nobody_is_trusted_by_default() -> None:
    assert client_address(request("127.0.0.1", x_forwarded_for="1.1.1.1"), TrustedProxies()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        (None, {}, None),
        ("testclient", {"x_forwarded_for": "1.1.1.1"}, None),
        ("9.9.9.9", {"x_forwarded_for": "1.1.1.1", "forwarded": "for=1.1.1.1"}, "9.9.9.9"),
        ("::ffff:9.9.9.9", {}, "9.9.9.9"),
        ("127.0.0.1", {}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1"}, "1.1.1.1"),
        ("127.0.0.1", {"x_forwarded_for": "6.6.6.6, 1.1.1.1"}, "1.1.1.1"),
        ("127.0.0.1", {"x_forwarded_for": "6.6.6.6,1.1.1.1 , 10.0.0.5"}, "1.1.1.1"),
        ("127.0.0.1", {"x_forwarded_for": "10.0.0.5, 127.0.0.2"}, "10.0.0.5"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1:4711"}, "1.1.1.1"),
        ("127.0.0.1", {"x_forwarded_for": "[2001:DB8::0001]:4711"}, "2001:db8::1"),
        ("127.0.0.1", {"x_forwarded_for": "fe80::1%eth0"}, "fe80::1"),
        ("127.0.0.1", {"x_forwarded_for": ""}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1, unknown, 10.0.0.5"}, "10.0.0.5"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1, \x00<script>"}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": ", ,1.1.1.1,"}, "127.0.0.1"),
        ("127.0.0.1", {"forwarded": "for=1.1.1.1"}, "1.1.1.1"),
        ("127.0.0.1", {"forwarded": 'for=6.6.6.6, For="[2001:db8::1]:4711";proto=https;by=10.0.0.5'}, "2001:db8::1"),
        ("127.0.0.1", {"forwarded": "for=1.1.1.1, proto=https;for=10.0.0.5"}, "1.1.1.1"),
        ("127.0.0.1", {"forwarded": "for=1.1.1.1, proto=https"}, "127.0.0.1"),
        ("127.0.0.1", {"forwarded": "for=_hidden"}, "127.0.0.1"),
        ("127.0.0.1", {"forwarded": ";=;,==,"}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1", "forwarded": "for=1.1.1.1"}, "1.1.1.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1", "forwarded": "for=6.6.6.6"}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": "6.6.6.6" + ", 127.0.0.1" * 32}, "127.0.0.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1" + ", 127.0.0.1" * 31}, "1.1.1.1"),
    ],
)
def test_the_clients_address(client: str | None, headers: dict[str, str], expected: str | None) -> None:
    assert client_address(request(client, **headers), PROXIES) == expected


SPELLINGS = [
    "2001:db8::1",
    "2001:DB8::1",
    "2001:0db8::0001",
    "2001:db8:0:0:0:0:0:1",
    "2001:0db8:0000:0000:0000:0000:0000:0001",
    "2001:db8::0:1",
    "2001:db8:0::1",
    "2001:db8::0.0.0.1",
    "[2001:db8::1]",
    "[2001:db8::1]:443",
    '"[2001:db8::1]:443"',
    "2001:db8::1%eth0",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_twelve_spellings_are_one_address(spelling: str) -> None:
    assert client_address(request("127.0.0.1", x_forwarded_for=spelling), PROXIES) == "2001:db8::1"
    assert network_of(spelling) == "2001:db8::/64"


def test_limits_count_by_network() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:c000:201") == "192.0.2.1"
    assert network_of("2001:db8:0:1:ffff:ffff:ffff:ffff") == "2001:db8:0:1::/64"
    assert network_of(None) == network_of("garbage") == "unknown"


# --- the host --------------------------------------------------------------------------------------------------------

BASE = parse_base_url("https://app.example")


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("9.9.9.9", {"host": "app.example"}),
        ("9.9.9.9", {"host": "APP.example:443"}),
        ("9.9.9.9", {}),
        ("9.9.9.9", {"host": "app.example", "x_forwarded_host": "evil.example"}),
        ("127.0.0.1", {"host": "10.0.0.9:8000", "x_forwarded_host": "app.example"}),
        ("127.0.0.1", {"host": "10.0.0.9:8000", "x_forwarded_host": "evil.example, app.example"}),
        ("127.0.0.1", {"host": "10.0.0.9:8000", "forwarded": 'host=evil.example, for=1.1.1.1;Host="app.example"'}),
    ],
)
def test_hosts_that_fit_need_no_explanation(client: str, headers: dict[str, str]) -> None:
    assert explain_host(request(client, **headers), BASE, PROXIES) is None


@pytest.mark.parametrize(
    ("client", "headers", "header", "seen", "setting"),
    [
        ("9.9.9.9", {"host": "app.example:8000"}, "Host", "app.example:8000", "base_url"),
        ("9.9.9.9", {"host": "www.app.example"}, "Host", "www.app.example", "base_url"),
        ("9.9.9.9", {"host": "in", "x_forwarded_host": "other"}, "Host", "in", "base_url"),
        ("9.9.9.9", {"host": "in", "x_forwarded_host": "app.example"}, "Host", "in", "trusted_proxies"),
        ("9.9.9.9", {"host": "in", "forwarded": "host=app.example"}, "Host", "in", "trusted_proxies"),
        ("127.0.0.1", {"host": "in"}, "Host", "in", "base_url"),
        ("127.0.0.1", {"host": "app.example", "x_forwarded_host": "other"}, "X-Forwarded-Host", "other", "base_url"),
        ("127.0.0.1", {"host": "app.example", "forwarded": "host=other"}, "Forwarded", "other", "base_url"),
        ("9.9.9.9", {"host": "x" * 900}, "Host", "x" * 200, "base_url"),
    ],
)
def test_a_mismatch_names_header_value_and_setting(
    client: str, headers: dict[str, str], header: str, seen: str, setting: str
) -> None:
    mismatch = explain_host(request(client, **headers), BASE, PROXIES)
    assert mismatch is not None
    assert (mismatch.header, mismatch.seen, mismatch.expected, mismatch.setting) == (
        header,
        seen,
        "app.example",
        setting,
    )
    text = str(mismatch)
    assert header in text
    assert seen in text
    assert "'app.example'" in text
    assert f"`{setting}`" in text


def test_a_forwarded_element_without_a_host_says_nothing() -> None:
    assert explain_host(request("127.0.0.1", host="app.example", forwarded="for=1.1.1.1"), BASE, PROXIES) is None
    mismatch = explain_host(request("127.0.0.1", host="in", forwarded="for=1.1.1.1"), BASE, PROXIES)
    assert mismatch is not None
    assert (mismatch.header, mismatch.seen) == ("Host", "in")
