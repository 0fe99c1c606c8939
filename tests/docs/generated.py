"""The parts of the documentation that are made from the code, between `<!-- generated: NAME -->` and its end.

`python -m tests.docs.generated` writes them; a test compares.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, get_args, get_origin
from unittest.mock import patch

import msgspec

import sojourn
from sojourn import configfile, events, passwords, ports, providers, testing
from sojourn.adapters import asgi, fastapi, starlette
from sojourn.cli.app import app
from sojourn.events import Event
from sojourn.pages import texts
from sojourn.policy import lifecycle
from sojourn.refusals import COMMON_ERRORS, Explanation, explain, public, sessions, sign_in
from tests.docs.blocks import PAGES, ROOT
from tests.docs.statements import statements_of_postgres, statements_of_sqlite

__all__ = ["PARTS", "parts_of", "written"]

_PART = re.compile(r"<!-- generated: ([A-Za-z0-9_./ -]+) -->\n.*?<!-- end of generated -->", re.DOTALL)
_CODES: Final = (
    "session_missing",
    "session_invalid",
    "session_expired",
    "session_ended",
    "rate_limited",
    "unavailable",
)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(*heads: str, rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join([_row(*heads), _row(*("---" for _ in heads)), *(_row(*row) for row in rows)])


def _mermaid() -> str:
    return f"```mermaid\n{lifecycle.mermaid()}```"


def _lifecycle() -> str:
    names = lifecycle.STATES
    rows = [
        (names[row.state], row.event, row.guard or "always", row.effect, names[row.next_state])
        for row in lifecycle.TABLE
    ]
    return _table("State", "When", "If", "Then", "Next", rows=rows)


def _steps(steps: Mapping[str, Explanation]) -> str:
    return _table("Step", "Cause", "Fix", rows=[(f"`{step}`", text.cause, text.fix) for step, text in steps.items()])


def _codes() -> str:
    rows = [(f"`{code}`", public(code).title, public(code).detail) for code in _CODES]
    return _table("Code", "Title", "What the document says", rows=rows)


def _common() -> str:
    rows = [
        (name, f"`{error.code}`", f"`{error.step}`", explain(error.step).cause, explain(error.step).fix)
        for name, error in COMMON_ERRORS.items()
    ]
    return _table("Error", "Outside", "Step in the log", "Cause", "Fix", rows=rows)


def _sign_in_codes() -> str:
    on_sign_in = [(f"`{code}`", "sign-in page", text.what, text.do) for code, text in texts._SIGN_IN.items()]
    on_error = [(f"`{page.code}`", f"error page, {page.status}", page.what, page.do) for page in texts._PAGES.values()]
    return _table("Code", "Shown on", "What it says", "What it advises", rows=on_sign_in + on_error)


def _events() -> str:
    rows = []
    for name in events.__all__:
        kind = getattr(events, name)
        if not (inspect.isclass(kind) and issubclass(kind, Event)) or kind is Event:
            continue
        fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(kind))
        level = logging.getLevelName(kind.level).lower()
        rows.append((f"`{kind.name}`", f"`{name}`", level, _first_sentence(kind), fields))
    return _table("Name", "Class", "Level", "What happened", "Fields", rows=rows)


def _first_sentence(value: Any) -> str:
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return re.sub(r"(?<=[a-z`\])])\. .*$", ".", text)


def _what(value: Any) -> str:
    if inspect.isclass(value) or inspect.isfunction(value):
        return _first_sentence(value)
    if get_origin(value) is Literal:
        return f"A type: one of {', '.join(f'`{choice}`' for choice in get_args(value))}."
    return f"`{value!r}`" if type(value).__module__.startswith("sojourn.") else "A type for annotations."


def _names(module: Any) -> str:
    rows = [(f"`{name}`", _what(getattr(module, name))) for name in module.__all__]
    return _table("Name", "What it is", rows=rows)


def _commands() -> str:
    with patch.object(sys, "argv", ["sojourn"]):  # it would find `python -m` there
        manual: str = app.generate_docs(output_format="markdown", heading_level=1)
    return manual[manual.index("## sojourn serve") :].rstrip()


def _example(name: str) -> str:
    suffix = {"py": "python", "toml": "toml"}[name.rpartition(".")[2]]
    return f"```{suffix}\n{(ROOT / 'examples' / name).read_text()}```"


PARTS: Final[dict[str, Callable[[], str]]] = {
    "lifecycle picture": _mermaid,
    "lifecycle table": _lifecycle,
    "coarse codes": _codes,
    "common errors": _common,
    "sign-in codes": _sign_in_codes,
    "token steps": lambda: _steps(sessions.TOKEN),
    "request steps": lambda: _steps(sessions.REQUEST),
    "sign-in steps": lambda: _steps(sign_in.SIGN_IN),
    "provider steps": lambda: _steps(sign_in.OAUTH),
    "events": _events,
    "commands": _commands,
    "statements of SQLite": statements_of_sqlite,
    "statements of PostgreSQL": statements_of_postgres,
    "names in sojourn": lambda: _names(sojourn),
    "names in sojourn.providers": lambda: _names(providers),
    "names in sojourn.adapters.fastapi": lambda: _names(fastapi),
    "names in sojourn.adapters.starlette": lambda: _names(starlette),
    "names in sojourn.adapters.asgi": lambda: _names(asgi),
    "names in sojourn.ports": lambda: _names(ports),
    "names in sojourn.testing": lambda: _names(testing),
    "names in sojourn.events": lambda: _names(events),
    "names in sojourn.passwords": lambda: _names(passwords),
    "names in sojourn.configfile": lambda: _names(configfile),
    **{f"example {path.name}": partial(_example, path.name) for path in (ROOT / "examples").glob("*.*")},
}


def parts_of(document: str) -> list[str]:
    """The names of the generated parts of a document."""
    return [match[1] for match in _PART.finditer(document)]


def written(document: str) -> str:
    """The document with its generated parts made anew."""
    return _PART.sub(
        lambda match: f"<!-- generated: {match[1]} -->\n\n{PARTS[match[1]]()}\n\n<!-- end of generated -->", document
    )


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text()
        after = written(before)
        if after != before:
            page.write_text(after)
