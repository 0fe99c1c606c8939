"""What a refusal is told in: for those who run the application, and for everybody else."""

from __future__ import annotations

import msgspec

__all__ = ["CommonError", "Explanation", "PublicText"]


class Explanation(msgspec.Struct, frozen=True):
    """Why a step refused, and what to do about it; for those who run the application."""

    cause: str
    fix: str


class PublicText(msgspec.Struct, frozen=True):
    """Title and detail of a problem document (RFC 9457)."""

    title: str
    detail: str


class CommonError(msgspec.Struct, frozen=True):
    """An error that everybody meets one day: the code that the outside sees, the step that the log names."""

    code: str
    step: str
