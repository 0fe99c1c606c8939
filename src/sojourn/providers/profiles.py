"""From a provider's profile document to a `Profile`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from sojourn.identifiers import normalise_email
from sojourn.models import Profile

__all__ = ["account_id", "image_url", "normalise", "openid_profile", "text"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def text(value: object, limit: int = 255) -> str | None:
    """A human's text: control characters removed, cut at `limit` characters; anything else is `None`."""
    if not isinstance(value, str):
        return None
    return _CONTROL.sub("", value).strip()[:limit] or None


def image_url(value: object) -> str | None:
    """An `http` or `https` address of at most 2048 characters: pages put it into `src`."""
    if not isinstance(value, str) or len(value) > 2048 or not value.isprintable():
        return None
    try:
        return value if urlsplit(value).scheme in {"http", "https"} else None
    except ValueError:
        return None


def account_id(value: object) -> str:
    """The provider's own name for somebody: a string, or an integer made one; `ValueError` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= 255 or _CONTROL.search(value):
        raise ValueError("the account id must be a string of 1 to 255 characters")
    return value


def openid_profile(raw: Mapping[str, Any]) -> Profile:
    """The standard claims (OIDC Core 5.1); only the boolean `true` makes an address verified."""
    name = text(raw.get("name")) or text(raw.get("nickname")) or text(raw.get("preferred_username"))
    return Profile(
        id=account_id(raw.get("sub")),
        name=name,
        email=normalise_email(raw.get("email")),
        image=image_url(raw.get("picture")),
        email_verified=raw.get("email_verified") is True,
        username=text(raw.get("preferred_username")),
    )


def normalise(profile: object) -> Profile:
    """What a mapper answered, made safe to keep; `TypeError` or `ValueError` when it is no usable profile."""
    if not isinstance(profile, Profile):
        raise TypeError("the profile function must return a Profile")
    email = normalise_email(profile.email)
    return replace(
        profile,
        id=account_id(profile.id),
        name=text(profile.name),
        email=email,
        image=image_url(profile.image),
        email_verified=email is not None and profile.email_verified is True,
        username=text(profile.username),
    )
