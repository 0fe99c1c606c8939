"""What ended stays ended until no token of it can be alive, and is forgotten then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation


def ended(*entries: tuple[str, str, int, int]) -> EndedSessions:
    found = EndedSessions()
    for kind, subject, at, forget_after in entries:
        found.end(Revocation(kind=kind, subject=subject, at=at, forget_after=forget_after))
    return found


def test_a_session_is_ended_by_its_id_alone() -> None:
    found = ended(("session", "s", 100, 1000))
    assert found.is_ended("s", "u", 50)
    assert found.is_ended("s", "u", 150)
    assert not found.is_ended("t", "u", 50)


def test_a_cut_off_ends_what_was_issued_up_to_it() -> None:
    found = ended(("user", "u", 100, 1000))
    assert found.is_ended("s", "u", 99)
    assert found.is_ended("s", "u", 100)
    assert not found.is_ended("s", "u", 101)
    assert not found.is_ended("s", "v", 99)


def test_the_latest_cut_off_counts_in_any_order() -> None:
    for entries in (((100, 1000), (200, 900)), ((200, 900), (100, 1000))):
        found = ended(*(("user", "u", at, until) for at, until in entries))
        assert found.is_ended("s", "u", 200)
        found.forget(999)
        assert found.is_ended("s", "u", 200)
        found.forget(1100)
        assert len(found) == 0


def test_forgetting_waits_until_forget_after_has_passed() -> None:
    found = ended(("session", "s", 0, 1000), ("user", "u", 0, 1000), ("session", "later", 0, 9000))
    found.forget(1000)
    assert len(found) == 3
    found.forget(1100)
    assert len(found) == 1
    assert found.is_ended("later", "x", 1)
    assert not found.is_ended("s", "u", 0)


def test_told_twice_the_later_forget_after_counts() -> None:
    found = ended(
        ("session", "s", 0, 9000), ("session", "s", 0, 1000), ("session", "t", 0, 1000), ("session", "t", 0, 1001)
    )
    found.forget(1100)
    assert found.is_ended("s", "u", 0)
    assert not found.is_ended("t", "u", 0)
    found.forget(10_000)
    assert len(found) == 0


def test_what_is_told_again_takes_no_room() -> None:
    found = ended(*[("session", "s", 0, 9000), ("user", "u", 5, 9000)] * 100)
    assert sum(map(len, found._groups.values())) == 2


def test_much_is_forgotten_in_parts() -> None:
    found = ended(*[("session", f"s{number}", 0, 1000) for number in range(25_000)])
    for left in (15_000, 5_000, 0):
        found.forget(1100)
        assert len(found) == left
    assert not found._groups


def test_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="device"):
        ended(("device", "d", 0, 1))


entries = st.lists(
    st.tuples(st.sampled_from(["session", "user"]), st.sampled_from("abc"), st.integers(0, 300), st.integers(0, 1000)),
    max_size=12,
)


@given(entries, st.integers(0, 1200))
def test_nothing_is_forgotten_early_and_all_of_it_once(found: list[tuple[str, str, int, int]], now: int) -> None:
    live = ended(*found)
    live.forget(now)
    for kind, subject, at, until in found:
        if until >= now:
            assert live.is_ended(*((subject, "", 0) if kind == "session" else ("", subject, at)))
    live.forget(5000)
    assert len(live) == 0
    assert not live._groups
