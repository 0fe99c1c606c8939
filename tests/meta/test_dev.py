"""`./dev` itself: what it says when it cannot go on, and that it passes on what is not its own."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dev() -> Any:
    loader = importlib.machinery.SourceFileLoader("dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_it_can_be_run() -> None:
    assert os.access(ROOT / "dev", os.X_OK)


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--help"], 0), (["nonsense"], 2)])
def test_it_tells_its_commands(arguments: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, ROOT / "dev", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == code
    assert all(
        f"./dev {command}" in done.stdout for command in ("demo", "test", "lint", "docs", "bench", "setup", "lock")
    )


def test_an_interpreter_that_does_not_exist_is_refused_by_name() -> None:
    command = [sys.executable, str(ROOT / "dev"), "setup", "--python", "/nowhere/python9"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "dev: --python /nowhere/python9: not a Python 3.11 or newer\n"


def test_an_older_python_is_told_what_to_do(dev: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
    monkeypatch.setattr(dev.sys, "version_info", (3, 9, 2))
    with pytest.raises(dev.Failed, match=r"needs Python 3\.11 or newer; this is 3\.9\.2"):
        dev.main(["test"])


def test_a_python_without_pip_and_venv_is_told_the_one_line(
    dev: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dev.sys, "executable", "/bin/false")
    with pytest.raises(dev.Failed, match="apt-get install -y python3-venv"):
        dev.find_pip(tmp_path / "pip")


def test_own_options_are_taken_and_the_rest_is_passed_on(dev: Any) -> None:
    arguments = ["-k", "csrf or --all", "--all", "--python=x", "-x"]
    assert dev.take(arguments, "--all") == "--all"
    assert dev.take(arguments, "--all") is None
    assert dev.take(arguments, "--python", value=True) == "x"
    assert arguments == ["-k", "csrf or --all", "-x"]
    with pytest.raises(dev.Failed, match="--python needs a value"):
        dev.take(["--python"], "--python", value=True)


def test_what_fails_half_way_is_not_taken_for_built(dev: Any, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        dev.built_once(tmp_path / "thing", fail)
    assert list(tmp_path.iterdir()) == []
    dev.built_once(tmp_path / "thing", lambda folder: (folder / "whole").touch())
    dev.built_once(tmp_path / "thing", fail)
    assert (tmp_path / "thing" / "whole").exists()


def test_the_index_that_pip_knows_is_told_to_uv(dev: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.invalid/simple")
    monkeypatch.setenv("PIP_CERT", "/certificates.pem")
    env = dev.uv_environment()
    assert env["UV_DEFAULT_INDEX"] == "https://index.invalid/simple"
    assert env["SSL_CERT_FILE"] == "/certificates.pem"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.invalid/simple")
    assert dev.uv_environment()["UV_DEFAULT_INDEX"] == "https://own.invalid/simple"
