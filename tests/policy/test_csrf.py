"""The double submit, and the browser's own word before it."""

from __future__ import annotations

import hashlib

import pytest

from sojourn.policy.csrf import CSRFPair, read_or_make, refuse

TOKEN = "ab" * 32
FRESH = "cd" * 32
ORIGIN = "https://app.example"


def cookie(token: str, secret: bytes) -> str:
    return f"{token}|{hashlib.sha256(token.encode() + secret).hexdigest()}"


def read(value: str | None, *secrets: bytes, joined: bool = False) -> CSRFPair:
    return read_or_make(value, secrets or (b"s",), lambda: FRESH, joined_hash=joined)


def test_a_pair_of_ours_is_kept() -> None:
    pair = read(cookie(TOKEN, b"s"))
    assert (pair.token, pair.cookie_value, pair.verified_cookie) == (TOKEN, cookie(TOKEN, b"s"), True)


def test_without_a_cookie_there_is_a_new_pair() -> None:
    pair = read(None)
    assert (pair.token, pair.cookie_value, pair.verified_cookie) == (FRESH, cookie(FRESH, b"s"), False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "|",
        TOKEN,
        f"{TOKEN}|",
        f"{TOKEN}|{'0' * 64}",
        cookie(TOKEN, b"other"),
        cookie("", b"s"),
        cookie("not-hex", b"s"),
        cookie(TOKEN.upper(), b"s"),
        cookie(TOKEN, b"s").upper(),
        cookie(TOKEN[:-1], b"s"),
        cookie(TOKEN + "a", b"s"),
        " " + cookie(TOKEN, b"s"),
        cookie(TOKEN, b"s") + "\n",
        cookie("٣" * 64, b"s"),
        f"x|{cookie(TOKEN, b's')}",
    ],
)
def test_anything_else_is_replaced(value: str) -> None:
    pair = read(value)
    assert (pair.token, pair.verified_cookie) == (FRESH, False)


def test_a_pair_of_any_listed_secret_is_good_and_new_ones_use_the_newest() -> None:
    assert read(cookie(TOKEN, b"old"), b"new", b"old").verified_cookie
    assert read(cookie(TOKEN, b"new"), b"new", b"old").verified_cookie
    assert not read(cookie(TOKEN, b"new,old"), b"new", b"old").verified_cookie
    assert read(None, b"new", b"old").cookie_value == cookie(FRESH, b"new")


def test_auth_js_v5_joins_several_secrets() -> None:
    assert read(cookie(TOKEN, b"new,old"), b"new", b"old", joined=True).verified_cookie
    assert read(cookie(TOKEN, b"old"), b"new", b"old", joined=True).verified_cookie
    assert read(cookie(TOKEN, b"new"), b"new", b"old", joined=True).verified_cookie
    assert not read(cookie(TOKEN, b"old,new"), b"new", b"old", joined=True).verified_cookie
    assert read(None, b"new", b"old", joined=True).cookie_value == cookie(FRESH, b"new,old")
    assert read(None, b"only", joined=True).cookie_value == cookie(FRESH, b"only")


def test_the_pair_does_not_show_in_a_log() -> None:
    assert TOKEN not in repr(read(cookie(TOKEN, b"s")))


PAIR = CSRFPair(token=TOKEN, cookie_value=cookie(TOKEN, b"s"), verified_cookie=True)


def test_token_and_cookie_together_pass() -> None:
    assert refuse(PAIR, TOKEN, origin=ORIGIN, headers={}) is None


@pytest.mark.parametrize(
    "body_token",
    [None, "", FRESH, TOKEN.upper(), TOKEN + "0", TOKEN.encode(), [TOKEN], {"a": TOKEN}, 1, True, "é", "\ud800"],
)
def test_another_token_is_refused(body_token: object) -> None:
    assert refuse(PAIR, body_token, origin=ORIGIN, headers={}) == "double_submit"


def test_a_token_without_its_cookie_is_refused() -> None:
    assert refuse(read(None), FRESH, origin=ORIGIN, headers={}) == "double_submit"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ORIGIN},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": ORIGIN},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-site", "origin": ORIGIN},
    ],
)
def test_what_the_browser_says_of_our_own_pages(headers: dict[str, str]) -> None:
    assert refuse(PAIR, TOKEN, origin=ORIGIN, headers=headers) is None
    assert refuse(PAIR, None, origin=ORIGIN, headers=headers) == "double_submit"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "origin": ORIGIN},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-site", "origin": "https://evil.app.example"},
        {"sec-fetch-site": "same-site", "origin": "null"},
        {"sec-fetch-site": "same-origin, cross-site"},
        {"sec-fetch-site": "Same-Origin"},
        {"sec-fetch-site": ""},
    ],
)
def test_what_comes_from_elsewhere_is_refused_before_the_token_is_looked_at(headers: dict[str, str]) -> None:
    assert refuse(PAIR, TOKEN, origin=ORIGIN, headers=headers) == "fetch_metadata"


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://app.example",
        "https://app.example:444",
        "https://app.example/",
        "https://app.example.evil",
        "https://APP.example",
        "https://app.example, https://evil.example",
        "https://evil.example",
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    assert refuse(PAIR, TOKEN, origin=ORIGIN, headers={"origin": origin}) == "origin"
    assert refuse(PAIR, TOKEN, origin=ORIGIN, headers={"origin": origin, "sec-fetch-site": "same-origin"}) == "origin"
