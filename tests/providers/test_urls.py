from __future__ import annotations

import pytest

from sojourn.providers import urls


@pytest.mark.parametrize(
    "url",
    [
        "https://op.example",
        "https://op.example/",
        "https://op.example:8443/realms/a?p=1&x=%20",
        "https://10.0.0.1/x",
        "https://[2001:db8::1]:443/",
        "https://my_idp/x",
        "http://localhost",
        "http://LOCALHOST:3000/a",
        "http://127.0.0.1:3200",
        "http://127.8.9.1/",
        "http://[::1]:3200/",
    ],
)
def test_usable(url: str) -> None:
    assert urls.check(url) is None


@pytest.mark.parametrize(
    "url",
    [
        None,
        1,
        "",
        "op.example",
        "//op.example",
        "ftp://op.example",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https://user@op.example",
        "https://user:pass@op.example/",
        "https://op.example#a",
        "https://op.example/#a",
        "https://op.example\\@evil.example",
        "https://op.example/\n",
        "https://op.example/ a",
        "https://op.example/<b>",
        "https://\u00f6p.example",
        "https://op.example:0/",
        "https://op.example:65536/",
        "https://op.example:x/",
        "https://.op/",
        "http://op.example",
        "http://localhost:80@evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.1/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://[::]/",
        "http://[127.0.0.1.x]/",
        "HTTP://localhost/",
        "https://op.example/" + "x" * 2048,
    ],
)
def test_not_usable(url: object) -> None:
    assert urls.check(url) is not None


def test_query_can_be_forbidden() -> None:
    assert urls.check("https://op.example/?a", query=False) == "it has a query"
    assert urls.check("https://op.example/?a") is None


def test_plainness() -> None:
    assert urls.is_plain("http://localhost/")
    assert not urls.is_plain("https://localhost/")
