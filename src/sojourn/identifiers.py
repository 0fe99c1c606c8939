"""The names of people and records: addresses and usernames in one spelling each, ids that sort by time."""

from __future__ import annotations

import hashlib
import os
import unicodedata
import uuid

__all__ = ["normalise_email", "normalise_username", "session_id", "uuid7"]

_MAX_EMAIL = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
_MAX_USERNAME = 255

# What JavaScript's trim() removes and NFKC leaves: the reference trims after NFKC, and U+0085 is not white space to it.
_BLANKS = "\t\n\v\f\r \u1680\u2028\u2029\ufeff"

# RFC 5322 3.2.3 specials, but for the dot and the @: an address that needs one of them needs quotes, and quotes are how
# one text becomes two recipients.
_SPECIALS = frozenset('"(),:;<>[\\]')


def normalise_email(text: object) -> str | None:
    """The one spelling of an address, or None if the text is not one plain address.

    NFKC first, so that a look-alike sign cannot appear after the checks; then exactly one `@`, no specials, controls or
    blanks, and a domain of at least two labels. Never longer than 254 characters.
    """
    if not isinstance(text, str) or len(text) > _MAX_EMAIL:
        return None
    address = unicodedata.normalize("NFKC", text).strip(_BLANKS).lower()
    # Lower-casing can leave a letter and its mark apart.
    address = unicodedata.normalize("NFKC", address)
    local, _, domain = address.partition("@")
    labels = domain.split(".")
    if not local or "@" in domain or len(labels) < 2 or not all(labels):
        return None
    if len(address) > _MAX_EMAIL or not _plain(address) or not _SPECIALS.isdisjoint(address):
        return None
    return address


def normalise_username(text: object) -> str | None:
    """The one spelling of a username, or None if the text cannot be one; at most 255 characters.

    Case, width and composition make no difference. An `@` is refused, so that no username can pass for an address.
    """
    if not isinstance(text, str) or len(text) > _MAX_USERNAME:
        return None
    name = unicodedata.normalize("NFKC", text).strip(_BLANKS)
    # Unicode 3.13, toNFKC_Casefold: folding can undo the normal form, and the normal form can need folding again.
    for _ in range(2):
        name = unicodedata.normalize("NFKC", name.casefold())
    if not name or len(name) > _MAX_USERNAME or "@" in name or not _plain(name):
        return None
    return name


def _plain(text: str) -> bool:
    """No controls, format characters, surrogates, unassigned code points, or blanks of any kind."""
    return all(unicodedata.category(character)[0] not in "CZ" for character in text)


def uuid7(now: int) -> str:
    """A new version 7 UUID (RFC 9562 5.7) whose time is `now`, in epoch seconds; the other 74 bits are random."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (now * 1000) << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def session_id(user_id: str, now: int) -> str:
    """A new version 7 UUID whose last four digits depend on the user alone.

    A store that is spread over several machines can so keep all of one user's sessions on one of them and find it by
    the id. The id is a name and no secret: the 58 bits that stay random only keep two from being the same.
    """
    return uuid7(now)[:-4] + hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:4]
