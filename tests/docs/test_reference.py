"""The reference names every setting with its default and every endpoint with its answer, and nothing else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from sojourn import Auth, AuthConfig, Callbacks, Pages, Profile, RateLimit, SessionPolicy, configfile
from sojourn.http import Request
from sojourn.providers import OIDC, Credentials, GitHub, Google, OAuth
from tests.docs.blocks import ROOT

CONFIGURATION = (ROOT / "docs" / "reference" / "configuration.md").read_text()
HTTP = (ROOT / "docs" / "reference" / "http.md").read_text()
SHARED = {"client_id", "client_secret", "trust_email", "authorization_params", "scope"}


def section(heading: str) -> str:
    """The text under a heading of the configuration page, down to the next one."""
    match = re.search(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", CONFIGURATION, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    return match[1]


def rows(heading: str) -> dict[str, str]:
    """Name → default, as the table under a heading says."""
    cells = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in section(heading).splitlines() if line[:3] == "| `")
    return {name.strip("`"): default.strip() for name, default, *_ in cells}


def defaults_of(kind: type[Any]) -> dict[str, object]:
    return {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}


def said(default: object) -> str:
    """How the page writes a default."""
    return "required" if default is inspect.Parameter.empty else f"`{default}`"


def test_every_argument_of_auth_is_documented() -> None:
    given = inspect.signature(Auth).parameters
    documented = rows("Auth")
    assert list(documented) == list(given)
    # Some stand for a value that is only made at start; the page says which.
    made = {
        "secret",
        "base_url",
        "session",
        "claims",
        "callbacks",
        "rate_limit",
        "pages",
        "site_name",
        "clock",
        "compat",
    }
    assert {name: said(given[name].default) for name in given if name not in made} == {
        name: default for name, default in documented.items() if name not in made
    }
    assert documented["compat"] == said(given["compat"].default)


def test_auth_and_its_configuration_take_the_same_arguments() -> None:
    built = set(inspect.signature(AuthConfig.build).parameters) - {"environment"}
    assert set(inspect.signature(Auth).parameters) - {"clock", "transport"} == built


@pytest.mark.parametrize(
    ("heading", "kind"), [("session", SessionPolicy), ("rate_limit", RateLimit), ("pages", Pages)], ids=str
)
def test_every_field_of_a_table_is_documented_with_its_default(heading: str, kind: type[Any]) -> None:
    assert rows(heading) == {name: said(default) for name, default in defaults_of(kind).items()}


def test_every_callback_is_documented() -> None:
    assert list(rows("callbacks")) == list(defaults_of(Callbacks))


@pytest.mark.parametrize(("heading", "kind"), [("oidc", OIDC), ("credentials", Credentials)], ids=str)
def test_every_setting_of_a_provider_is_documented(heading: str, kind: type[Any]) -> None:
    documented, given = rows(heading), inspect.signature(kind).parameters
    assert set(documented) == set(given)
    plain = {name for name in given if isinstance(given[name].default, str | bool | None) and name != "name"}
    assert {name: documented[name] for name in plain} == {name: said(given[name].default) for name in plain}


def test_an_oauth_provider_shares_its_other_settings_with_an_openid_one() -> None:
    own = set(rows("oauth"))
    assert own <= set(inspect.signature(OAuth).parameters)
    assert set(inspect.signature(OAuth).parameters) - own <= set(rows("oidc"))
    assert {"authorize_url", "token_url", "userinfo_url", "profile"} <= own


@pytest.mark.parametrize("provider", [GitHub, Google])
def test_every_setting_of_a_known_provider_is_documented(provider: Any) -> None:
    name = provider.__name__.lower()
    given = inspect.signature(provider).parameters
    assert [setting for setting in given if f"`{setting}`" not in section(name)] == []
    assert {setting: said(given[setting].default) for setting in rows(name) if setting != "sponsor_of"} == {
        setting: default for setting, default in rows(name).items() if setting != "sponsor_of"
    }


def test_every_key_of_a_file_is_an_argument_that_the_page_has() -> None:
    keys = {*configfile._TEXTS, *configfile._SWITCHES, *configfile._LISTS, *configfile._TABLES, "providers"}
    python_only = {
        name for name, text in re.findall(r"^\| `(\w+)` \| .*? \| (Python only)", section("Auth"), re.MULTILINE)
    }
    assert set(rows("Auth")) - python_only == keys


def test_every_kind_of_provider_in_a_file_has_a_section() -> None:
    for kind in configfile._PROVIDERS:
        assert section(kind)


ENDPOINTS = re.findall(r"^\| `([A-Z]+) (/\S+)` \| (\d{3}) \|", HTTP, re.MULTILINE)


@pytest.mark.parametrize(("method", "path", "status"), ENDPOINTS)
async def test_every_endpoint_answers_as_documented(method: str, path: str, status: str, tmp_path: Path) -> None:
    provider = OIDC(id="op", issuer="http://127.0.0.1:1", client_id="client", client_secret="secret")

    def nobody(form: object) -> Profile | None:
        return None

    auth = Auth(
        secret="x",
        base_url="http://127.0.0.1:8000",
        database=f"sqlite:///{tmp_path}/app.db",
        providers=[Credentials(authorize=nobody), provider],
    )
    path, _, query = path.partition("?")
    headers = {"host": "127.0.0.1:8000"}
    answer = await auth.handle(Request(method=method, path=f"/api/auth{path}", query=query, headers=headers))
    await auth.aclose()
    assert answer.status == int(status)
    assert b"not supported" not in answer.body


def test_every_route_is_documented() -> None:
    routes = (ROOT / "src" / "sojourn" / "endpoints.py").read_text()
    actions = set(re.findall(r'case "[A-Z]+"(?: \| "[A-Z]+")*, ("[^:]+?), _', routes))
    named = {name for action in actions for name in re.findall(r'"([a-z_.-]+)"', action)}
    assert len(named) > 8
    assert sorted(name for name in named if f" /{name}" not in HTTP) == []
