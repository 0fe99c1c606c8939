"""Every block of the documentation that a reader could copy works."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn import Claims, configfile
from sojourn.cli.app import app
from tests.docs.blocks import PAGES, ROOT, Block, blocks, name_of

ENVIRONMENT = {
    "SOJOURN_SECRET": "kQ3v-Zy8Lr1TnXw6Bp0Jm5Hd9Sc2Fg7AeUiOoYtRlW4",
    "SOJOURN_URL": "https://app.example",
    "CLIENT_ID": "client-id",
    "CLIENT_SECRET": "client-secret-of-the-provider",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader has: a secret, a public URL, the provider's client, a folder to write to."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def python_of(page: Path) -> list[Block]:
    return [block for block in blocks(page, "python") if block.runs]


def holds_tests(page: Path) -> bool:
    return any("def test_" in block.text or "\nclass Test" in block.text for block in python_of(page))


def lines_of(language: str, prefix: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page, language):
            text = block.text.replace("\\\n", " ")
            yield from ((name_of(page), line) for line in text.splitlines() if line.startswith(prefix))


@pytest.mark.parametrize("page", [page for page in PAGES if python_of(page) and not holds_tests(page)], ids=name_of)
async def test_python_blocks_run(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in python_of(page):
        # As many empty lines before it as the page has, so that a traceback names the page's own line.
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await result


@pytest.mark.parametrize("page", [page for page in PAGES if holds_tests(page)], ids=name_of)
def test_tests_in_the_documentation_pass(page: Path, tmp_path: Path) -> None:
    file = tmp_path / "test_page.py"
    file.write_text("\n\n".join(block.text for block in python_of(page)))
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


TOML = [block for page in PAGES for block in blocks(page, "toml") if block.runs]


@pytest.mark.parametrize("block", TOML, ids=lambda block: f"{name_of(block.page)}:{block.line}")
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "sojourn.toml"
    file.write_text(block.text)
    config = configfile.load(file, claims=Claims)
    assert config.secrets


@pytest.mark.parametrize(("page", "line"), list(lines_of("console", "$ ")))
def test_commands_exist(page: str, line: str) -> None:
    for part in line.removeprefix("$ ").split(" | "):
        words = shlex.split(part, comments=True)
        while words and ("=" in words[0] and not words[0].startswith("-")):
            words.pop(0)
        if words and words[0] in ("sojourn", ".venv/bin/sojourn"):
            rest = words[1 : words.index(">")] if ">" in words else words[1:]
            app.parse_args(rest, print_error=False, exit_on_error=False)
        elif words and words[0] == "./dev":
            assert words[1] in ("demo", "test", "lint", "docs", "bench", "setup", "lock"), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_repository_that_pages_name_exist(page: Path) -> None:
    named = re.findall(r"`((?:tests|examples|src|benchmarks)/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_site_leads_to_every_page() -> None:
    navigation = (ROOT / "zensical.toml").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in PAGES[1:]]
    assert [str(page) for page in pages if f'"{page}"' not in navigation] == []


def test_the_readme_is_among_the_pages_that_run() -> None:
    assert python_of(ROOT / "README.md")
