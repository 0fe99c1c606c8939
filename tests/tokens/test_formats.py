"""One setting, one format."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import OKPKey

from sojourn.errors import ConfigError
from sojourn.keys import Keyring, SigningKeys
from sojourn.tokens import AuthJSV5, NextAuthV4, SignedJWT
from sojourn.tokens.formats import session_format

KEYS = SigningKeys([OKPKey.generate_key("Ed25519").as_pem(private=True)])


def made(kind: Any, compat: str = "nextauth-v4", keys: SigningKeys | None = None) -> Any:
    return session_format(
        kind,
        compat,
        keyring=Keyring(["s"]),
        signing_keys=keys,
        cookie_name="authjs.session-token",
        issuer="https://a.example",
    )


def test_each_kind() -> None:
    assert isinstance(made("jwe"), NextAuthV4)
    assert isinstance(made("jwe", "authjs-v5"), AuthJSV5)
    assert isinstance(made("HS256"), SignedJWT)
    assert made("EdDSA", keys=KEYS).name == "EdDSA"
    for token_format in (made("jwe"), made("jwe", "authjs-v5"), made("HS256"), made("EdDSA", keys=KEYS)):
        assert b'"sub":"1"' in token_format.open(token_format.seal(b'{"sub":"1"}'))


def test_an_asymmetric_kind_without_a_key() -> None:
    with pytest.raises(ConfigError, match="private key"):
        made("ES256")
