"""The pins: exact, hashed, complete, and silent about where anything comes from."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PYTHON_LOCKS = sorted((ROOT / "locks").glob("*.txt"))
NPM_LOCK = ROOT / "tests" / "js" / "package-lock.json"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

ADDRESS = re.compile(
    r"://|^\s*-(?:i|f|-index|-extra|-find|-trusted)|\bfile:|@ |\.(?:org|com|net|io|dev)\b", re.MULTILINE
)


def pins(lock: Path) -> dict[str, Version]:
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def group(name: str) -> Iterator[Requirement]:
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, dict):
            yield from group(entry["include-group"])
        else:
            yield Requirement(entry)


def project_requirements() -> Iterator[Requirement]:
    texts = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        texts += extra
    yield from (found for found in map(Requirement, texts) if found.name != "sojourn")


WANTED = {
    "dev": lambda: [*project_requirements(), *group("dev")],
    "all": lambda: [*project_requirements(), *group("dev"), *group("heavy")],
    "bench": lambda: [*project_requirements(), *group("build"), *group("bench")],
    "docs": lambda: [*group("docs")],
    "uv": lambda: [*group("uv")],
}


def test_there_is_one_lock_for_each_environment() -> None:
    assert {lock.stem for lock in PYTHON_LOCKS} == set(WANTED)


@pytest.mark.parametrize("lock", [*PYTHON_LOCKS, NPM_LOCK], ids=lambda lock: lock.name)
def test_no_lock_names_a_host(lock: Path) -> None:
    text = lock.read_text()
    if lock.suffix == ".json":
        text = text.replace('"@', '"')  # a scope, as in "@auth/core"
    assert ADDRESS.findall(text) == []


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda lock: lock.stem)
def test_every_python_pin_is_exact_and_hashed(lock: Path) -> None:
    logical = lock.read_text().replace("\\\n", " ").splitlines()
    assert logical
    assert [line for line in logical if "==" not in line or "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_is_pinned_at_a_version_that_fits(lock: Path) -> None:
    have = pins(lock)
    missing = [
        str(wanted)
        for wanted in WANTED[lock.stem]()
        if (pinned := have.get(canonicalize_name(wanted.name))) is None or pinned not in wanted.specifier
    ]
    assert missing == [], "run ./dev lock"


@pytest.mark.parametrize("name", ["all", "bench"])
def test_what_two_locks_share_they_pin_alike(name: str) -> None:
    one, other = pins(ROOT / "locks" / "dev.txt"), pins(ROOT / "locks" / f"{name}.txt")
    shared = one.keys() & other.keys()
    assert shared
    assert {package: one[package] for package in shared} == {package: other[package] for package in shared}


def test_every_npm_package_is_exact_and_hashed() -> None:
    packages: dict[str, dict[str, Any]] = json.loads(NPM_LOCK.read_text())["packages"]
    root = packages.pop("")
    assert (
        root["devDependencies"] == json.loads((ROOT / "tests" / "js" / "package.json").read_text())["devDependencies"]
    )
    assert [name for name, version in root["devDependencies"].items() if not version[:1].isdigit()] == []
    assert [name for name, package in packages.items() if "integrity" not in package or "resolved" in package] == []
