"""The code blocks of the documentation, and which of them are not run.

Every ```python block runs, and every ```toml block is loaded as a configuration, unless the line before it is a comment
`<!-- not run: why -->`. Every line `$ sojourn …` of a ```console block has to be one that the command line takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "name_of"]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\S*)")
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the number of its first line of code."""

    page: Path
    line: int
    language: str
    text: str
    runs: bool


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The page's blocks in these languages, in order."""
    inside: list[str] | None = None
    language, runs, before, start = "", True, "", 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, language, start, runs = [], fence[1], number + 1, _NOT_RUN.fullmatch(before) is None
        elif inside is not None and line == "```":
            if language in languages:
                yield Block(page, start, language, "\n".join(inside) + "\n", runs)
            inside = None
        elif inside is not None:
            inside.append(line)
        if line.strip():
            before = line.strip()
    assert inside is None, f"{page}: a block that does not end"


def name_of(page: Path) -> str:
    """How tests call a page."""
    return str(page.relative_to(ROOT))
