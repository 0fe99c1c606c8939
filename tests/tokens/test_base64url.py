"""One value has one text, with the fast decoder and without it."""

from __future__ import annotations

import base64
import builtins
import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.tokens import base64url

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def without_pybase64() -> ModuleType:
    """The module as it is where pybase64 is not installed."""
    spec = importlib.util.find_spec("sojourn.tokens.base64url")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    real_import = builtins.__import__

    def no_pybase64(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "pybase64":
            raise ImportError(name)
        return real_import(name, *arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "pybase64", raising=False)
        patch.setattr(builtins, "__import__", no_pybase64)
        spec.loader.exec_module(module)
    return module


SLOW = without_pybase64()
both = pytest.mark.parametrize("module", [base64url, SLOW], ids=["installed", "binascii"])


def canonical(text: str) -> bytes | None:
    """What the standard library makes of the text, if that is the text of it."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text else None


def test_the_two_are_different_functions() -> None:
    assert SLOW.decode_aligned is not base64url.decode_aligned
    assert base64url.decode_aligned.__module__.startswith("pybase64")
    assert SLOW.decode_aligned.__module__ == SLOW.__name__


@both
@given(data=st.binary(max_size=70))
def test_round_trip(module: ModuleType, data: bytes) -> None:
    text = module.encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert module.decode(text) == data


@both
@given(text=st.text(st.sampled_from(ALPHABET + "+/= .\n\té\0"), max_size=12))
def test_only_canonical_texts_decode(module: ModuleType, text: str) -> None:
    try:
        decoded: bytes | None = module.decode(text)
    except ValueError:
        decoded = None
    assert decoded == canonical(text)


@both
@pytest.mark.parametrize(
    "text", ["QQ==", "QQ=", "QR", "QUJ", "A", "AA+A", "AA/A", "AA A", "AAA\n", "QUJD=", "\u00e9AAA"]
)
def test_second_spellings_are_refused(module: ModuleType, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- three libraries' own texts
        module.decode(text)
