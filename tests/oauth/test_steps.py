from __future__ import annotations

import re
from pathlib import Path

import sojourn.oauth.steps
from sojourn import refusals
from sojourn.oauth.steps import STEPS, refuse

SOURCES = Path(sojourn.oauth.steps.__file__).parent


def test_every_step_is_used() -> None:
    source = "".join(path.read_text() for path in SOURCES.glob("*.py") if path.name != "steps.py")
    used = set(re.findall(r'(?:refuse|json_object)\([^"]*?"([a-z_.]+)"', source))
    # The flow spends a transaction, and says so in the same words.
    assert used | {"transaction_spent"} == set(STEPS)


def test_every_step_has_words_of_its_own() -> None:
    causes = {refusals.explain(step).cause for step in STEPS}
    assert len(causes) == len(STEPS)
    assert refusals.explain("no such step").cause not in causes


def test_refusal_without_detail_says_the_cause() -> None:
    refused = refuse("code")
    assert (refused.code, refused.detail) == ("OAuthCallback", refusals.explain("code").cause)
    assert refuse("code", "else", code="Callback").detail == "else"
