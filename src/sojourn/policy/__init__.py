"""Decisions: pure rules over values, without waiting, clock or randomness."""
