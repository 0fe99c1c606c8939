"""The command line as a person has it: arguments and standard input in, an exit code and two texts out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sojourn import cli

SECRETS = ["the newest secret of the command line", "an older secret of the command line"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands in this process, with the secrets in the environment and nothing else."""
    for name in ("SOJOURN_SECRET", "NEXTAUTH_SECRET", "AUTH_SECRET", "SOJOURN_URL", "NEXTAUTH_URL", "AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOJOURN_SECRETS", json.dumps(SECRETS))

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["sojourn", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run


def refused(result: Result, *words: str) -> None:
    """One line on standard error with these words, exit code 2, and nothing else."""
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
