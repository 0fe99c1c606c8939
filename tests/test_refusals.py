from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sojourn
from sojourn import refusals
from sojourn.errors import TokenError
from sojourn.oauth.steps import STEPS
from sojourn.refusals import COMMON_ERRORS, explain, public

TOKEN_STEPS = [
    "missing",
    "form",
    "header",
    "key",
    "signature",
    "claims",
    "expired",
    "not_yet_valid",
    "issued_in_future",
    "lifetime",
    "absolute_age",
    "ended",
    "audience",
    "chunks",
    "cookie_name",
]
COARSE_CODES = ["session_missing", "session_invalid", "session_expired", "session_ended", "rate_limited", "unavailable"]
SEVEN = (
    "invalid signature",
    "expired token",
    "missing cookie",
    "database failure",
    "provider error",
    "clock skew",
    "cookie domain mismatch",
)


def _raised_steps() -> Iterator[tuple[str, str]]:
    """Every step that the package raises by a literal name, with its file."""
    position = {"TokenError": 0, "SignInRefused": 1, "Refuse": 0, "Reject": 0, "refuse": 0}
    for path in sorted(Path(sojourn.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name not in position:
                continue
            given = [k.value for k in node.keywords if k.arg == "step"] + node.args[position[name] :][:1]
            if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
                yield path.name, given[0].value


@pytest.mark.parametrize("step", TOKEN_STEPS)
def test_every_token_step_has_a_cause_and_a_fix(step: str) -> None:
    text = explain(step)
    assert text != explain("no such step")
    assert text.cause.endswith(".")
    assert text.fix.endswith(".")


@pytest.mark.parametrize("step", ["fetch_metadata", "origin", "double_submit", "host", "store", "rate_limited"])
def test_every_request_step_has_a_cause_and_a_fix(step: str) -> None:
    assert explain(step) != explain("no such step")


def test_every_step_that_the_package_raises_is_explained() -> None:
    steps = set(_raised_steps())
    assert steps
    unknown = explain("no such step")
    assert sorted(found for found in steps if explain(found[1]) == unknown) == []


def test_every_step_of_a_provider_sign_in_is_explained_in_words_of_its_own() -> None:
    assert [step for step in STEPS if step not in refusals._STEPS] == []


def test_no_two_steps_share_a_cause() -> None:
    causes = [text.cause for text in refusals._STEPS.values()]
    assert len(causes) == len(set(causes))


def test_a_finer_step_falls_back_to_its_check() -> None:
    assert explain("id_token.something") == explain("id_token")
    assert explain("id_token.nonce") != explain("id_token")


@pytest.mark.parametrize("code", COARSE_CODES)
def test_every_coarse_code_has_public_words(code: str) -> None:
    text = public(code)
    assert text.title
    assert text.detail.endswith(".")
    assert (text == public("no such code")) is (code == "session_invalid")


@pytest.mark.parametrize("code", COARSE_CODES)
def test_public_words_give_no_step_away(code: str) -> None:
    words = f"{public(code).title} {public(code).detail}".lower()
    assert not [word for word in ("signature", "key", "secret", "claim", "token", "database") if word in words]


@pytest.mark.parametrize("name", SEVEN)
def test_the_common_errors_are_mapped(name: str) -> None:
    error = COMMON_ERRORS[name]
    assert explain(error.step) != explain("no such step")
    if error.step in TOKEN_STEPS:
        assert TokenError(error.step).code == error.code
