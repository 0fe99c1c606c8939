"""Which one format the session tokens of an application have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sojourn.errors import ConfigError
from sojourn.keys import Keyring, SigningKeys
from sojourn.tokens.sealed import AuthJSV5, NextAuthV4
from sojourn.tokens.signed import SignedJWT

if TYPE_CHECKING:
    from sojourn.tokens import TokenFormat

__all__ = ["session_format"]


def session_format(
    kind: Literal["jwe", "HS256", "EdDSA", "Ed25519", "ES256", "RS256"],
    compat: str,
    *,
    keyring: Keyring,
    signing_keys: SigningKeys | None,
    cookie_name: str,
    issuer: str,
) -> TokenFormat:
    """The receiver and maker of session tokens; everything else is refused by its header.

    Signed tokens are issued by and for `issuer`, the application's origin. Raises `ConfigError` for an asymmetric
    algorithm without a signing key.
    """
    match kind:
        case "jwe" if compat == "nextauth-v4":
            return NextAuthV4(keyring)
        case "jwe":
            return AuthJSV5(keyring, salt=cookie_name)
        case "HS256":
            return SignedJWT(kind, keyring, issuer=issuer, audience=issuer)
        case _:
            if signing_keys is None:
                raise ConfigError("signing_keys", "nothing", f"{kind} signs with a private key: give PEM or JWK texts.")
            return SignedJWT(kind, signing_keys, issuer=issuer, audience=issuer)
