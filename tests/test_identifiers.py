"""One spelling for every address and username, and ids that carry their time."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.identifiers import normalise_email, normalise_username, uuid7

VECTORS = json.loads((Path(__file__).parent / "vectors" / "vectors.json").read_text())["email_normalise"]

# Where we refuse what NextAuth v4 lets through: what it calls one address is two, unprintable, or no address.
STRICTER = {
    "user@a.com,": "a comma is a second recipient to some mailers",
    "us,er@a.com": "the same",
    "user@exam ple.com": "a blank",
    "user@a.": "no top-level label",
    "a\0@example.com": "a control",
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: repr(vector["input"]))
def test_addresses_are_spelled_as_the_reference_spells_them(vector: dict[str, str | None]) -> None:
    given_text = vector["input"]
    assert given_text is not None
    expected = None if given_text in STRICTER else vector["v4"]
    assert normalise_email(given_text) == expected


def test_every_stricter_case_is_one_that_the_reference_accepts() -> None:
    accepted = {vector["input"] for vector in VECTORS if vector["v4"] is not None}
    assert set(STRICTER) <= accepted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" \tAda@Example.COM\n", "ada@example.com"),
        ("\ufeffada@example.com", "ada@example.com"),
        ("ada+tag@sub.example.com", "ada+tag@sub.example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("ａｄａ@ｅｘａｍｐｌｅ.ｃｏｍ", "ada@example.com"),
        ("e\u0301@example.com", "é@example.com"),
    ],
)
def test_one_mailbox_has_one_spelling(text: str, expected: str) -> None:
    assert normalise_email(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@localhost",
        "ada@@example.com",
        "ada@b@example.com",
        "ada＠b@example.com",
        "ada@.com",
        "ada@example..com",
        "Ada <ada@example.com>",
        "ada@example.com;eve@evil.example",
        "ada@example.com\neve@evil.example",
        "ada@example.com\r\nBcc: eve@evil.example",
        "ada\u200b@example.com",
        "ada\u202e@example.com",
        "ada\ud800@example.com",
        "ada\x85@example.com",
        "a" * 243 + "@example.com",
        "ﷺ" * 20 + "@example.com",
        None,
        7,
        True,
        ["ada@example.com"],
        b"ada@example.com",
    ],
)
def test_what_is_not_one_plain_address_is_refused(text: object) -> None:
    assert normalise_email(text) is None


def test_the_longest_address_is_taken() -> None:
    longest = "a" * 242 + "@example.com"
    assert normalise_email(longest) == longest
    assert normalise_email("a" + longest) is None


@pytest.mark.parametrize("text", ["Ada", " ada ", "ADA", "ａｄａ", "ada\ufeff"])
def test_spellings_of_one_username_are_one(text: str) -> None:
    assert normalise_username(text) == "ada"


def test_folding_goes_beyond_lower_case() -> None:
    assert normalise_username("Straße") == normalise_username("STRASSE") == "strasse"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ada@example.com",
        "ada＠example.com",
        "a b",
        "a\0b",
        "a\u200bb",
        "a\ud800",
        "a" * 256,
        "ﷺ" * 200,
        None,
        7,
    ],
)
def test_what_cannot_be_a_username_is_refused(text: object) -> None:
    assert normalise_username(text) is None


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    name = normalise_username(text)
    assert name is None or normalise_username(name) == name
    address = normalise_email(f"{text}@example.com")
    assert address is None or normalise_email(address) == address


def test_an_id_is_a_version_7_uuid_of_the_given_time() -> None:
    made = uuid.UUID(uuid7(1_700_000_000))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 1_700_000_000_000


def test_ids_differ_and_sort_by_time() -> None:
    ids = [uuid7(1_700_000_000 + number // 100) for number in range(1000)]
    assert len(set(ids)) == 1000
    assert [made[:13] for made in ids] == sorted(made[:13] for made in ids)


def test_every_random_bit_of_an_id_varies() -> None:
    varied = 0
    first = uuid.UUID(uuid7(0)).int
    for _ in range(200):
        varied |= first ^ uuid.UUID(uuid7(0)).int
    assert varied == (1 << 80) - 1 & ~(0xF << 76) & ~(0b11 << 62)
