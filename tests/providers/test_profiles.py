from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.models import Profile
from sojourn.providers import openid_profile
from sojourn.providers.profiles import account_id, image_url, normalise, text

JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=300) | st.lists(st.text(max_size=2), max_size=2)


def test_standard_claims() -> None:
    raw = {
        "sub": "1",
        "name": "Ada",
        "email": "Ada@Example.com",
        "email_verified": True,
        "picture": "https://a.example/1.png",
        "preferred_username": "ada",
    }
    assert openid_profile(raw) == Profile(
        id="1",
        name="Ada",
        email="ada@example.com",
        image="https://a.example/1.png",
        email_verified=True,
        username="ada",
    )


def test_name_falls_back() -> None:
    assert openid_profile({"sub": "1", "name": "", "nickname": "nick", "preferred_username": "user"}).name == "nick"
    assert openid_profile({"sub": "1", "preferred_username": "user"}).name == "user"
    assert openid_profile({"sub": 1}) == Profile(id="1")


@pytest.mark.parametrize("verified", [False, None, "true", 1, "True"])
def test_only_the_boolean_true_verifies(verified: object) -> None:
    assert not openid_profile({"sub": "1", "email": "a@b.example", "email_verified": verified}).email_verified


@pytest.mark.parametrize("value", [None, "", True, 1.0, [], "x" * 256, "a\nb"])
def test_account_id_refuses(value: object) -> None:
    with pytest.raises(ValueError, match="account id"):
        account_id(value)


def test_text_loses_controls_and_length() -> None:
    assert text(" a\r\nb\x00 ") == "ab"
    assert text("x" * 300) == "x" * 255
    assert text("\n") is None
    assert text(5) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "//a.example",
        "https://[",
        "https://a/\n",
        "https://a/" + "x" * 2048,
    ],
)
def test_image_that_no_page_should_show(value: object) -> None:
    assert image_url(value) is None


def test_normalise_judges_what_a_mapper_made() -> None:
    odd: Any = Profile(id=5, name=["x"], email="NOT AN ADDRESS", image="x", email_verified=True, username=1)  # type: ignore[arg-type]
    assert normalise(odd) == Profile(id="5")
    assert normalise(Profile(id="1", email="A@B.example", email_verified=True)).email_verified
    with pytest.raises(TypeError):
        normalise({"id": "1"})


@given(st.dictionaries(st.sampled_from(["sub", "name", "nickname", "email", "picture", "email_verified"]), JSON))
def test_odd_documents_end_in_a_profile_or_a_value_error(raw: dict[str, Any]) -> None:
    try:
        profile = normalise(openid_profile(raw))
    except ValueError:
        return
    assert 0 < len(profile.id) <= 255
    assert profile.email is None or profile.email.count("@") == 1
