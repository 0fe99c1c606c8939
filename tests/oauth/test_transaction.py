from __future__ import annotations

import re

import msgspec
import pytest

from sojourn.errors import SignInRefused
from sojourn.keys import Keyring
from sojourn.oauth import transaction
from sojourn.tokens import NextAuthV4
from tests.oauth.scripted import NOW, Box, oauth, oidc

URL_SAFE_256_BITS = re.compile(r"[A-Za-z0-9_-]{43}")


def refused(value: str | None, *, state: str = "s", provider: str = "op", now: int = NOW) -> str:
    with pytest.raises(SignInRefused) as caught:
        transaction.open(value, Box(), state=state, provider=provider, now=now)
    assert caught.value.code == "OAuthCallback"
    return caught.value.step


def test_begin_makes_secrets_of_256_bits() -> None:
    one, two = transaction.begin(oidc(), "/a", NOW), transaction.begin(oidc(), "/a", NOW)
    secrets = [one.state, one.verifier, str(one.nonce), two.state, two.verifier, str(two.nonce)]
    assert all(URL_SAFE_256_BITS.fullmatch(secret) for secret in secrets)
    assert len(set(secrets)) == 6
    assert one.expires_at == NOW + 900


def test_only_openid_has_a_nonce() -> None:
    assert transaction.begin(oauth(), "/", NOW).nonce is None


def test_repr_shows_no_secret() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    assert not [secret for secret in (begun.state, begun.verifier, str(begun.nonce)) if secret in repr(begun)]


def test_id_is_derived_from_the_state() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    assert begun.id == transaction.id_of(begun.state)
    assert re.fullmatch("[0-9a-f]{16}", begun.id)
    assert transaction.id_of("\udc80")


def test_callback_url_that_fits_no_cookie_is_refused() -> None:
    assert transaction.begin(oidc(), "x" * 2048, NOW).callback_url == "x" * 2048
    with pytest.raises(SignInRefused) as caught:
        transaction.begin(oidc(), "x" * 2049, NOW)
    assert (caught.value.code, caught.value.step) == ("OAuthSignin", "callback_url")


def test_seal_and_open() -> None:
    begun = transaction.begin(oidc(), "/here", NOW)
    value = transaction.seal(begun, Box())
    assert transaction.open(value, Box(), state=begun.state, provider="op", now=NOW + 899) == begun


def test_sealed_for_this_purpose_only() -> None:
    keyring = Keyring(["a secret that is long enough to be used here"])
    seal = NextAuthV4(keyring, salt="sojourn.transaction")
    begun = transaction.begin(oidc(), "/here", NOW)
    value = transaction.seal(begun, seal)
    assert transaction.open(value, seal, state=begun.state, provider="op", now=NOW) == begun
    session = transaction.seal(begun, NextAuthV4(keyring))
    for foreign in (session, value[:-2] + "AA", "x", "\udcff"):
        with pytest.raises(SignInRefused) as caught:
            transaction.open(foreign, seal, state=begun.state, provider="op", now=NOW)
        assert caught.value.step == "transaction_forged"


def test_open_refuses_by_name() -> None:
    begun = transaction.begin(oidc(), "/", NOW)
    value = transaction.seal(begun, Box())
    assert refused(None) == "transaction_missing"
    assert refused("") == "transaction_missing"
    assert refused("forged") == "transaction_forged"
    assert refused(value, state=begun.state, provider="other") == "provider_mismatch"
    assert refused(value, state="other") == "state"
    assert refused(value, state="\udc80") == "state"
    assert refused(value, state=begun.state, now=NOW + 900) == "transaction_expired"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"provider":1}', b"[" * 50_000, msgspec.json.encode({"provider": "op", "state": "s"})]
)
def test_open_refuses_a_payload_of_another_kind(payload: bytes) -> None:
    assert refused(Box().seal(payload)) == "transaction_forged"
