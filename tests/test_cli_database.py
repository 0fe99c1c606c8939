"""`sojourn db` on the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import Run, refused, runner
from tests.stores import tables_of_version_1


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sojourn.db"


@pytest.fixture
def config(tmp_path: Path, file: Path) -> Path:
    path = tmp_path / "sojourn.toml"
    path.write_text(f'base_url = "http://127.0.0.1:8000"\ndatabase = "sqlite:///{file}"\n')
    return path


def test_db_upgrade_makes_the_tables_and_may_run_again(run: Run, config: Path, file: Path) -> None:
    assert run("db", "upgrade", "--config", str(config)).out == f"sqlite:///{file} is up to date.\n"
    assert file.exists()
    assert run("db", "upgrade", "--config", str(config), "--json").lines == [
        {"database": f"sqlite:///{file}", "ok": True, "upgraded_from": None}
    ]


def test_db_upgrade_brings_older_tables_that_other_commands_refuse(run: Run, config: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(tables_of_version_1.SQLITE)
    add = ("users", "add", "ada", "--email", "ada@example.org", "--password-stdin", "--config", str(config))
    refused(run(*add, stdin=b"correct horse"), "database", "schema version 1", "Run `sojourn db upgrade`")
    assert "brought from schema version 1" in run("db", "upgrade", "--config", str(config)).out
    assert run(*add, stdin=b"correct horse").code == 0


def test_db_upgrade_says_in_json_what_was_there(run: Run, config: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(tables_of_version_1.SQLITE)
    (answer,) = run("db", "upgrade", "--config", str(config), "--json").lines
    assert (answer["ok"], answer["upgraded_from"]) == (True, 1)


def test_db_upgrade_leaves_the_tables_of_a_newer_version_alone(run: Run, config: Path, file: Path) -> None:
    run("db", "upgrade", "--config", str(config))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE sojourn_schema SET version = 99")
        connection.commit()
    refused(run("db", "upgrade", "--config", str(config)), "database", "schema version 99", "newer")
    result = run("db", "upgrade", "--config", str(config), "--json")
    assert result.code == 2
    assert json.loads(result.err)["error"]["key"] == "database"
