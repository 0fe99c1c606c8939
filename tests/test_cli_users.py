"""`sojourn users password`, `disable` and `enable`: who knew the old password is out, and stays out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sojourn import Auth, SessionPolicy
from sojourn.cli.users import add_user
from sojourn.models import Account, User
from sojourn.providers import Credentials
from sojourn.stores import open_database
from tests.command_line import SECRETS, Result, Run, refused, runner
from tests.support import SESSION, Browser, body_of

OLD = "correct horse battery"
NEW = "another horse, also correct"


class Site:
    """A database with Ada, the server's configuration, and the commands on it."""

    def __init__(self, run: Run, folder: Path, strategy: str) -> None:
        self.url = f"sqlite:///{folder}/sojourn.db"
        self.strategy = strategy
        self.config = folder / "sojourn.toml"
        self.config.write_text(
            f'base_url = "http://127.0.0.1:8000"\ndatabase = "{self.url}"\n[session]\nstrategy = "{strategy}"\n'
        )
        self._run = run
        self.ada = asyncio.run(add_user(self.url, "ada", "ada@example.org", OLD))

    def run(self, *arguments: str, stdin: str = "") -> Result:
        return self._run("users", *arguments, "--config", str(self.config), stdin=stdin.encode())

    async def process(self) -> Auth[Any]:
        """A server that starts now."""
        policy = SessionPolicy(strategy=self.strategy)
        auth = Auth(
            secrets=SECRETS,
            base_url="http://127.0.0.1:8000",
            database=self.url,
            session=policy,
            providers=[Credentials()],
        )
        await auth.start()
        return auth

    def cookie(self) -> str:
        """Ada signs in on a server."""

        async def sign_in() -> str:
            auth = await self.process()
            browser = Browser(auth)
            assert (await browser.sign_in("ada", OLD)).status == 200
            await auth.aclose()
            return browser.jar[SESSION]

        return asyncio.run(sign_in())

    def is_in(self, cookie: str) -> bool:
        """Whether a server that starts now lets this cookie in."""

        async def ask() -> bool:
            auth = await self.process()
            browser = Browser(auth)
            browser.jar[SESSION] = cookie
            session: object = await browser.session()
            await auth.aclose()
            return session != {}

        return asyncio.run(ask())

    def can_sign_in(self, password: str) -> bool:
        async def ask() -> bool:
            auth = await self.process()
            answer = await Browser(auth).sign_in("ada", password)
            await auth.aclose()
            return answer.status == 200 and "error" not in body_of(answer)["url"]

        return asyncio.run(ask())


@pytest.fixture(params=["jwt", "database"])
def site(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Site:
    return Site(runner(monkeypatch, capsys), tmp_path, request.param)


def test_a_new_password_ends_every_session(site: Site) -> None:
    cookies = [site.cookie(), site.cookie()]
    assert [site.is_in(cookie) for cookie in cookies] == [True, True]
    result = site.run("password", "ada", "--password-stdin", stdin=f"{NEW}\n")
    assert (result.code, result.out) == (0, "ada has a new password. 2 sessions ended.\n")
    assert [site.is_in(cookie) for cookie in cookies] == [False, False]
    assert not site.can_sign_in(OLD)
    assert site.can_sign_in(NEW)


def test_who_is_disabled_is_out_until_enabled(site: Site) -> None:
    cookie = site.cookie()
    result = site.run("disable", "Ada@Example.org")
    assert (result.code, result.out) == (0, "ada is disabled. 1 session ended.\n")
    assert not site.is_in(cookie)
    assert not site.can_sign_in(OLD)
    assert site.run("disable", site.ada.id, "--json").lines == [{"id": site.ada.id, "ended": 0}]
    assert site.run("enable", "ada").out == "ada may sign in.\n"
    assert site.can_sign_in(OLD)
    assert not site.is_in(cookie)
    assert site.run("enable", "ada", "--json").lines == [{"id": site.ada.id, "enabled": True}]


def test_json_says_how_many_ended(site: Site) -> None:
    site.cookie()
    result = site.run("password", "ada", "--password-stdin", "--json", stdin=f"{NEW}\n")
    assert result.lines == [{"id": site.ada.id, "ended": 1}]


@pytest.mark.parametrize("command", ["password", "disable", "enable"])
def test_somebody_unknown(site: Site, command: str) -> None:
    more = ("--password-stdin",) if command == "password" else ()
    for name in ("grace", "", "\x1b[31m"):
        refused(site.run(command, name, *more, stdin=NEW), "NAME", "is unknown")


def test_a_password_that_cannot_be_used_changes_nothing(site: Site) -> None:
    cookie = site.cookie()
    refused(site.run("password", "ada", "--password-stdin", stdin="short\n"), "password", "5 characters")
    refused(site.run("password", "ada", "--password-stdin", stdin="x" * 1025), "password")
    refused(site.run("password", "ada", stdin=NEW), "--password-stdin")
    assert site.is_in(cookie)
    assert site.can_sign_in(OLD)


def test_somebody_who_comes_through_a_provider_gets_no_password(site: Site) -> None:
    async def add() -> None:
        stores = open_database(site.url)
        await stores.start()
        await stores.users.create(
            User(id="lin", email="lin@example.org"), Account(provider="op", provider_account_id="1")
        )
        await stores.aclose()

    asyncio.run(add())
    result = site.run("password", "lin@example.org", "--password-stdin", stdin=NEW)
    refused(result, "NAME", "without a username")
    assert site.run("disable", "lin").out == "lin@example.org is disabled. 0 sessions ended.\n"


def test_a_database_that_ends_with_the_command_has_nobody(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace(site.url, "memory:"))
    for arguments in (("password", "ada", "--password-stdin"), ("disable", "ada"), ("enable", "ada")):
        refused(site.run(*arguments, stdin=NEW), "database", "ends with this command")


def test_a_database_that_is_down_is_one_line(site: Site) -> None:
    url = "postgresql://ada:hunter2@127.0.0.1:9/app"
    site.config.write_text(site.config.read_text().replace(site.url, url))
    for arguments in (("password", "ada", "--password-stdin"), ("disable", "ada"), ("enable", "ada")):
        result = site.run(*arguments, stdin=NEW)
        refused(result, "unavailable")
        assert "hunter2" not in result.err
