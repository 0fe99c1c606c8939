"""No edit of a token is ever accepted: not one character more, less, other, or spelled otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from sojourn.claims import ClaimsCodec
from sojourn.errors import TokenError
from sojourn.keys import Keyring, SigningKeys
from sojourn.models import Claims, Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.strategies import JWTStrategy
from sojourn.testing import DrivenClock
from sojourn.tokens import AuthJSV5, NextAuthV4, SignedJWT

NOW = 1_800_000_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
KEYS = SigningKeys([key.as_pem(private=True) for key in (ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"))])
PARTIES = {"issuer": "https://a.example", "audience": "https://a.example"}
FORMATS: list[Any] = [
    NextAuthV4(Keyring(["new", "old"])),
    AuthJSV5(Keyring(["new", "old"]), salt="authjs.session-token"),
    SignedJWT("HS256", Keyring(["new", "old"]), **PARTIES),
    SignedJWT("ES256", KEYS, **PARTIES),
    SignedJWT("Ed25519", KEYS, **PARTIES),
]


def make(token_format: Any) -> tuple[JWTStrategy[Claims], list[str]]:
    """A strategy, and tokens of its own whose payloads have every length modulo 3 and 16."""
    strategy: JWTStrategy[Claims] = JWTStrategy(
        token_format=token_format,
        codec=ClaimsCodec(Claims),
        lifetimes=Lifetimes(max_age=600, update_age=60, grace_period=60, absolute_age=6000),
        ended=EndedSessions(),
        clock=DrivenClock(NOW),
        budget=19_000,
    )
    tokens = [strategy.issue(Claims(sub="1", name="x" * size)).token for size in range(16)]
    for token in tokens:
        strategy.verify(token)
    return strategy, tokens


MADE = {token_format.name: make(token_format) for token_format in FORMATS}
every = pytest.mark.parametrize("name", MADE)


def refuse(strategy: JWTStrategy[Claims], token: str) -> None:
    for judge in (strategy.verify, strategy.open):
        with pytest.raises(TokenError) as refused:
            judge(token)
        assert refused.value.code == "session_invalid"


@st.composite
def edits(draw: st.DrawFn, text: str) -> str:
    """One to three small edits."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(text) - 1)))
        character = draw(st.sampled_from(ALPHABET + ".+/= \n\t%\0é\u0662"))
        match draw(st.sampled_from(["replace", "insert", "delete", "double", "cut", "swap", "case", "repeat"])):
            case "replace":
                text = text[:at] + character + text[at + 1 :]
            case "insert":
                text = text[:at] + character + text[at:]
            case "delete":
                text = text[:at] + text[at + 1 :]
            case "double":
                text = text[: at + 1] + text[at:]
            case "cut":
                text = text[:at]
            case "swap":
                text = text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
            case "case":
                text = text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]
            case _:
                text = text + text[at:]
    return text


@every
@given(data=st.data(), number=st.integers(0, 15))
def test_no_edit_is_accepted(name: str, data: st.DataObject, number: int) -> None:
    strategy, tokens = MADE[name]
    edited = data.draw(edits(tokens[number]))
    assume(edited != tokens[number])
    refuse(strategy, edited)


@every
@pytest.mark.parametrize("number", range(16))
def test_no_part_has_a_second_spelling(name: str, number: int) -> None:
    """Every other last character of every part, padding, the other alphabet, spaces."""
    strategy, tokens = MADE[name]
    parts = tokens[number].split(".")
    for at, part in enumerate(parts):
        spellings = {part[:-1] + last for last in ALPHABET} if part else set()
        spellings |= {
            part + "=",
            part + "==",
            part + "A",
            part + "\n",
            " " + part,
            part.replace("-", "+"),
            part.replace("_", "/"),
        }
        for spelling in spellings - {part}:
            refuse(strategy, ".".join([*parts[:at], spelling, *parts[at + 1 :]]))


@every
@given(data=st.data())
def test_parts_of_two_tokens_never_make_a_third(name: str, data: st.DataObject) -> None:
    strategy, tokens = MADE[name]
    first, second = (data.draw(st.sampled_from(tokens)).split(".") for _ in range(2))
    mixed = ".".join(data.draw(st.sampled_from(pair)) for pair in zip(first, second, strict=True))
    assume(mixed not in tokens)
    refuse(strategy, mixed)


@every
@given(text=st.text(max_size=300) | st.lists(st.text(st.sampled_from(ALPHABET), max_size=40), max_size=6).map(".".join))
def test_no_text_of_a_stranger_is_accepted(name: str, text: str) -> None:
    refuse(MADE[name][0], text)


@pytest.mark.parametrize("name", MADE)
def test_no_format_takes_anothers_token(name: str) -> None:
    strategy, _ = MADE[name]
    for other, (_, tokens) in MADE.items():
        if other != name:
            refuse(strategy, tokens[0])
