"""Cookies: Set-Cookie text, the tolerant parser, names and prefixes, chunks."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.cookies import (
    Cookie,
    CookieNames,
    clear_session_cookie,
    cookie_names,
    merge,
    parse_cookie_header,
    read_session_cookie,
    session_cookie_from_header,
    write_session_cookie,
)
from sojourn.errors import ClaimsTooLarge, ConfigError

NAMES = cookie_names("nextauth-v4", secure=False)
SECURE = cookie_names("nextauth-v4", secure=True)
S = NAMES.session


# --- Set-Cookie ------------------------------------------------------------------------------------------------------


def test_all_attributes_in_order() -> None:
    cookie = Cookie(
        name="__Secure-a",
        value="v",
        max_age=900,
        expires_at=1700000000,
        domain="example.com",
        path="/app",
        secure=True,
        same_site="Strict",
    )
    assert cookie.header() == (
        "__Secure-a=v; Max-Age=900; Domain=example.com; Path=/app; Expires=Tue, 14 Nov 2023 22:13:20 GMT; "
        "HttpOnly; Secure; SameSite=Strict"
    )


def test_a_cookie_for_scripts_lacks_http_only() -> None:
    assert Cookie(name="a", value="v", http_only=False).header() == "a=v; Path=/; SameSite=Lax"


def test_values_are_percent_encoded_like_javascript() -> None:
    value = "a|b:/c d\r\n;,\"\\é😀-_.!~*'()"
    expected = "a%7Cb%3A%2Fc%20d%0D%0A%3B%2C%22%5C%C3%A9%F0%9F%98%80-_.!~*'()"
    header = Cookie(name="a", value=value).header()
    assert header == f"a={expected}; Path=/; HttpOnly; SameSite=Lax"
    assert parse_cookie_header(f"a={expected}") == {"a": value}


def test_a_lone_surrogate_does_not_raise() -> None:
    assert Cookie(name="a", value="x\ud800").header().startswith("a=x%3F;")


def test_deleting_keeps_the_attributes_and_drops_expires() -> None:
    cookie = Cookie(name=S, value="x", expires_at=1700000000, domain="example.com")
    assert cookie.deleted().header() == f"{S}=; Max-Age=0; Domain=example.com; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a=b"},
        {"name": "a;b"},
        {"name": "né"},
        {"name": "a\n"},
        {"domain": "localhost"},
        {"domain": "example.com; Secure"},
        {"domain": ".example.com"},
        {"path": "app"},
        {"path": "/a;b"},
        {"path": "/a b"},
        {"same_site": "lax"},
        {"same_site": "None"},
        {"name": "__Secure-a"},
        {"name": "__Host-a"},
        {"name": "__Host-a", "secure": True, "domain": "example.com"},
        {"name": "__Host-a", "secure": True, "path": "/app"},
    ],
)
def test_what_a_browser_would_drop_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Cookie(**{"name": "a", "value": "", **attributes})


def test_prefixed_names_pass_when_their_rules_hold() -> None:
    assert (
        Cookie(name="__Host-a", value="", secure=True).header() == "__Host-a=; Path=/; HttpOnly; Secure; SameSite=Lax"
    )
    assert Cookie(name="a", value="", secure=True, same_site="None").header().endswith("Secure; SameSite=None")


def test_one_set_cookie_for_a_name_the_later_wins_in_place() -> None:
    a1, b, a2 = (Cookie(name=name, value=value) for name, value in [("a", "1"), ("b", "2"), ("a", "3")])
    assert merge([a1, b, a2]) == (a2, b)


# --- the Cookie header -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        (" \ta \t=\t 1 ;; ; b = 2", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a=; a=2", {"a": ""}),
        ("a=x=y=", {"a": "x=y="}),
        ("lonely; a=1", {"a": "1"}),
        ("=x; a=1", {"a": "1"}),
        ('a="1"', {"a": "1"}),
        ('a="', {"a": '"'}),
        ('a=""', {"a": ""}),
        ('a="1; b=2"', {"a": '"1', "b": '2"'}),
        ("a=%7C%C3%A9", {"a": "|é"}),
        ("a=%", {"a": "%"}),
        ("a=%zz%41", {"a": "%zz%41"}),
        ("a=%FF%41", {"a": "%FF%41"}),
        ("a=%ED%A0%80", {"a": "%ED%A0%80"}),
        ("a=%00", {"a": "\x00"}),
        ("a=+", {"a": "+"}),
        ("é=1; \x00=2; a={[\\", {"é": "1", "\x00": "2", "a": "{[\\"}),
        ("$Version=1; a=1", {"$Version": "1", "a": "1"}),
        ("__proto__=1", {"__proto__": "1"}),
    ],
)
def test_parsing_is_tolerant(header: str, expected: dict[str, str]) -> None:
    assert parse_cookie_header(header) == expected


def test_only_the_first_500_cookies_are_looked_at() -> None:
    header = "; ".join(f"c{index}=1" for index in range(501)) + "; c0=2"
    cookies = parse_cookie_header(header)
    assert len(cookies) == 500
    assert "c499" in cookies
    assert "c500" not in cookies
    assert session_cookie_from_header(header, "c500") is None


# --- names -----------------------------------------------------------------------------------------------------------


def names_of(names: CookieNames) -> tuple[str, str, str, str]:
    return names.session, names.csrf, names.callback_url, names.transaction


def test_names_of_both_families() -> None:
    assert names_of(NAMES) == (
        "next-auth.session-token",
        "next-auth.csrf-token",
        "next-auth.callback-url",
        "sojourn.transaction",
    )
    assert names_of(cookie_names("authjs-v5", secure=True)) == (
        "__Secure-authjs.session-token",
        "__Host-authjs.csrf-token",
        "__Secure-authjs.callback-url",
        "__Host-sojourn.transaction",
    )
    assert (NAMES.chunk_limit, NAMES.budget, NAMES.secure) == (3933, 19665, False)
    assert (SECURE.secure, cookie_names("authjs-v5", secure=True).chunk_limit) == (True, 3936)


def test_a_shared_domain_takes_host_from_the_csrf_cookie_only() -> None:
    names = cookie_names("nextauth-v4", secure=True, share_with="example.com")
    assert (names.csrf, names.transaction) == ("__Secure-next-auth.csrf-token", "__Host-sojourn.transaction")
    assert cookie_names("nextauth-v4", secure=False, share_with="example.com").csrf == "next-auth.csrf-token"


@pytest.mark.parametrize(
    ("session_name", "secure", "expected"),
    [
        ("sid", False, "sid"),
        ("sid", True, "__Secure-sid"),
        ("__Secure-sid", True, "__Secure-sid"),
        ("__Host-sid", True, "__Host-sid"),
        ("n" * 100, False, "n" * 100),
    ],
)
def test_a_session_name_of_ones_own(session_name: str, secure: bool, expected: str) -> None:
    assert cookie_names("nextauth-v4", secure=secure, session_name=session_name).session == expected


@pytest.mark.parametrize(
    ("compat", "secure", "session_name", "share_with"),
    [
        ("nextauth", False, None, None),
        ("nextauth-v4", False, "__Secure-sid", None),
        ("nextauth-v4", True, "__Host-sid", "example.com"),
        ("nextauth-v4", False, None, "localhost"),
        ("nextauth-v4", False, "", None),
        ("nextauth-v4", False, "a b", None),
        ("nextauth-v4", False, "n" * 101, None),
        ("nextauth-v4", False, "next-auth.csrf-token", None),
        ("nextauth-v4", True, "next-auth.callback-url", None),
        ("nextauth-v4", False, "sojourn.transaction", None),
    ],
)
def test_names_that_cannot_work_are_refused(
    compat: str, secure: bool, session_name: str | None, share_with: str | None
) -> None:
    with pytest.raises(ConfigError):
        cookie_names(compat, secure=secure, session_name=session_name, share_with=share_with)


@pytest.mark.parametrize(
    "found",
    [
        "next-auth.session-token",
        "__Host-next-auth.session-token",
        "authjs.session-token",
        "__Secure-authjs.session-token",
        "__Secure-authjs.session-token.0",
    ],
)
def test_a_session_under_another_name_is_reported_and_never_read(found: str) -> None:
    read = read_session_cookie({found: "token"}, SECURE)
    assert (read.value, read.present, read.refused) == (None, (), "cookie_name")
    assert session_cookie_from_header(f"{found}=token", SECURE.session) is None


def test_a_secure_cookie_on_a_plain_site_is_reported() -> None:
    assert read_session_cookie({"__Secure-next-auth.session-token": "token"}, NAMES).refused == "cookie_name"


def test_a_mistaken_name_beside_the_right_one_is_of_no_interest() -> None:
    read = read_session_cookie({"next-auth.session-token": "weak", SECURE.session: "token"}, SECURE)
    assert (read.value, read.present, read.refused) == ("token", (SECURE.session,), None)


def test_the_usual_names_are_mistaken_ones_where_the_session_has_its_own() -> None:
    names = cookie_names("nextauth-v4", secure=True, session_name="sid")
    assert read_session_cookie({"sid": "x"}, names).refused == "cookie_name"
    assert read_session_cookie({"__Secure-next-auth.session-token": "x"}, names).refused == "cookie_name"


# --- the session cookie, read ----------------------------------------------------------------------------------------


def numbered(count: int) -> dict[str, str]:
    return {f"{S}.{index}": chr(65 + index) for index in range(count)}


@pytest.mark.parametrize(
    ("cookies", "candidates", "present", "refused"),
    [
        pytest.param({}, (), (), None, id="nothing"),
        pytest.param({S: "X"}, ("X",), (S,), None, id="bare"),
        pytest.param({S: ""}, (), (S,), None, id="empty"),
        pytest.param({f"{S}.1": "B", f"{S}.0": "A"}, ("AB",), (f"{S}.1", f"{S}.0"), None, id="chunks in any order"),
        pytest.param({f"{S}.0": "A", S: "X"}, ("X", "A"), (f"{S}.0", S), None, id="both forms"),
        pytest.param({S: "X", f"{S}.1": "B"}, ("X",), (S, f"{S}.1"), None, id="stale chunk"),
        pytest.param({S: "", f"{S}.0": "A", f"{S}.1": "B"}, ("AB",), (S, f"{S}.0", f"{S}.1"), None, id="empty bare"),
        pytest.param({f"{S}.1": "B"}, (), (f"{S}.1",), "chunks", id="first one missing"),
        pytest.param({f"{S}.0": "A", f"{S}.2": "C"}, (), (f"{S}.0", f"{S}.2"), "chunks", id="gap"),
        pytest.param({f"{S}.0": "", f"{S}.1": "B"}, (), (f"{S}.0", f"{S}.1"), "chunks", id="empty chunk"),
        pytest.param(numbered(5), ("ABCDE",), tuple(numbered(5)), None, id="five"),
        pytest.param(numbered(6), (), tuple(numbered(6)), "chunks", id="six"),
        pytest.param({S: "X", **numbered(6)}, ("X",), (S, *numbered(6)), None, id="six beside the bare one"),
    ],
)
def test_the_forms_of_a_session_cookie(
    cookies: dict[str, str], candidates: tuple[str, ...], present: tuple[str, ...], refused: str | None
) -> None:
    read = read_session_cookie(cookies, NAMES)
    assert (read.candidates, read.present, read.refused) == (candidates, present, refused)
    assert read.value == (candidates[0] if candidates else None)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert session_cookie_from_header(header, S) == read.value


@pytest.mark.parametrize(
    "suffix", ["-x", "2", ".old", ".٣", ".00", ".01", ".+1", ".-1", ". 1", ".1.0", ".1_0", ".", ".100"]
)
def test_neighbours_neither_join_nor_break_the_session(suffix: str) -> None:
    neighbour = {f"{S}{suffix}": "evil"}
    assert read_session_cookie(neighbour, NAMES).present == ()
    assert read_session_cookie(neighbour | {S: "X"}, NAMES).candidates == ("X",)
    assert read_session_cookie(neighbour | numbered(2), NAMES).candidates == ("AB",)


def test_the_number_of_chunks_can_be_set() -> None:
    names = cookie_names("nextauth-v4", secure=False, max_chunks=2)
    assert read_session_cookie(numbered(2), names).value == "AB"
    assert read_session_cookie(numbered(3), names).refused == "chunks"
    assert session_cookie_from_header("; ".join(f"{k}={v}" for k, v in numbered(3).items()), S, max_chunks=2) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("a=1", None),
        (f"{S}=X", "X"),
        (f"{S}=X; a=1", "X"),
        (f"a=1; {S}=X", "X"),
        (f"a=1;{S}=X", "X"),
        (f"a=1; {S} = X ;b", "X"),
        (f"a=b {S}=X", None),
        (f"a= {S}=X; {S}=Y", "Y"),
        (f"x{S}=X; {S}=Y", "Y"),
        (f"{S}x=X; {S}=Y", "Y"),
        (f"{S}; {S}=Y", "Y"),
        (f"{S}=; {S}=Y", None),
        (f"{S}=X; {S}=Y", "X"),
        (f'{S}="%58"', "X"),
        (f"{S}.1=B; {S}.0=A", "AB"),
    ],
)
def test_straight_from_the_header(header: str, expected: str | None) -> None:
    assert session_cookie_from_header(header, S) == expected
    assert read_session_cookie(parse_cookie_header(header), NAMES).value == expected


# --- the session cookie, written -------------------------------------------------------------------------------------


def test_one_cookie_with_the_token_s_end() -> None:
    (cookie,) = write_session_cookie("abc", (), SECURE, expires_at=1700000000, same_site="Strict")
    assert cookie.header() == (
        "__Secure-next-auth.session-token=abc; Path=/; Expires=Tue, 14 Nov 2023 22:13:20 GMT; "
        "HttpOnly; Secure; SameSite=Strict"
    )


def test_shrinking_deletes_what_is_no_longer_used() -> None:
    cookies = write_session_cookie("x" * 3934, (f"{S}.2", S, f"{S}.0"), NAMES, expires_at=1, domain="example.com")
    assert [(cookie.name, len(cookie.value), cookie.max_age, cookie.expires_at) for cookie in cookies] == [
        (f"{S}.2", 0, 0, None),
        (S, 0, 0, None),
        (f"{S}.0", 3933, None, 1),
        (f"{S}.1", 1, None, 1),
    ]
    assert {cookie.domain for cookie in cookies} == {"example.com"}


def test_a_full_chunk_fits_into_a_browser_s_4096_bytes() -> None:
    for compat in ("nextauth-v4", "authjs-v5"):
        names = cookie_names(compat, secure=True, session_name="__Secure-" + "n" * 91)
        cookies = write_session_cookie("x" * names.budget, (), names, expires_at=1)
        assert len(cookies) == 5
        assert max(len(cookie.name) + len(cookie.value) for cookie in cookies) <= 4096


def test_more_than_the_budget_is_refused_loudly() -> None:
    with pytest.raises(ClaimsTooLarge) as refused:
        write_session_cookie("x" * 19666, (), NAMES, expires_at=1)
    assert (refused.value.size, refused.value.budget) == (19666, 19665)


def test_clearing_names_only_what_was_there() -> None:
    assert clear_session_cookie((), NAMES) == ()
    assert [cookie.header() for cookie in clear_session_cookie((S, f"{S}.0"), NAMES)] == [
        f"{S}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        f"{S}.0=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
    ]
