"""Values: what they show of themselves."""

from __future__ import annotations

from typing import ClassVar

import pytest

from sojourn.models import Value


class Ticket(Value, frozen=True, kw_only=True):
    hidden: ClassVar[frozenset[str]] = frozenset({"code"})

    name: str
    code: str
    seat: int | None = None


TICKET = Ticket(name="Ada", code="t0psecret")


def test_hidden_fields_are_in_no_repr() -> None:
    assert repr(TICKET) == "Ticket(name='Ada', seat=None)"
    assert f"{[TICKET]} {TICKET}" == "[Ticket(name='Ada', seat=None)] Ticket(name='Ada', seat=None)"


def test_rich_is_shown_no_more() -> None:
    assert TICKET.__rich_repr__() == [("name", "Ada"), ("seat", None)]


def test_hidden_fields_count_in_comparisons() -> None:
    assert Ticket(name="Ada", code="t0psecret") == TICKET != Ticket(name="Ada", code="another")


def test_values_stay_as_they_are() -> None:
    with pytest.raises(AttributeError):
        TICKET.name = "Bob"  # type: ignore[misc]
