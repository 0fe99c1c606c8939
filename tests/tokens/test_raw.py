"""Tokens by hand: any claims, any secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring
from sojourn.tokens import AuthJSV5, NextAuthV4
from sojourn.tokens.raw import open_token, seal_token

NOW = 1_800_000_000
NAME = "authjs.session-token"


def opened(payload: bytes, now: int = NOW) -> dict[str, Any]:
    return open_token(NextAuthV4(Keyring(["s"])).seal(payload), ["s"], now=now)


def step_of(payload: bytes) -> str:
    with pytest.raises(TokenError) as refused:
        opened(payload)
    return refused.value.step


@pytest.mark.parametrize(
    ("compat", "salt"), [("nextauth-v4", ""), ("nextauth-v4", "next-auth.state"), ("authjs-v5", NAME)]
)
def test_round_trip(compat: str, salt: str) -> None:
    token = seal_token({"sub": "1", "x": [1, None]}, ["new", "old"], compat=compat, salt=salt, now=NOW, max_age=60)
    claims = open_token(token, ["other", "new"], compat=compat, salt=salt, now=NOW)
    assert re.fullmatch("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", claims.pop("jti"))
    assert claims == {"sub": "1", "x": [1, None], "iat": NOW, "exp": NOW + 60}
    with pytest.raises(TokenError, match="key"):
        open_token(token, ["old"], compat=compat, salt=salt, now=NOW)


def sealed(claims: dict[str, Any]) -> str:
    return NextAuthV4(Keyring(["s"])).open(seal_token(claims, ["s"], now=NOW)).decode("utf-8")


def test_written_as_javascript_writes() -> None:
    text = sealed(
        {"exp": 1, "name": 'é"\u2028\x01\b', "f": 2.0, "g": 2.5, "n": {"a": (1.0, True)}, "big": 1e21, "half": "\ud83d"}
    )
    start = (
        '{"exp":1802592000,"name":"é\\"\u2028\\u0001\\b","f":2,"g":2.5,"n":{"a":[1,true]},"big":1e+21,"half":"\\ud83d"'
    )
    assert text.startswith(start)
    assert list(json.loads(text))[-2:] == ["iat", "jti"]
    with pytest.raises(TokenError, match="claims"):
        opened(text.encode())  # half a character is written as JavaScript does, and read by nobody


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x", {1, 2}])
def test_what_json_cannot_say(value: object) -> None:
    with pytest.raises(TokenError, match="claims"):
        sealed({"x": value})


def test_a_loop_in_claims() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TokenError, match="claims"):
        sealed({"x": loop})


@pytest.mark.parametrize(
    ("claims", "step"),
    [
        ('{"exp":1799999986}', None),
        ('{"exp":1799999985}', "expired"),
        ('{"exp":-1}', "expired"),
        ('{"exp":9007199254740992}', None),
        ('{"exp":9007199254740993}', "claims"),
        ('{"exp":1800000100.0}', "claims"),
        ('{"exp":1e10}', "claims"),
        ('{"exp":"1800000100"}', "claims"),
        ('{"exp":true}', "claims"),
        ('{"exp":null}', "claims"),
        ("{}", "claims"),
        ('{"sub":1,"exp":1800000100}', None),
        ('{"exp":1800000100,"nbf":1800000015}', None),
        ('{"exp":1800000100,"nbf":1800000016}', "not_yet_valid"),
        ('{"exp":1800000100,"nbf":null}', "claims"),
        ('{"exp":1800000100,"iat":1800000015}', None),
        ('{"exp":1800000100,"iat":1800000016}', "issued_in_future"),
        ('{"exp":1800000100,"iat":"x"}', "claims"),
        ('{"exp":1799999990,"iat":1799999991}', "lifetime"),
        ('{"exp":1800000100,"exp":1800000100}', "claims"),
        ("[]", "claims"),
        ("", "form"),
    ],
)
def test_times(claims: str, step: str | None) -> None:
    if step is None:
        assert opened(claims.encode()) == json.loads(claims)
    else:
        assert step_of(claims.encode()) == step


def test_the_offset_of_a_clock_is_told() -> None:
    with pytest.raises(TokenError, match="90 s ahead"):
        opened(b'{"exp":1800000100,"iat":1800000090}')
    with pytest.raises(TokenError, match="20 s ago"):
        opened(b'{"exp":1799999980}')


def test_unknown_families() -> None:
    with pytest.raises(ConfigError, match="v6"):
        seal_token({}, ["s"], compat="v6", now=NOW)
    assert AuthJSV5(Keyring(["s"]), salt="").name == "authjs-v5"
