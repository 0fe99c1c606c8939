"""A whole session in the tables of an Auth.js adapter, begun on either side."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sojourn import Auth, Callbacks, ClaimsChange, ConfigError, SessionPolicy, TokenError
from sojourn.events import Event, SessionRefused, UserCreated
from sojourn.testing import DrivenClock
from tests.command_line import runner
from tests.stores import authjs_ddl
from tests.support import SESSION, Browser, MyClaims, body_of, make_auth


class Shared:
    """An application that shares its tables, and the other side's way into them."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self.sql = connection
        self.clock = DrivenClock()
        self.events: list[Event] = []
        self.auth = self.process()

    def process(self, **settings: Any) -> Auth[MyClaims]:
        defaults = {
            "database": self.url,
            "compat_tables": True,
            "session": SessionPolicy(strategy="database", max_age="30d", update_age="1d", absolute_age="30d"),
        }
        return make_auth(self.clock, self.events, **(defaults | settings))

    async def theirs(self, user_id: Any, seconds: int = 30 * 86400) -> str:
        """A session that Next.js makes for this user; its token."""
        token = str(uuid.uuid4())
        insert = 'INSERT INTO sessions ("userId", expires, "sessionToken") VALUES ($1, to_timestamp($2), $3)'
        await self.sql.execute(insert, user_id, self.clock() + seconds, token)
        return token


@pytest.fixture(params=["postgresql", "postgresql+psycopg"])
async def shared(empty_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Shared]:
    await authjs_ddl.run(empty_url, authjs_ddl.LAYOUTS["serial"])
    connection = await asyncpg.connect(empty_url)
    shared = Shared(empty_url.replace("postgresql", request.param, 1), connection)
    await shared.auth.start()
    yield shared
    await shared.auth.aclose()
    await connection.close()


async def test_a_session_that_begins_here(shared: Shared) -> None:
    browser = Browser(shared.auth)
    assert (await browser.sign_in()).status == 200
    (user,) = await shared.sql.fetch("SELECT * FROM users")
    assert (user["name"], user["email"]) == ("Ada", "ada@example.com")
    (session,) = await shared.sql.fetch("SELECT * FROM sessions")
    token = browser.jar[SESSION]
    assert (session["userId"], session["sessionToken"]) == (user["id"], token)
    assert session["expires"].timestamp() == shared.clock() + 30 * 86400
    loaded = await browser.load()
    assert (loaded.session.user_id, loaded.session.claims.name) == (str(user["id"]), "Ada")
    assert token not in loaded.session.sid
    assert loaded.session.sid not in token
    shared.clock.advance("1d")
    assert (await browser.load()).session.expires_at == shared.clock() + 30 * 86400
    expires = await shared.sql.fetchval("SELECT expires FROM sessions")
    assert expires.timestamp() == shared.clock() + 30 * 86400
    assert (await browser.load()).cookies == ()
    await browser.post("/signout")
    assert await shared.sql.fetch("SELECT * FROM sessions") == []
    browser.jar[SESSION] = token
    assert await browser.session() == {}
    await browser.sign_in()
    assert len([event for event in shared.events if isinstance(event, UserCreated)]) == 1


async def test_a_session_that_begins_there(shared: Shared) -> None:
    user_id = await shared.sql.fetchval(
        "INSERT INTO users (name, email, image) VALUES ('Grace', $1, 'https://img.example/g') RETURNING id",
        "grace@example.com",
    )
    browser = Browser(shared.auth)
    browser.jar[SESSION] = token = await shared.theirs(user_id)
    assert (await browser.session())["user"] == {
        "name": "Grace",
        "email": "grace@example.com",
        "image": "https://img.example/g",
    }
    loaded = await browser.load()
    assert (await loaded.session.user()).name == "Grace"
    assert (await shared.auth.find(token)).user_id == str(user_id)
    await shared.sql.execute("UPDATE users SET name = 'Admiral'")
    assert (await browser.session())["user"]["name"] == "Admiral"
    await shared.sql.execute('DELETE FROM sessions WHERE "sessionToken" = $1', token)  # signed out there
    assert await browser.session() == {}
    assert SESSION not in browser.jar


async def test_expired_and_made_up_tokens_open_nothing(shared: Shared) -> None:
    user_id = await shared.sql.fetchval("INSERT INTO users (name) VALUES ('Grace') RETURNING id")
    browser = Browser(shared.auth)
    for token in (await shared.theirs(user_id, -86400), str(uuid.uuid4()), "x" * 300, "\x00", "' OR 1=1 --"):
        with pytest.raises(TokenError):
            await shared.auth.find(token)
        browser.jar[SESSION] = token
        assert await browser.session() == {}
    assert {event.step for event in shared.events if isinstance(event, SessionRefused)} >= {
        "expired",
        "unknown",
        "form",
    }


async def test_an_update_extends_and_shows_what_the_application_says(shared: Shared) -> None:
    def fill(claims: MyClaims, change: ClaimsChange) -> MyClaims:
        return claims.replace(username="set by the application") if change.trigger == "update" else claims

    auth = shared.process(callbacks=Callbacks(claims=fill))
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in()
    shared.clock.advance("1h")
    answer = await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {}})
    assert body_of(answer)["user"]["name"] == "Ada"
    expires = await shared.sql.fetchval("SELECT expires FROM sessions")
    assert expires.timestamp() == shared.clock() + 30 * 86400
    await auth.aclose()


async def test_users_can_be_shared_with_sessions_in_tokens(shared: Shared) -> None:
    auth = shared.process(session=SessionPolicy())
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in()
    assert (await browser.session())["user"]["name"] == "Ada"
    assert await shared.sql.fetchval("SELECT count(*) FROM users") == 1
    assert await shared.sql.fetch("SELECT * FROM sessions") == []
    await auth.aclose()


@pytest.mark.parametrize("database", ["memory:", "sqlite:///x.db", "postgresql+other://h/d"])
def test_other_databases_are_refused(database: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_auth(database=database, compat_tables=True)
    assert refused.value.key == "compat_tables"
    assert "h/d" not in str(refused.value)


def test_db_upgrade_makes_ours_beside_theirs(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(authjs_ddl.run(empty_url, authjs_ddl.LAYOUTS["serial"]))
    config = tmp_path / "sojourn.toml"
    config.write_text(f'base_url = "http://127.0.0.1:8000"\ndatabase = "{empty_url}"\ncompat_tables = true\n')
    run = runner(monkeypatch, capsys)
    for _ in range(2):
        answer = run("db", "upgrade", "--config", str(config), "--json")
        assert answer.lines == [{"database": "postgresql", "ok": True, "upgraded_from": None}]

    async def ours() -> set[str]:
        connection = await asyncpg.connect(empty_url)
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'sojourn'::regnamespace")
        await connection.close()
        return {row[0] for row in rows}

    assert {"spent", "limits", "revocations"} <= asyncio.run(ours())
