"""Cookies under arbitrary headers: chunks round-trip, nothing raises, both readers agree."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from sojourn.cookies import (
    Cookie,
    cookie_names,
    merge,
    parse_cookie_header,
    read_session_cookie,
    session_cookie_from_header,
    write_session_cookie,
)

NAMES = cookie_names("nextauth-v4", secure=False)
S = NAMES.session
TOKENS = st.text(alphabet="abcXYZ019-_.", min_size=1, max_size=40)
PIECES = st.sampled_from([*'=; \t,"%\x00é\ud800aA.٣', "; ", "%41", "%zz", "%FF", ".0", ".1", S, f"{S}="])
HEADERS = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60)
SUFFIXES = st.sampled_from(["", ".0", ".1", ".2", ".3", ".7", ".01", ".x", "-other"])


def as_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


@given(
    length=st.integers(1, NAMES.budget),
    before=st.dictionaries(SUFFIXES.map(lambda suffix: S + suffix), TOKENS, max_size=6),
    secure=st.booleans(),
    compat=st.sampled_from(["nextauth-v4", "authjs-v5"]),
)
def test_what_is_written_is_read_again_whatever_was_there_before(
    length: int, before: dict[str, str], secure: bool, compat: str
) -> None:
    names = cookie_names(compat, secure=secure)
    browser = {name.replace(S, names.session): value for name, value in before.items()}
    neighbours = {name: value for name, value in browser.items() if name.endswith((".01", ".x", "-other"))}
    value = ("0123456789abcdef" * 1300)[:length]
    present = read_session_cookie(browser, names).present
    written = write_session_cookie(value, present, names, expires_at=1)
    assert merge(written) == written
    for cookie in written:
        browser.pop(cookie.name, None)
        if cookie.max_age != 0:
            browser[cookie.name] = cookie.value
    found = read_session_cookie(browser, names)
    assert found.candidates == (value,)
    assert session_cookie_from_header(as_header(browser), names.session) == value
    assert neighbours.items() <= browser.items()


@given(HEADERS)
def test_no_header_raises_and_both_readers_agree(header: str) -> None:
    full = read_session_cookie(parse_cookie_header(header), NAMES)
    assert session_cookie_from_header(header, S) == full.value
    assert full.value is None or full.refused is None
    write_session_cookie("abc", full.present, NAMES, expires_at=1)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_value_survives_the_header(value: str) -> None:
    text = Cookie(name="a", value=value).header()
    pair = text.partition("; ")[0]
    assert pair.isascii()
    assert not set(pair[2:]) & set(' ";,\\\r\n')
    assert parse_cookie_header(f"x=1; {pair}; a=other")["a"] == value


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_malformed_neighbour_costs_nobody_the_session(left: str, right: str) -> None:
    header = f"{left.replace(';', '').replace('=', '')}; {S}=token; {right}"
    assert read_session_cookie(parse_cookie_header(header), NAMES).value == "token"


def test_parsing_is_linear() -> None:
    def seconds(piece: str, count: int) -> float:
        header = piece * count
        started = time.process_time()
        parse_cookie_header(header)
        session_cookie_from_header(header, S)
        return time.process_time() - started

    for piece in ["a=b;", ";", "=", "%", '"', " ", "\\", f"{S} ", f"{S}.0;", f"{S}", "%41", "a=%;"]:
        assert min(seconds(piece, 100_000) for _ in range(3)) < 0.5, piece
