"""The demo's claims: what the seed asks for, and how they are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta

from sojourn.callbacks import ClaimsChange
from sojourn.models import Claims

__all__ = ["DEMO_EMAIL", "DEMO_NAME", "DEMO_PASSWORD", "DEMO_USERNAME", "DemoClaims", "fill_claims"]

# Known to everybody, and shown on the page: the demo's database holds nothing but this person.
DEMO_USERNAME: Final = "ada"
DEMO_PASSWORD: Final = "stay-a-while"
DEMO_NAME: Final = "Ada Lovelace"
DEMO_EMAIL: Final = "ada@example.com"

_LONGEST_NAME: Final = 60


class DemoClaims(Claims):
    """What the demo's session says beside the registered claims; `is_sponsor` travels as `isSponsor`."""

    username: Annotated[str, Meta(max_length=64)] | None = None
    is_sponsor: bool = False


def fill_claims(claims: DemoClaims, change: ClaimsChange) -> DemoClaims:
    """Sponsors are known at sign-in; an update from the page may change the display name and nothing else."""
    match change.trigger:
        case "sign_in" | "sign_up":
            known = change.user is not None and change.user.username == DEMO_USERNAME
            return claims.replace(is_sponsor=known or change.raw.get("sponsor") is True)
        case "update":
            name = change.data.get("name") if isinstance(change.data, Mapping) else None
            if isinstance(name, str) and 0 < len(name.strip()) <= _LONGEST_NAME and name.isprintable():
                return claims.replace(name=name.strip())
            return claims
        case "refresh":
            return claims
