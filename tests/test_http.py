"""Bodies and queries: only urlencoded forms and JSON objects carry fields, within limits."""

from __future__ import annotations

import json

import pytest

from sojourn.errors import BadRequest
from sojourn.http import Request, Response, json_response, problem, query_first, query_pairs, read_fields, redirect

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def post(body: bytes, content_type: str | None) -> Request:
    headers = {} if content_type is None else {"content-type": content_type}
    return Request(method="POST", path="/api/auth/signin", headers=headers, body=body)


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", " Application/X-WWW-Form-Urlencoded "])
def test_forms(content_type: str) -> None:
    fields = read_fields(post(b"csrfToken=a%7Cb&name=Ada+L&empty=&bare&x%00=%00", content_type))
    assert fields == {"csrfToken": "a|b", "name": "Ada L", "empty": "", "bare": "", "x\x00": "\x00"}


def test_bytes_of_a_form_that_are_no_text_become_replacement_characters() -> None:
    assert read_fields(post(b"a=%FF\xff&b=%E9", FORM)) == {"a": "\ufffd\ufffd", "b": "\ufffd"}


def test_json_keeps_its_types() -> None:
    body = b'{"csrfToken": 1, "json": true, "n": null, "deep": {"a": ["\\u0000"]}}'
    fields = read_fields(post(body, "application/json; charset=utf-8"))
    assert fields == {"csrfToken": 1, "json": True, "n": None, "deep": {"a": ["\x00"]}}
    assert fields["json"] != "true"


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"[]", b'[{"csrfToken": "x"}]', b'"csrfToken=x"', b"1", b"null", b"true"]
)
def test_json_that_is_no_object_carries_no_fields(body: bytes) -> None:
    assert read_fields(post(body, JSON)) == {}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json-x",
        "text/json",
        "x;application/json",
    ],
)
def test_other_bodies_carry_no_fields(content_type: str | None) -> None:
    assert read_fields(post(b"csrfToken=x", content_type)) == {}
    assert read_fields(post(b'{"csrfToken": "x"}', content_type)) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"csrfToken=x",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 40_000,
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a":' * 100 + b"{}" + b"}" * 100,
        json.dumps({str(index): index for index in range(501)}).encode(),
    ],
)
def test_json_that_cannot_be_read_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_fields(post(body, JSON))
    assert (refused.value.code, refused.value.status) == ("invalid_body", 400)


def test_json_within_the_limits() -> None:
    body = b'{"a":' + b"[" * 99 + b"]" * 99 + b"}"
    assert list(read_fields(post(body, JSON))) == ["a"]
    assert len(read_fields(post(json.dumps({str(index): index for index in range(500)}).encode(), JSON))) == 500


def test_forms_within_the_limits() -> None:
    assert len(read_fields(post("&".join(f"f{index}=" for index in range(500)).encode(), FORM))) == 500
    with pytest.raises(BadRequest) as refused:
        read_fields(post("&".join(f"f{index}=" for index in range(501)).encode(), FORM))
    assert (refused.value.code, refused.value.status) == ("invalid_body", 400)


@pytest.mark.parametrize("content_type", [FORM, JSON, "text/plain", None])
def test_a_body_beyond_256_kb_is_too_large(content_type: str | None) -> None:
    with pytest.raises(BadRequest) as refused:
        read_fields(post(b"a" * (256 * 1024 + 1), content_type))
    assert (refused.value.code, refused.value.status) == ("body_too_large", 413)
    assert read_fields(post(b"a=" + b"a" * (256 * 1024 - 2), FORM))["a"] == "a" * (256 * 1024 - 2)


@pytest.mark.parametrize(
    "name", ["csrfToken", "callbackUrl", "json", "username", "password", "email", "code", "state", "csrf%54oken"]
)
def test_a_field_that_decides_may_come_only_once(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_fields(post(f"{name}=a&x=1&{name}=a".encode(), FORM))
    assert refused.value.code == "invalid_body"


def test_of_other_repeated_fields_the_first_counts() -> None:
    assert read_fields(post(b"colour=red&colour=blue", FORM)) == {"colour": "red"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a&b=&=c&&", [("a", ""), ("b", ""), ("", "c")]),
        ("a=%252F+%2F%zz", [("a", "%2F /%zz")]),
        ("a=%FF", [("a", "\ufffd")]),
        ("a=\ud800", [("a", "?")]),
        ("a=x;b=y", [("a", "x;b=y")]),
    ],
)
def test_query_pairs_decode_once_and_keep_repeats(query: str, expected: list[tuple[str, str]]) -> None:
    assert query_pairs(query) == expected


def test_a_query_is_read_up_to_500_parameters() -> None:
    assert len(query_pairs("&".join("a=1" for _ in range(600)))) == 500


def test_the_first_value_of_a_query_parameter() -> None:
    assert query_first("x=0&error=A&error=B", "error") == "A"
    assert query_first("error", "error") == ""
    assert query_first("x=0", "error") is None


def test_answers() -> None:
    assert redirect("/x").adding(("X", "1")) == Response(status=302, headers=(("Location", "/x"), ("X", "1")))
    assert json_response({"a": 1}, 201).body == b'{"a":1}'
    answer = problem(401, "session_missing", "Sign in", "There is no session.", (("WWW-Authenticate", "Cookie"),))
    assert json.loads(answer.body)["code"] == "session_missing"
    assert ("Content-Type", "application/problem+json") in answer.headers
    assert ("Cache-Control", "private, no-store") in answer.headers
