"""What readers of JSON disagree on is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.tokens.strict_json import read_object

REFUSED = {
    "nothing": b"",
    "array": b"[]",
    "number": b"1",
    "null": b"null",
    "twice": b'{"a":1,"a":2}',
    "twice by escape": b'{"a":1,"\\u0061":2}',
    "twice inside": b'{"a":[{"b":1,"b":1}]}',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "bad UTF-8": b'{"a":"\xff"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "half a pair": b'{"a":"\\ud83d"}',
    "half a pair in a name": b'{"\\udc00":1}',
    "half a pair deep": b'{"a":[["\\udc00"]]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "too large": b'{"a":1e309}',
    "long integer": b'{"a":' + b"9" * 5000 + b"}",
    "65 bits and more": b'{"a":100000000000000000000}',
    "depth bomb": b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}",
    "object bomb": b'{"a":' * 9000 + b"1" + b"}" * 9000,
    "33 levels": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "single quotes": b"{'a':1}",
    "trailing comma": b'{"a":1,}',
    "more after it": b'{"a":1}{}',
    "control character": b'{"a":"\n"}',
    "unclosed": b'{"a":"',
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the reasons are several libraries'
        read_object(data)


def test_brackets_in_texts_are_no_levels() -> None:
    assert read_object(json.dumps({"a": '[{"\\' * 40}).encode()) == {"a": '[{"\\' * 40}


def test_32_levels_and_a_whole_pair_pass() -> None:
    assert read_object(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}")
    assert read_object(b' {"a" : "\\ud83d\\ude00"}\n') == {"a": "\U0001f600"}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values))
def test_honest_objects_are_read(value: dict[str, object]) -> None:
    assert read_object(json.dumps(value).encode()) == value
    assert read_object(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\u0019aeEn.-+ \n'), max_size=40).map(str.encode))
def test_nothing_but_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(read_object(data), dict)
