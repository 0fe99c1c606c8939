"""`sojourn sessions`: list, revoke and purge on a real file, and what is refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli.users import add_user
from sojourn.identifiers import session_id
from sojourn.models import User
from sojourn.ports import Revocation, SessionRecord
from sojourn.stores import Stores, open_stores
from tests.command_line import Result, Run, refused, runner
from tests.servers.valkey import own_server

HASH = b"a secret's hash, never to be seen"
NOW = int(time.time())
SIGNED_IN = 1_790_000_000
"""2026-09-21T14:13:20Z"""


class Site:
    """A configuration with stored sessions, its database, and the commands on it."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.redis: str | None = None
        self.url = f"sqlite:///{folder}/sojourn.db"
        self.config = folder / "sojourn.toml"
        self.config.write_text(
            f'base_url = "http://127.0.0.1:8000"\ndatabase = "{self.url}"\n'
            '[session]\nabsolute_age = "3650d"\nstrategy = "database"\n'
        )
        self._run = run

    def run(self, *arguments: str) -> Result:
        return self._run("sessions", *arguments, "--config", str(self.config))

    def answer(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.code == 0, result.err
        return result.lines[0]

    def add_user(self, name: str) -> User:
        return asyncio.run(add_user(self.url, name, f"{name}@example.org", "correct horse"))

    def stores(self) -> Stores:
        return open_stores(self.url, self.redis, sessions_in_redis=self.redis is not None)

    def insert(self, *records: SessionRecord) -> list[str]:
        async def insert() -> None:
            stores = self.stores()
            await stores.start()
            for record in records:
                await stores.sessions.insert(record)
            await stores.aclose()

        asyncio.run(insert())
        return [record.sid for record in records]

    def log(self) -> Sequence[Revocation]:
        async def read() -> Sequence[Revocation]:
            stores = self.stores()
            await stores.start()
            entries = (await stores.revocations.read())[1]
            await stores.aclose()
            return entries

        return asyncio.run(read())

    def left(self, user: User) -> Sequence[str]:
        async def read() -> Sequence[str]:
            stores = self.stores()
            await stores.start()
            records = await stores.sessions.list_for_user(user.id)
            await stores.aclose()
            return [record.sid for record in records]

        return asyncio.run(read())


def record(user: User, signed_in_at: int = SIGNED_IN, **changes: Any) -> SessionRecord:
    fields: dict[str, Any] = {
        "sid": session_id(user.id, signed_in_at),
        "user_id": user.id,
        "secret_hash": HASH,
        "claims": b'{"sub":"not to be seen"}',
        "auth_time": signed_in_at,
        "issued_at": signed_in_at,
        "expires_at": NOW + 3600,
        "forget_after": NOW + 7200,
    }
    return SessionRecord(**(fields | changes))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Site:
    return Site(runner(monkeypatch, capsys), tmp_path)


def test_list_says_of_each_session_what_is_known_newest_first(site: Site) -> None:
    ada, grace = site.add_user("ada"), site.add_user("grace")
    older, newer, _ = site.insert(
        record(ada),
        record(
            ada,
            SIGNED_IN + 60,
            issued_at=SIGNED_IN + 3661,
            expires_at=4_000_000_000,
            forget_after=4_000_001_000,
            provider="github",
            client="192.0.2.7",
            user_agent="Mozilla/5.0 (X11; Linux x86_64)",
        ),
        record(grace),
    )
    answer = site.answer("list", "--user", "ada")
    assert answer["user_id"] == ada.id
    assert [session["sid"] for session in answer["sessions"]] == [newer, older]
    assert answer["sessions"][0] == {
        "sid": newer,
        "signed_in_at": "2026-09-21T14:14:20Z",
        "extended_at": "2026-09-21T15:14:21Z",
        "expires_at": "2096-10-02T07:06:40Z",
        "provider": "github",
        "client": "192.0.2.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    }
    text = site.run("list", "--user", "ada")
    head, first, second = text.out.splitlines()
    assert head.split("  ")[0] == "sid"
    assert first.startswith(f"{newer}  2026-09-21T14:14:20Z  2026-09-21T15:14:21Z  2096-10-02T07:06:40Z  github")
    assert first.endswith("192.0.2.7  Mozilla/5.0 (X11; Linux x86_64)")
    assert second.startswith(older)
    assert first.index("github") == head.index("provider") == second.index("-", 100)
    assert "seen" not in text.out + text.err + json.dumps(answer)


def test_a_user_is_known_by_id_address_and_name(site: Site) -> None:
    ada = site.add_user("ada")
    (sid,) = site.insert(record(ada))
    for name in (ada.id, "Ada@Example.org", "ADA"):
        assert [session["sid"] for session in site.answer("list", "--user", name)["sessions"]] == [sid]
    refused(site.run("list", "--user", "grace"), "--user", "'grace' is unknown")
    refused(site.run("list", "--user", "\x1b[31m"), "--user")
    refused(site.run("list", "--user", ""), "--user")
    refused(site.run("list"), "--user")


def test_nobody_signed_in_is_no_mistake(site: Site) -> None:
    site.add_user("ada")
    assert site.run("list", "--user", "ada").out == "No sessions.\n"
    assert site.answer("list", "--user", "ada")["sessions"] == []
    assert site.run("revoke", "--user", "ada").out == "0 sessions ended.\n"


def test_what_a_browser_called_itself_cannot_steer_the_terminal(site: Site) -> None:
    ada = site.add_user("ada")
    site.insert(record(ada, user_agent="\x1b[2Jnice\u202e try\nroot"))
    out = site.run("list", "--user", "ada").out
    assert out.count("\n") == 2
    assert out.endswith("[2Jnice tryroot\n")


def test_revoke_ends_one_session(site: Site) -> None:
    ada = site.add_user("ada")
    first, second = site.insert(record(ada), record(ada, SIGNED_IN + 1))
    assert site.run("revoke", first).out == "1 session ended.\n"
    assert site.left(ada) == [second]
    assert site.run("revoke", first).out == "0 sessions ended.\n"
    assert site.answer("revoke", second) == {"ended": 1, "sids": [second]}
    assert site.left(ada) == []


def test_revoke_ends_all_of_somebodys_sessions_or_all_but_one(site: Site) -> None:
    ada, grace = site.add_user("ada"), site.add_user("grace")
    first, second, third = site.insert(*(record(ada, SIGNED_IN + n) for n in range(3)))
    (other,) = site.insert(record(grace))
    refused(site.run("revoke", "--user", "ada", "--but", other), "--but", "Nothing was ended")
    assert len(site.left(ada)) == 3
    answer = site.answer("revoke", "--user", "ada", "--but", second)
    assert (answer["ended"], sorted(answer["sids"])) == (2, sorted([first, third]))
    assert site.left(ada) == [second]
    assert site.run("revoke", "--user", "ada@example.org").out == "1 session ended.\n"
    assert (site.left(ada), site.left(grace)) == ([], [other])


def test_revoke_wants_to_know_exactly_what(site: Site) -> None:
    refused(site.run("revoke"), "SID", "nothing")
    refused(site.run("revoke", "0190", "--user", "ada"), "SID", "a session and --user")
    refused(site.run("revoke", "0190", "--but", "0191"), "--but", "without --user")
    refused(site.run("revoke", "--user", "nobody"), "--user")


def test_the_secret_of_a_cookie_is_not_repeated(site: Site) -> None:
    token = f"{session_id('u', NOW)}.abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq"
    for arguments in (("revoke", token), ("revoke", "--user", "ada", "--but", token)):
        result = site.run(*arguments)
        refused(result, "no session's id")
        assert "abcdef" not in result.err


def test_purge_goes_on_until_a_batch_is_short(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = site.add_user("ada")
    assert site.run("purge").out == "0 records purged.\n"
    gone = [record(ada, SIGNED_IN, expires_at=SIGNED_IN + 9, forget_after=SIGNED_IN + 10) for _ in range(7)]
    (living, *_) = site.insert(record(ada), *gone)
    monkeypatch.setattr("sojourn.cli.sessions._AT_ONCE", 3)
    assert site.answer("purge") == {"purged": 7}
    assert site.left(ada) == [living]
    assert site.run("purge").out == "0 records purged.\n"


def test_sessions_in_tokens_are_listed_and_end_in_the_log(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace('"database"\n', '"jwt"\n'))
    ada = site.add_user("ada")
    first, second, third = site.insert(*(record(ada, SIGNED_IN + n) for n in range(3)))
    assert [session["sid"] for session in site.answer("list", "--user", "ada")["sessions"]] == [third, second, first]
    assert site.run("revoke", first).out == "1 session ended.\n"
    assert site.answer("revoke", "--user", "ada", "--but", third) == {"ended": 1, "sids": [second]}
    assert site.left(ada) == [third]
    assert site.run("revoke", "0190").out == "No record names it. If a token does, it is refused from now on.\n"
    assert site.answer("revoke", "--user", "ada") == {"ended": 1, "sids": [third]}
    assert [(entry.kind, entry.subject) for entry in site.log()] == [
        ("session", first),
        ("session", second),
        ("session", "0190"),
        ("user", ada.id),
    ]
    assert site.run("purge").out == "0 records purged.\n"


def test_sessions_in_tokens_that_nothing_lasting_lists(site: Site) -> None:
    text = site.config.read_text().replace('"database"\n', '"jwt"\n')
    site.config.write_text(text.replace(f'database = "{site.url}"\n', ""))
    for arguments in (("list", "--user", "ada"), ("revoke", "0190"), ("revoke", "--user", "ada")):
        refused(site.run(*arguments), "session.strategy", "live in their tokens", "lasting database, or redis")
    assert site.run("purge").out == "Sessions live in their tokens: there is nothing to purge.\n"
    assert site.answer("purge") == {"purged": 0}


def test_a_database_that_ends_with_the_command_has_no_sessions(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace(site.url, "memory:"))
    for arguments in (("list", "--user", "ada"), ("revoke", "0190"), ("purge",)):
        refused(site.run(*arguments), "database", "ends with this command")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with own_server() as server:
        yield server.url


@pytest.fixture(params=["with users", "without a database"])
def in_redis(request: pytest.FixtureRequest, site: Site, redis_url: str) -> Site:
    text = site.config.read_text().replace('"database"\n', '"database"\nstore = "redis"\n')
    if request.param == "without a database":
        text = text.replace(f'database = "{site.url}"\n', "")
    site.config.write_text(f'redis = "{redis_url}"\n{text}')
    site.redis = redis_url
    return site


def test_sessions_in_redis_are_listed_and_ended_there(in_redis: Site) -> None:
    ada = in_redis.add_user("ada")
    first, second = in_redis.insert(record(ada), record(ada, SIGNED_IN + 1))
    listed = in_redis.answer("list", "--user", ada.id)["sessions"]
    assert [session["sid"] for session in listed] == [second, first]
    assert in_redis.run("revoke", first).out == "1 session ended.\n"
    assert in_redis.run("purge").out == "0 records purged. Redis drops expired ones by itself.\n"
    assert in_redis.left(ada) == [second]
    assert in_redis.answer("revoke", "--user", ada.id) == {"ended": 1, "sids": [second]}
    assert in_redis.left(ada) == []


def test_sessions_in_redis_of_somebody_whose_record_is_gone_can_be_ended(site: Site, redis_url: str) -> None:
    text = site.config.read_text().replace('"database"\n', '"database"\nstore = "redis"\n')
    site.config.write_text(f'redis = "{redis_url}"\n{text}')
    site.redis = redis_url
    gone = User(id="github|gone")
    site.insert(record(gone))
    assert site.run("revoke", "--user", "github|gone").out == "1 session ended.\n"
    refused(site.run("revoke", "--user", "github|gone"), "--user", "unknown")


def test_a_redis_that_is_down_is_one_line(site: Site) -> None:
    text = site.config.read_text().replace('"database"\n', '"database"\nstore = "redis"\n')
    site.config.write_text(f'redis = "redis://:hunter2@127.0.0.1:9/0"\n{text}')
    for arguments in (("list", "--user", "ada"), ("revoke", "0190"), ("purge",)):
        result = site.run(*arguments)
        refused(result, "unavailable")
        assert "hunter2" not in result.err


def test_a_database_that_is_down_is_one_line(site: Site) -> None:
    url = "postgresql://ada:hunter2@127.0.0.1:9/app"
    site.config.write_text(site.config.read_text().replace(site.url, url))
    for arguments in (("list", "--user", "ada"), ("revoke", "0190"), ("purge",)):
        result = site.run(*arguments)
        refused(result, "unavailable")
        assert "hunter2" not in result.err
