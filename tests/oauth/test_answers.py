from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import SignInRefused
from sojourn.oauth import answers
from tests.oauth.scripted import answer


@given(st.binary(max_size=64))
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    try:
        answers.json_value(body)
    except ValueError:
        return


def test_nesting_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        answers.json_value(b"[" * 100_000)


@pytest.mark.parametrize(("body", "status"), [(b"{}", 404), (b"<", 200), (b"[]", 200), (b"null", 200)])
def test_json_object_refuses(body: bytes, status: int) -> None:
    with pytest.raises(SignInRefused) as caught:
        answers.json_object(answer(body, status), "userinfo")
    assert caught.value.step == "userinfo"


def test_numbers_are_not_booleans() -> None:
    assert [answers.number(value) for value in (1, 1.5, True, "1", None)] == [1, 1.5, None, None, None]


def test_same_takes_any_text() -> None:
    assert answers.same("a\u00e9", "a\u00e9")
    assert not answers.same("a", "\udcff")


def test_error_code_has_no_markup() -> None:
    assert answers.error_code("invalid_grant") == "invalid_grant"
    for odd in ("<b>", "", "a b", None, ["x"], "x" * 65):
        assert "plain name" in answers.error_code(odd)
