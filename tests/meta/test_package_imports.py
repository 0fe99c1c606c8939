"""What `import sojourn` costs and what it pulls in, seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# The extras, and what the core itself imports only where it is used.
EXTRAS = ["asyncpg", "cyclopts", "fastapi", "jinja2", "redis", "rich", "sqlalchemy", "starlette", "uvicorn", "pydantic"]
LATE = ["asyncio", "httpx2", "joserfc", "sqlite3"]
# CPU time, in units of what the two libraries that every check needs cost: a ratio travels between machines.
FLOOR = "cryptography.hazmat.primitives.ciphers.aead, msgspec"
MOST = 2.5


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode is kept, as in any installation; whoever runs the tests may have switched it off."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("statement", ["import sojourn", "import sojourn.providers"])
def test_the_package_imports_no_extra_and_nothing_slow(statement: str) -> None:
    loaded = json.loads(fresh(f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert "sojourn" in loaded
    assert [name for name in [*EXTRAS, *LATE] if name in loaded] == []


def test_who_only_checks_tokens_loads_nothing_of_signing_in() -> None:
    code = """
import json, sys
from sojourn import Auth
auth = Auth(secret="0123456789abcdef0123456789abcdef", base_url="http://localhost:3000")
assert auth.verify(auth.issue({"sub": "ada"})).user_id == "ada"
print(json.dumps(sorted(sys.modules)))
"""
    loaded = json.loads(fresh(code))
    signing_in = ["assembly", "endpoints", "oauth", "pages", "passwords"]
    assert [name for name in signing_in if f"sojourn.{name}" in loaded] == []


def cpu_of_importing(modules: str) -> float:
    code = f"import time; start = time.process_time(); import {modules}; print(time.process_time() - start)"
    return min(float(fresh(code)) for _ in range(6))


def test_the_import_keeps_its_budget() -> None:
    assert cpu_of_importing("sojourn") <= MOST * cpu_of_importing(FLOOR)


def test_public_names_are_sorted_and_exist() -> None:
    import sojourn

    assert sorted(sojourn.__all__) == list(sojourn.__all__)
    assert [name for name in sojourn.__all__ if not hasattr(sojourn, name)] == []
