"""The main job with PostgreSQL behind it: in, seen, out; and what ended stays ended."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sojourn import TokenError
from sojourn.cli import main
from sojourn.cli.users import add_user
from sojourn.providers import Credentials
from sojourn.testing import DrivenClock
from tests.servers.postgres import own_server
from tests.support import SESSION, Browser, make_auth


async def rows(url: str, statement: str) -> list[dict[str, Any]]:
    connection: Any = await asyncpg.connect(url)
    found = [dict(row) for row in await connection.fetch(statement)]
    await connection.close()
    return found


async def test_sign_in_twice_sign_out_and_restart(url: str) -> None:
    clock = DrivenClock()
    auth = make_auth(clock, database=url)
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in()
    (user,) = await rows(url, "SELECT * FROM users")
    assert user["email"] == "ada@example.com"
    first = browser.jar.pop(SESSION)

    clock.advance("1h")
    await browser.sign_in()
    (again,) = await rows(url, "SELECT * FROM users")
    assert again["id"] == user["id"] == auth.verify(browser.jar[SESSION]).user_id
    assert again["last_login_at"] == user["last_login_at"] + 3600
    assert len(await rows(url, "SELECT * FROM accounts")) == 1

    copied = browser.jar[SESSION]
    await browser.post("/signout")
    assert [row["kind"] for row in await rows(url, "SELECT kind FROM revocations")] == ["session"]
    await auth.aclose()

    restarted = make_auth(clock, database=url)
    await restarted.start()
    with pytest.raises(TokenError) as refused:
        restarted.verify(copied)
    assert refused.value.step == "ended"
    thief = Browser(restarted)
    thief.jar[SESSION] = copied
    assert await thief.session() == {}
    assert restarted.verify(first).user_id == user["id"]
    await restarted.aclose()


async def test_a_user_of_the_table_signs_in(url: str) -> None:
    await add_user(url, "ada", "ada@example.org", "correct horse")
    auth = make_auth(database=url, providers=[Credentials()])
    await auth.start()
    browser = Browser(auth)
    await browser.sign_in(password="wrong")
    assert SESSION not in browser.jar
    await browser.sign_in(password="correct horse")
    assert (await browser.session())["user"]["email"] == "ada@example.org"
    await auth.aclose()


async def test_while_it_is_down_those_who_are_in_stay_in_and_nobody_new_is_half_in() -> None:
    clock = DrivenClock()
    with own_server() as server:
        url = server.url("postgres")
        auth = make_auth(clock, database=url)
        await auth.start()
        browser, other = Browser(auth), Browser(auth)
        await browser.sign_in()
        await asyncio.to_thread(server.kill)
        assert (await browser.session())["user"]["email"] == "ada@example.com"
        answer = await browser.post("/signout")
        assert answer.status == 503
        assert SESSION in browser.jar
        await other.sign_in("grace")
        assert SESSION not in other.jar
        await asyncio.to_thread(server.start)
        assert await rows(url, "SELECT email FROM users") == [{"email": "ada@example.com"}]
        await other.sign_in("grace")
        assert SESSION in other.jar
        assert (await browser.post("/signout")).status == 200
        await auth.aclose()


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sojourn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_the_commands_work_with_it_and_never_show_its_url(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOJOURN_SECRET", "cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g")
    config = tmp_path / "sojourn.toml"
    config.write_text(f'base_url = "http://127.0.0.1:8000"\ndatabase = "{empty_url}"\n')
    chosen = ("--config", str(config))
    said = [
        command(capsys, monkeypatch, "db", "upgrade", *chosen),
        command(capsys, monkeypatch, "db", "upgrade", "--json", *chosen),
    ]
    assert json.loads(said[1][1]) == {"database": "postgresql", "ok": True, "upgraded_from": None}
    said.append(command(capsys, monkeypatch, "doctor", *chosen))
    assert "ok   database: postgresql, answers" in said[-1][1]
    assert [code for code, _, _ in said] == [0, 0, 0]
    config.write_text('base_url = "http://127.0.0.1:8000"\ndatabase = "postgresql://ada:s3cret@127.0.0.1:1/x"\n')
    said.append(command(capsys, monkeypatch, "doctor", *chosen))
    assert "MEND database: database is unavailable" in said[-1][1]
    said.append(command(capsys, monkeypatch, "db", "upgrade", *chosen))
    assert [code for code, _, _ in said[3:]] == [1, 2]
    assert said[-1][2].count("\n") == 1
    for _, out, error in said:
        assert "://ada" not in out + error
        assert "://postgres" not in out + error
        assert "s3cret" not in out + error
