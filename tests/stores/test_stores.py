"""The database URL chooses the stores, and a wrong one is refused by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.errors import ConfigError
from sojourn.models import User
from sojourn.ports import Revocation
from sojourn.stores import open_database
from sojourn.stores.memory import MemoryUserStore
from sojourn.stores.sql import SQLiteDatabase
from sojourn.testing import DrivenClock


@pytest.mark.parametrize("url", ["memory:", "memory://", "sqlite://", "sqlite:", "sqlite:///:memory:"])
async def test_memory_by_any_name(url: str) -> None:
    stores = open_database(url)
    assert isinstance(stores.users, MemoryUserStore)
    await stores.start()
    await stores.users.create(User(id="1"))
    assert await open_database(url).users.get("1") is None
    await stores.aclose()


async def test_an_absolute_path(tmp_path: Path) -> None:
    stores = open_database(f"sqlite:///{tmp_path}/sojourn.db")
    assert isinstance(stores.connections[0], SQLiteDatabase)
    await stores.start()
    await stores.users.create(User(id="1"))
    await stores.aclose()
    again = open_database(f"sqlite:///{tmp_path}/sojourn.db")
    assert await again.users.get("1") == User(id="1")
    await again.aclose()


async def test_a_relative_path_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stores = open_database("sqlite:///sojourn.db")
    monkeypatch.chdir("/")
    await stores.start()
    await stores.aclose()
    assert (tmp_path / "sojourn.db").exists()


async def test_a_missing_folder_is_refused_at_start(tmp_path: Path) -> None:
    stores = open_database(f"sqlite:///{tmp_path}/missing/sojourn.db")
    with pytest.raises(ConfigError) as refused:
        await stores.start()
    assert refused.value.key == "database"
    await stores.aclose()


@pytest.mark.parametrize("kind", ["memory:", "sqlite"])
async def test_the_stores_forget_by_the_clock_they_are_given(tmp_path: Path, kind: str) -> None:
    clock = DrivenClock(1000)
    stores = open_database(f"sqlite:///{tmp_path}/sojourn.db" if kind == "sqlite" else kind, clock=clock)
    assert await stores.once.spend("a", 1900)
    await stores.revocations.append(Revocation(kind="session", subject="s", at=1000, forget_after=1900))
    assert not await stores.once.spend("a", 1900)
    clock.set(1901)
    assert await stores.once.spend("a", 2800)
    await stores.aclose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+pg8000://ada:s3cret@db.example/app", "another driver than asyncpg and psycopg"),
        ("postgresql:s3cret", "without a host"),
        ("postgresql://", "without a host"),
        ("mysql://ada:s3cret@db.example/app", "unknown kind 'mysql'"),
        ("sqlite+aiosqlite:///s3cret.db", "unknown kind 'sqlite+aiosqlite'"),
        ("sqlite:///", "without a path"),
        ("sqlite:///s3cret.db?mode=ro", "with parameters"),
        ("s3cret.db", "not a database URL"),
        ("", "not a database URL"),
    ],
)
def test_what_cannot_be_opened_is_refused_without_repeating_it(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        open_database(url)
    assert refused.value.key == "database"
    assert "s3cret" not in str(refused.value)


def test_without_sqlalchemy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sojourn.stores.sql")
    monkeypatch.delitem(sys.modules, "sojourn.stores.schema")
    monkeypatch.delitem(sys.modules, "sojourn.stores.sqlite_thread")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError, match=r"sojourn\[sql\]"):
        open_database("sqlite:///sojourn.db")


def test_only_those_who_open_sqlite_pay_for_sqlalchemy() -> None:
    script = (
        "import sys; import sojourn.stores; sojourn.stores.open_database('memory:');"
        "assert not {'sqlalchemy', 'sqlite3', 'sojourn.stores.sql'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})
