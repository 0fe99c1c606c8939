"""Set-Cookie texts and chunks of both npm packages."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sojourn.cookies import Cookie, CookieNames, cookie_names, read_session_cookie, write_session_cookie

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))

# What the packages assemble from a request -> (our candidates, the names we delete, why). Suffixes, not whole names.
DIFFERENT: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "BXA": (("X", "AB"), (".1", "", ".0"), "a bare cookie and chunks are two forms, not one text"),
    "XAB": (("X", "AB"), ("", ".0", ".1"), "a bare cookie and chunks are two forms, not one text"),
    "B": ((), (".0", ".1"), "an empty first chunk is a missing one"),
    "FA": (("A",), (".0",), "`.foo` is not ours: neither read nor deleted"),
    "ABCK": ((), (".10", ".2", ".1", ".0"), "chunks 3 to 9 are missing"),
    "ZX": (("X",), ("",), "`-other` is another application's cookie"),
}


def names_of(vector: dict[str, Any]) -> CookieNames:
    return cookie_names({"v4": "nextauth-v4", "v5": "authjs-v5"}[vector["version"]], secure=False)


WRITTEN = [vector for vector in VECTORS["chunking"] if "set_cookies" in vector]
READ = [vector for vector in VECTORS["chunking"] if "read_cookies_in_order" in vector]


def test_every_vector_is_used() -> None:
    assert len(WRITTEN) + len(READ) == len(VECTORS["chunking"])


@pytest.mark.parametrize("vector", WRITTEN)
def test_written_chunks(vector: dict[str, Any]) -> None:
    names = names_of(vector)
    value = ("abcdefg" * 2000)[: vector["value_length"]]
    present = read_session_cookie(vector["request_cookies"], names).present
    cookies = write_session_cookie(value, present, names, expires_at=1700000000)
    assert [
        {"name": cookie.name, "value_length": len(cookie.value), "deleted": cookie.max_age == 0} for cookie in cookies
    ] == vector["set_cookies"]
    sent = {cookie.name: cookie.value for cookie in cookies if cookie.max_age != 0}
    assert read_session_cookie(sent, names).value == (value or None)


@pytest.mark.parametrize("vector", READ)
def test_read_chunks(vector: dict[str, Any]) -> None:
    names = names_of(vector)
    found = read_session_cookie(dict(vector["read_cookies_in_order"]), names)
    theirs = vector["assembled"]
    if theirs in DIFFERENT:
        candidates, suffixes, _ = DIFFERENT[theirs]
        assert candidates != (theirs,)
        assert found.candidates == candidates
        assert found.present == tuple(f"{names.session}{suffix}" for suffix in suffixes)
    else:
        assert found.candidates == ((theirs,) if theirs else ())
        assert list(found.present) == vector["cleaned"]


@pytest.mark.parametrize("vector", VECTORS["set_cookie"])
def test_set_cookie_text(vector: dict[str, Any]) -> None:
    options = vector["options"]
    expires = options.get("expires")
    cookie = Cookie(
        name=vector["name"],
        value=vector["value"],
        max_age=options.get("maxAge"),
        expires_at=int(datetime.fromisoformat(expires).timestamp()) if expires else None,
        domain=options.get("domain"),
        path=options["path"],
        http_only=options["httpOnly"],
        secure=options["secure"],
        same_site=options["sameSite"].capitalize(),
    )
    assert cookie.header() == vector["header"]
