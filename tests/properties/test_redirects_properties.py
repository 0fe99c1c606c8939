"""No text sends a browser away from our origin, as a browser's own URL parser sees it."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.policy.redirects import resolve

ORIGIN = "https://app.example"
SPECIAL = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}


def browser_origin(url: str, base: str) -> str:
    """Where the WHATWG URL parser would go from `base`: the few steps that decide the origin, written down anew."""
    url = url.strip("".join(map(chr, range(0x21))))
    url = "".join(character for character in url if character not in "\t\n\r")
    base_scheme, _, base_host = base.partition("://")
    scheme, colon, rest = url.partition(":")
    known = colon and scheme[:1].isalpha() and all(c.isascii() and (c.isalnum() or c in "+-.") for c in scheme)
    scheme = scheme.lower() if known else base_scheme
    if not known:
        rest = url
    if scheme not in SPECIAL:
        return "opaque"
    rest = rest.replace("\\", "/")
    if known and scheme != base_scheme:
        rest = f"//{rest}"
    if not rest.startswith("//"):
        return f"{base_scheme}://{base_host}"
    authority = rest.lstrip("/")
    for end in "/?#":
        authority = authority.partition(end)[0]
    host, _, port = authority.rpartition("@")[2].lower().partition(":")
    for dot in "。．｡":
        host = host.replace(dot, ".")
    port = port.lstrip("0")
    return f"{scheme}://{host}" + (f":{port}" if port and port != SPECIAL[scheme] else "")


def test_the_oracle_itself() -> None:
    for url, origin in {
        "/x": ORIGIN,
        "x": ORIGIN,
        "//evil.example/x": "https://evil.example",
        "/\\evil.example": "https://evil.example",
        "/\t/evil.example": "https://evil.example",
        " \x01https:/\\evil.example": "https://evil.example",
        "https:/evil.example": ORIGIN,
        "///evil.example": "https://evil.example",
        "https:evil.example": ORIGIN,
        "https:\\\\evil.example": "https://evil.example",
        "http:evil.example": "http://evil.example",
        "https://app.example@evil.example:444/": "https://evil.example:444",
        "https://app.example:443/x": ORIGIN,
        "javascript:alert(1)": "opaque",
    }.items():
        assert browser_origin(url, ORIGIN) == origin, url


PIECES = st.sampled_from(
    [
        *"/\\\t\n\r \x00:@?#.%aé。／＼\ud800\u2028\x85",
        *["//", "%2F", "%2f", "%5C", "%09", "%00", "%40", "[::1]", ":443", ":80", "user"],
        *["http", "https", "HTTPS", "https:", "http:", "javascript:", "data:"],
        *["app.example", "evil.example", "https://app.example", "https://evil.example"],
    ]
)
URLS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | URLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(URLS)
@example("/\t/evil.example")
@example("https://app.example\\@evil.example")
@example("https://app.example:443@evil.example")
@example("https:/\\evil.example")
@example("/／evil.example")
def test_the_browser_stays_at_home(url: str) -> None:
    target = resolve(url, base_url=ORIGIN, origin=ORIGIN)
    assert browser_origin(target, ORIGIN) == ORIGIN
    # Seen from another page, and by a client that drops the origin again and goes to the path alone:
    assert browser_origin(target, "http://evil.example") == ORIGIN
    assert browser_origin(target.removeprefix(ORIGIN) or "/", ORIGIN) == ORIGIN
    assert target.isascii()
    assert target.isprintable()


@given(URLS)
def test_a_target_passes_its_own_check(url: str) -> None:
    target = resolve(url, base_url=ORIGIN, origin=ORIGIN)
    assert resolve(target, base_url="lost", origin=ORIGIN) == target


@given(ANYTHING)
def test_no_type_raises(url: Any) -> None:
    assert resolve(url, base_url=ORIGIN, origin=ORIGIN).startswith(ORIGIN)


@given(st.text(alphabet="abcXYZ019-._~!$&'()*+,;=:@%/?#", max_size=60))
def test_harmless_paths_are_what_next_auth_makes_of_them(tail: str) -> None:
    url = "/" + tail.lstrip("/")
    assert resolve(url, base_url=ORIGIN, origin=ORIGIN) == ORIGIN + url
    assert resolve(ORIGIN + url, base_url=ORIGIN, origin=ORIGIN) == ORIGIN + url
