"""The table covers the whole session flow, is a machine that can be walked, and says what the rules do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sojourn.models import Claims, Lifetimes, Session
from sojourn.policy import refresh, validation
from sojourn.policy.lifecycle import STATES, TABLE, Transition, mermaid
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation

BOXES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "session-flow-boxes.json").read_text("utf-8")
)
LIFETIMES = Lifetimes(max_age=1000, update_age=100, grace_period=50, absolute_age=5000)
EVERY = [(row.state, row.event, row.guard) for row in TABLE]
STARTS = {"signed_out", "page"}
DECIDED = [row for row in TABLE if row.verdict is not None]


def test_every_box_of_the_session_flow_is_carried_out() -> None:
    covered = {step for row in TABLE for step in row.steps.split(" · ") if step}
    assert covered == set(BOXES.values())


def test_rows_are_unambiguous_and_name_known_states() -> None:
    assert len(set(EVERY)) == len(EVERY)
    assert {row.state for row in TABLE} | {row.next_state for row in TABLE} == set(STATES)


def test_every_state_is_reached_and_left() -> None:
    reached = set(STARTS)
    while more := {row.next_state for row in TABLE if row.state in reached} - reached:
        reached |= more
    assert reached == set(STATES)
    assert {row.state for row in TABLE} == set(STATES)


# guard -> now, issued_at, auth_time of a session whose token lives from `issued_at` for 1000 s
DRIVEN = {
    "issued after now and leeway": (0, 16, 0),
    "absolute age reached": (5000, 4900, 0),
    "past grace": (1065, 0, 0),
    "ended by sign-out or revocation": (50, 0, 0),
    "younger than update age": (99, 0, 0),
    "update age reached": (100, 0, 0),
    "within grace": (1000, 0, 0),
}


@pytest.mark.parametrize("row", DECIDED, ids=lambda row: row.guard)
def test_the_rules_do_what_the_row_says(row: Transition) -> None:
    now, issued_at, auth_time = DRIVEN[row.guard]
    ended = EndedSessions()
    if row.verdict == "ended":
        ended.end(Revocation(kind="session", subject="s", at=0, forget_after=9999))
    session = Session(
        claims=Claims(), sid="s", user_id="u", issued_at=issued_at, expires_at=issued_at + 1000, auth_time=auth_time
    )
    step = validation.check(session, now=now, lifetimes=LIFETIMES, ended=ended)
    decision = refresh.decide(session, LIFETIMES, now)
    match row.verdict:
        case "keep":
            assert (step, decision) == (None, refresh.Keep())
        case "refresh":
            assert step is None
            assert decision == refresh.Refresh(now + 1000)
        case "issued_in_future" | "ended":
            assert step == row.verdict
        case "absolute_age" | "expired":
            assert step == row.verdict
            assert decision == refresh.Reject(row.verdict)
        case None:
            pytest.fail("a row without a verdict decides nothing")
    assert (row.next_state == "signed_in") == (row.verdict in {"keep", "refresh"})


def test_every_verdict_and_every_guard_of_a_decision_is_provoked() -> None:
    assert {row.guard for row in DECIDED} == set(DRIVEN)
    assert {row.verdict for row in DECIDED} == {
        "keep",
        "refresh",
        "issued_in_future",
        "absolute_age",
        "expired",
        "ended",
    }


def test_the_picture_is_the_table() -> None:
    lines = mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == 1 + len(STATES) + len(STARTS) + len(TABLE)
    assert "    signed_in --> grace: exp passes / wait for the next request" in lines
    assert "    starting --> signed_out: attempt counted [too many] / 429, Retry-After, sign_in_failed" in lines
    for line in lines[1 + len(STATES) :]:
        assert line.count(":") <= 1  # a second colon would end the label
        assert ";" not in line
