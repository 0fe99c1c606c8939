"""NextAuth's default redirect callback, and where we send the browser instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.policy.redirects import resolve

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
BASE = "http://localhost:3000"

# Where NextAuth throws, we answer with the base URL; beyond that, url -> what we give and why.
DIFFERENT = {
    "//evil.example/x": (BASE, "a path with two slashes names a host to whoever drops the origin again"),
    "/\\evil.example": (BASE, "browsers take a backslash for a slash"),
    "http:/localhost:3000/x": (BASE, "only the strict form of an absolute URL counts"),
    "HTTP://LOCALHOST:3000/x": (f"{BASE}/x", "scheme and host are spelled our way"),
}


@pytest.mark.parametrize("vector", VECTORS["redirect_callback"], ids=lambda vector: repr(vector["url"]))
def test_default_redirect_callback(vector: dict[str, Any]) -> None:
    assert vector["base_url"] == BASE
    theirs = vector["default_redirect_callback"]
    expected = theirs if isinstance(theirs, str) else BASE
    if vector["url"] in DIFFERENT:
        assert DIFFERENT[vector["url"]][0] != theirs
        expected = DIFFERENT[vector["url"]][0]
    assert resolve(vector["url"], base_url=BASE, origin=BASE) == expected
