"""The names of keys: all that one step needs has one hash tag, and so lies on one server of a Cluster."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["LOG", "LOG_TAG", "encoded", "owner_tag", "session_tag", "tagged"]

LOG_TAG: Final = b"log"
LOG: Final = tuple(b"sojourn:{log}:" + name for name in (b"position", b"entries", b"forget"))
"""The last position, the entries, their positions by `forget_after`."""

_SID_LENGTH: Final = 36


def session_tag(sid: str) -> str | None:
    """The tag of a session's keys (`identifiers.session_id`); None for what is no session's id."""
    tag = sid[-4:]
    return tag if len(sid) == _SID_LENGTH and sid.isascii() and tag.isalnum() else None


def owner_tag(text: str) -> str:
    """The tag of what belongs to a user, or to any other name."""
    return hashlib.sha256(encoded(text)).hexdigest()[:4]


def tagged(tag: str, kind: str, name: str) -> bytes:
    """The key of something: `s` a session, `u` a user's sessions, `c` a count, `o` what is spent once."""
    return encoded(f"sojourn:{{{tag}}}:{kind}:{name}")


def encoded(text: str) -> bytes:
    """In UTF-8; a lone surrogate is somebody's name too, though nobody's session has it."""
    return text.encode("utf-8", "surrogatepass")
