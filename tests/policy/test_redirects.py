"""Where the browser may be sent: our own origin, or the base URL."""

from __future__ import annotations

import pytest

from sojourn.policy.redirects import resolve

ORIGIN = "https://app.example"
BASE = "https://app.example/home"


def go(url: object, origin: str = ORIGIN) -> str:
    return resolve(url, base_url=BASE, origin=origin)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=%2F%2Fevil.example#f", "/a/b?c=d&e=%2F%2Fevil.example#f"),
        ("/a//b", "/a//b"),
        ("/%2F/evil.example", "/%2F/evil.example"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/@evil.example", "/@evil.example"),
        ("/x:y", "/x:y"),
        ("/?next=https://evil.example", "/?next=https://evil.example"),
        ("/später?q=日本", "/sp%C3%A4ter?q=%E6%97%A5%E6%9C%AC"),
        ("/／evil.example", "/%EF%BC%8Fevil.example"),
        (ORIGIN, ""),
        (f"{ORIGIN}/", "/"),
        (f"{ORIGIN}/x?y#z", "/x?y#z"),
        (f"{ORIGIN}?y", "?y"),
        (f"{ORIGIN}#z", "#z"),
        ("HTTPS://APP.Example/X", "/X"),
        ("https://app.example:443/x", "/x"),
        ("https://app.example:/x", "/x"),
        ("https://app.example:00443/x", "/x"),
    ],
)
def test_our_own_pages_in_our_own_spelling(url: str, expected: str) -> None:
    assert go(url) == ORIGIN + expected
    assert go(go(url)) == go(url)


@pytest.mark.parametrize(
    "url",
    [
        None,
        True,
        0,
        1.5,
        b"/x",
        ["/x"],
        {"url": "/x"},
        object(),
        "",
        " ",
        " /x",
        "\t/x",
        "x",
        "foo/bar",
        "?x",
        "#x",
        "//evil.example",
        "///evil.example",
        "//evil.example\\@app.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\n/evil.example",
        "/\x00/evil.example",
        "/x\x7f",
        "/x\x85",
        "/x y",
        "/x\r\nSet-Cookie: a=b",
        "/\ud800",
        "https:evil.example",
        "https:/evil.example",
        "https:\\\\evil.example",
        "http:/\\evil.example",
        "https:app.example/x",
        "https:/app.example/x",
        "https:///app.example/x",
        "ht\ntps://evil.example",
        "https://evil.example",
        "https://evil.example/app.example",
        "https://evil.example#https://app.example",
        "https://evil.example\\.app.example",
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://app.example:443@evil.example",
        "https://app.example:x@evil.example/",
        "https://user@app.example/",
        "https://user:password@app.example/",
        "https://@app.example/",
        "https://app.example\\@evil.example",
        "https://app.example\t.evil.example",
        "https://app.example%2eevil.example",
        "https://app。example/",
        "https://ａpp.example/",
        "https://app.example。evil.example",
        "https://app.example./",
        "https://app.example:8443/",
        "https://app.example:443443/",
        "https://app.example:٤٤٣/",
        "https://app.example:-443/",
        "https://app.example//evil.example",
        "https://app.example/\\evil.example",
        "https://app.example\\evil.example",
        "https://app.example;evil.example",
        "http://app.example/",
        "http://app.example:443/",
        "ftp://app.example/",
        "https://",
        "https://[::1/",
        "https://[::1]/",
        "javascript:alert(1)",
        "javascript://app.example/%0aalert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "blob:https://app.example/x",
        "view-source:https://app.example/",
        "%2F%2Fevil.example",
        "/" + "a" * 2048,
        f"{ORIGIN}/" + "a" * 2048,
        "/" + "é" * 1000,
        "/" * 1_000_000,
    ],
)
def test_everything_else_becomes_the_base_url(url: object) -> None:
    assert go(url) == BASE


def test_the_longest_target() -> None:
    path = "/" + "a" * (2048 - len(ORIGIN) - 1)
    assert go(path) == ORIGIN + path
    assert go(path + "a") == BASE


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://[::1]:3000", "http://127.0.0.1"])
def test_local_origins(origin: str) -> None:
    assert go("/x", origin) == f"{origin}/x"
    assert go(f"{origin}/x", origin) == f"{origin}/x"
    assert go(origin.upper(), origin) == origin
    assert go(f"{origin}0/x", origin) == BASE


def test_an_origin_that_is_none_lets_no_absolute_url_through() -> None:
    assert go("https://app.example/x", "app.example") == BASE
