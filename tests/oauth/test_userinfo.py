from __future__ import annotations

import pytest

from sojourn.errors import SignInRefused
from sojourn.oauth import userinfo
from tests.oauth.scripted import answer, oidc


def test_request_sends_a_bearer_token() -> None:
    sent = userinfo.request("https://op.example/me", "at")
    assert sent.headers["Authorization"] == "Bearer at"
    assert sent.form is None
    assert "Bearer" not in repr(sent)


def test_is_wanted_when_the_scope_asked_for_more() -> None:
    assert not userinfo.is_wanted({"email": "a@b.example", "nickname": "a"}, oidc())
    assert userinfo.is_wanted({"name": "a"}, oidc())
    assert userinfo.is_wanted({"email": None}, oidc())
    assert not userinfo.is_wanted({}, oidc(scope="openid"))
    assert not userinfo.is_wanted({"email": "a@b.example"}, oidc(scope="openid email"))


def test_read() -> None:
    assert userinfo.read(answer({"sub": "1"})) == {"sub": "1"}
    assert userinfo.read(answer({"sub": "1"}), subject="1") == {"sub": "1"}


@pytest.mark.parametrize(
    ("document", "status", "step"),
    [
        ({"sub": "2"}, 200, "userinfo.subject"),
        ({}, 200, "userinfo.subject"),
        ([], 200, "userinfo"),
        ({}, 401, "userinfo"),
    ],
)
def test_read_refuses(document: object, status: int, step: str) -> None:
    with pytest.raises(SignInRefused) as caught:
        userinfo.read(answer(document, status), subject="1")
    assert caught.value.step == step
