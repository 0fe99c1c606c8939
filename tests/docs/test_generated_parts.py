"""The documentation says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.cli.app import run
from sojourn.refusals import explain
from tests.docs.blocks import PAGES, ROOT, blocks, name_of
from tests.docs.generated import PARTS, parts_of, written


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    assert page.read_text() == written(page.read_text()), "run python -m tests.docs.generated"


def test_every_generated_part_stands_in_some_page() -> None:
    used = {name for page in PAGES for name in parts_of(page.read_text())}
    assert sorted(set(PARTS) - used) == []


def test_the_lifecycle_picture_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lifecycle"]) == 0
    (picture,) = blocks(ROOT / "docs" / "lifecycle.md", "mermaid")
    assert picture.text == capsys.readouterr().out


def test_the_errors_page_explains_every_step_once() -> None:
    from sojourn.refusals import _STEPS

    text = (ROOT / "docs" / "guides" / "errors.md").read_text()
    assert [step for step in _STEPS if text.count(f"\n| `{step}` | {explain(step).cause} | ") != 1] == []
