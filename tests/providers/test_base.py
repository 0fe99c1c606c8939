from __future__ import annotations

import subprocess
import sys

import pytest
from joserfc.jwk import ECKey

from sojourn.errors import ConfigError
from sojourn.models import Profile
from sojourn.providers import OIDC, Credentials, OAuth, openid_profile

OP = {"id": "op", "issuer": "https://op.example", "client_id": "me", "client_secret": "secret"}
PLAIN = {
    "id": "plain",
    "authorize_url": "https://plain.example/authorize",
    "token_url": "https://plain.example/token",
    "userinfo_url": "https://plain.example/me",
    "profile": openid_profile,
    "client_id": "me",
    "client_secret": "secret",
}
KEY = ECKey.generate_key("P-256")


def test_defaults() -> None:
    op = OIDC(id="op", issuer="https://op.example", client_id="me", client_secret="secret")
    assert (op.type, op.name, op.scope, op.trust_email) == ("oidc", "op", "openid profile email", False)
    assert (op.token_endpoint_auth_method, op.id_token_signed_response_alg) == ("client_secret_basic", "RS256")
    assert (Credentials().id, Credentials().name, Credentials().fields) == (
        "credentials",
        "Credentials",
        ("username", "password"),
    )
    assert OAuth(**PLAIN).type == "oauth"  # type: ignore[arg-type]
    assert OAuth(**PLAIN, name="Plain", scope="a b", issuer="https://plain.example").name == "Plain"  # type: ignore[arg-type]


def test_repr_shows_no_secret() -> None:
    private = KEY.as_pem(private=True).decode()
    op = OIDC(
        id="op",
        issuer="https://op.example",
        client_id="me",
        client_secret="t0psecret",
        private_key=private,
        token_endpoint_auth_method="private_key_jwt",
    )
    assert "t0psecret" not in repr(op)
    assert "PRIVATE" not in repr(op)
    assert len({op, op}) == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": "Op"}, "providers[].id"),
        ({"id": ""}, "providers[].id"),
        ({"id": 5}, "providers[].id"),
        ({"id": "x" * 65}, "providers[].id"),
        ({"name": " "}, "providers.op.name"),
        ({"name": 5}, "providers.op.name"),
        ({"client_id": ""}, "providers.op.client_id"),
        ({"client_id": None}, "providers.op.client_id"),
        ({"client_secret": ""}, "providers.op.client_secret"),
        ({"client_secret": None}, "providers.op.client_secret"),
        ({"trust_email": "yes"}, "providers.op.trust_email"),
        ({"issuer": "http://op.example"}, "providers.op.issuer"),
        ({"issuer": "http://localhost:80@evil.example"}, "providers.op.issuer"),
        ({"issuer": "https://op.example?a"}, "providers.op.issuer"),
        ({"issuer": None}, "providers.op.issuer"),
        ({"scope": "profile"}, "providers.op.scope"),
        ({"scope": "openid  email"}, "providers.op.scope"),
        ({"scope": 'openid "x"'}, "providers.op.scope"),
        ({"scope": ""}, "providers.op.scope"),
        ({"profile": None}, "providers.op.profile"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "providers.op.token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "providers.op.private_key"),
        ({"token_endpoint_auth_method": "private_key_jwt", "private_key": "x"}, "providers.op.private_key"),
        ({"private_key": KEY.as_pem(private=True).decode()}, "providers.op.private_key"),
        ({"id_token_signed_response_alg": "none"}, "providers.op.id_token_signed_response_alg"),
        ({"id_token_signed_response_alg": "HS256"}, "providers.op.client_secret"),
        ({"authorization_params": {"redirect_uri": "x"}}, "providers.op.authorization_params"),
        ({"authorization_params": {"prompt": 1}}, "providers.op.authorization_params"),
        ({"authorization_params": {1: "x"}}, "providers.op.authorization_params"),
    ],
)
def test_openid_setting_that_cannot_work(change: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OIDC(**{**OP, **change})  # type: ignore[arg-type]
    assert caught.value.key == key
    assert caught.value.fix


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"authorize_url": "http://plain.example"}, "providers.plain.authorize_url"),
        ({"token_url": ""}, "providers.plain.token_url"),
        ({"userinfo_url": None}, "providers.plain.userinfo_url"),
        ({"issuer": "plain"}, "providers.plain.issuer"),
        ({"scope": "a,b\u00e9"}, "providers.plain.scope"),
        ({"profile": "id"}, "providers.plain.profile"),
        ({"client_secret": None, "token_endpoint_auth_method": "client_secret_post"}, "providers.plain.client_secret"),
    ],
)
def test_oauth_setting_that_cannot_work(change: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OAuth(**{**PLAIN, **change})  # type: ignore[arg-type]
    assert caught.value.key == key


def test_refusal_shows_no_password_of_a_url() -> None:
    with pytest.raises(ConfigError) as caught:
        OIDC(id="op", issuer="https://ada:hunter2@op.example", client_id="me", client_secret="s")
    assert "hunter2" not in str(caught.value)


def test_public_client_needs_no_secret() -> None:
    assert (
        OIDC(id="op", issuer="http://127.0.0.1:3200", client_id="me", token_endpoint_auth_method="none").client_secret
        is None
    )


def test_credentials_settings() -> None:
    def ask(form: object) -> Profile | None:
        return None

    assert Credentials(authorize=ask, id="staff").id == "staff"
    for change in ({"authorize": "x"}, {"id": "a b"}, {"name": ""}, {"trust_email": 1}):
        with pytest.raises(ConfigError):
            Credentials(**change)


def test_import_is_light() -> None:
    code = (
        "import sys, types; package = types.ModuleType('sojourn'); package.__path__ = [sys.argv[1]]\n"
        "sys.modules['sojourn'] = package\n"
        "import sojourn.providers, sojourn.oauth.client\n"
        "sys.exit(bool({'joserfc', 'httpx2', 'cryptography'} & set(sys.modules)))"
    )
    import sojourn.errors

    folder = str(sojourn.errors.__file__).removesuffix("/errors.py")
    assert subprocess.run([sys.executable, "-c", code, folder], check=False).returncode == 0
