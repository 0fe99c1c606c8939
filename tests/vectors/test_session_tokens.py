"""Session tokens made with the libraries that next-auth calls: key derivation, and our verdict on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.claims import ClaimsCodec
from sojourn.errors import TokenError
from sojourn.keys import Keyring
from sojourn.models import Claims, Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.strategies import JWTStrategy
from sojourn.testing import DrivenClock
from sojourn.tokens import NextAuthV4
from sojourn.tokens.raw import open_token

FILE = Path(__file__).with_name("jose-vectors") / "session-tokens.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
NOW: int = VECTORS["now"]
tokens = pytest.mark.parametrize("vector", VECTORS["tokens"], ids=lambda vector: f"{vector['id']} {vector['name']}")


@pytest.mark.parametrize("vector", VECTORS["kdf"])
def test_key_derivation(vector: dict[str, Any]) -> None:
    keyring = Keyring([vector["secret"]])
    derived = keyring.derive(info=vector["info"], salt=vector["salt"], length=vector["length"])
    assert derived[0].hex() == vector["key_hex"]


@tokens
def test_opened_by_hand(vector: dict[str, Any]) -> None:
    if vector["ours"] == "accept":
        claims = open_token(vector["token"], [vector["secret"]], salt=vector["salt"], now=NOW)
        assert claims == vector["payload"]
    else:
        with pytest.raises(TokenError):
            open_token(vector["token"], [vector["secret"]], salt=vector["salt"], now=NOW)


@tokens
def test_verified_as_a_session(vector: dict[str, Any]) -> None:
    strategy: JWTStrategy[Claims] = JWTStrategy(
        token_format=NextAuthV4(Keyring([vector["secret"]]), salt=vector["salt"]),
        codec=ClaimsCodec(Claims),
        lifetimes=Lifetimes(max_age=43_200, update_age=3600, grace_period=900, absolute_age=2_592_000),
        ended=EndedSessions(),
        clock=DrivenClock(NOW),
        budget=19_000,
    )
    if vector["ours"] == "accept":
        session = strategy.verify(vector["token"])
        assert session.user_id == vector["payload"]["sub"]
        assert session.expires_at == vector["payload"]["exp"]
    else:
        with pytest.raises(TokenError):
            strategy.verify(vector["token"])
