"""Who the development identity provider knows, and what it remembers of a sign-in until that is spent."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sojourn.ports import Clock

__all__ = ["PEOPLE", "Authorization", "Grant", "Person", "ShortLived"]

T = TypeVar("T")

_MOST_KEPT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody to sign in as."""

    sub: str
    username: str
    name: str
    email: str
    sponsor: bool = False


PEOPLE: Final = (
    Person(sub="dev-1", username="grace", name="Grace Hopper", email="grace@example.com", sponsor=True),
    Person(sub="dev-2", username="alan", name="Alan Turing", email="alan@example.com"),
    Person(sub="dev-3", username="katherine", name="Katherine Johnson", email="katherine@example.com"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A checked authorization request; `challenge` is PKCE's, made with S256."""

    redirect_uri: str
    state: str | None
    nonce: str | None
    scope: str
    challenge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a code or an access token stands for."""

    person: Person
    authorization: Authorization
    auth_time: int

    def claims(self) -> dict[str, Any]:
        """What the granted scopes let the client know (OIDC Core 5.4)."""
        person, scopes = self.person, self.authorization.scope.split()
        claims: dict[str, Any] = {"sub": person.sub}
        if "profile" in scopes:
            claims |= {"name": person.name, "preferred_username": person.username, "sponsor": person.sponsor}
        if "email" in scopes:
            claims |= {"email": person.email, "email_verified": True}
        return claims


class ShortLived(Generic[T]):
    """Values under unguessable names for `life` seconds; a flood pushes out the oldest."""

    def __init__(self, life: int, clock: Clock) -> None:
        self._life = life
        self._clock = clock
        self._kept: dict[str, tuple[int, T]] = {}

    def keep(self, value: T) -> str:
        """Remember `value`; returns its name."""
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
        while len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        name = secrets.token_urlsafe(32)
        self._kept[name] = (now + self._life, value)
        return name

    def get(self, name: str) -> T | None:
        """The value, if it is still alive."""
        until, value = self._kept.get(name, (0, None))
        return value if until > self._clock() else None

    def take(self, name: str) -> T | None:
        """The value, once."""
        value = self.get(name)
        self._kept.pop(name, None)
        return value
