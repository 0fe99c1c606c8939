from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sojourn.errors import ConfigError
from sojourn.models import Profile
from sojourn.providers import GitHub, Google


def test_google() -> None:
    google = Google(client_id="me", client_secret="s", authorization_params={"access_type": "offline"})
    assert (google.id, google.type, google.issuer) == ("google", "oidc", "https://accounts.google.com")
    assert google.scope == "openid email profile"
    assert google.authorization_params == {"access_type": "offline"}


def test_github() -> None:
    github = GitHub(client_id="me", client_secret="s")
    assert (github.id, github.type, github.name) == ("github", "oauth", "GitHub")
    assert github.issuer == "https://github.com/login/oauth"
    assert github.authorize_url == "https://github.com/login/oauth/authorize"
    assert github.token_url == "https://github.com/login/oauth/access_token"
    assert github.userinfo_url == "https://api.github.com/user"
    assert github.scope == "read:user user:email"
    assert [enrichment.name for enrichment in github.enrich] == ["emails"]
    assert github.enrich[0].request("t", {}).url == "https://api.github.com/user/emails"


def test_github_enterprise() -> None:
    github = GitHub(client_id="me", client_secret="s", base_url="https://ghe.example/", sponsor_of="ada")
    assert github.issuer == "https://ghe.example/login/oauth"
    assert github.userinfo_url == "https://ghe.example/api/v3/user"
    assert [enrichment.request("t", {}).url for enrichment in github.enrich] == [
        "https://ghe.example/api/v3/user/emails",
        "https://ghe.example/api/graphql",
    ]


def test_github_asks_for_addresses_only_with_the_scope() -> None:
    assert not GitHub(client_id="me", client_secret="s", scope="read:user").enrich
    assert GitHub(client_id="me", client_secret="s", scope="user").enrich


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"base_url": "http://ghe.example"}, "providers.github.base_url"),
        ({"base_url": "https://ghe.example/?a"}, "providers.github.base_url"),
        ({"sponsor_of": "not a login"}, "providers.github.sponsor_of"),
        ({"sponsor_of": ""}, "providers.github.sponsor_of"),
        ({"client_secret": ""}, "providers.github.client_secret"),
    ],
)
def test_github_settings_that_cannot_work(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GitHub(**{"client_id": "me", "client_secret": "s", **change})
    assert caught.value.key == key


def test_github_profile() -> None:
    profile = GitHub(client_id="me", client_secret="s").profile
    assert profile({"id": 1, "login": "ada", "name": "Ada", "email": "A@b.example"}) == Profile(
        id="1", name="Ada", email="a@b.example", username="ada"
    )


@pytest.mark.parametrize(
    ("shown", "entries", "found"),
    [
        (None, [("a@b.example", False, True), ("P@b.example", True, True)], ("P@b.example", True)),
        ("A@b.example", [("a@b.example", False, False), ("p@b.example", True, True)], ("a@b.example", False)),
        ("gone@b.example", [("p@b.example", True, "yes")], ("p@b.example", False)),
        (None, [("a@b.example", False, True)], None),
        (None, [("no address", True, True)], None),
    ],
)
def test_github_addresses(
    shown: str | None, entries: list[tuple[str, bool, Any]], found: tuple[str, bool] | None
) -> None:
    emails = GitHub(client_id="me", client_secret="s").enrich[0]
    document = [{"email": email, "primary": primary, "verified": verified} for email, primary, verified in entries]
    members = emails.read(document, {"email": shown})
    assert members == ({} if found is None else {"email": found[0], "email_verified": found[1]})


def test_github_sponsorship_question() -> None:
    sponsorship = GitHub(client_id="me", client_secret="s", sponsor_of="ada").enrich[1]
    sent = sponsorship.request("gho_1", {})
    assert (sent.method, sent.url) == ("POST", "https://api.github.com/graphql")
    question = msgspec.json.decode(sent.body or b"")
    assert question["variables"] == {"login": "ada"}
    assert "viewerIsSponsoring" in question["query"]
    assert "gho_1" not in repr(sent)
    assert sponsorship.claims == {"is_sponsor": "isSponsor"}
    for sponsoring in (True, False):
        assert sponsorship.read({"data": {"repositoryOwner": {"viewerIsSponsoring": sponsoring}}}, {}) == {
            "isSponsor": sponsoring
        }
    assert sponsorship.read({"data": {"repositoryOwner": {"viewerIsSponsoring": None}}}, {}) == {}
