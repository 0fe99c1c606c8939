"""The settings that come in groups: how sessions live, how often is too often, whose pages are shown."""

from __future__ import annotations

import re
from typing import Literal, get_args

import msgspec

from sojourn.cookies import MAX_CHUNKS
from sojourn.durations import Duration, seconds, times_per
from sojourn.errors import ConfigError
from sojourn.models import Lifetimes

__all__ = [
    "OnStale",
    "Pages",
    "RateLimit",
    "RevocationPolicy",
    "SessionPolicy",
    "StoreKind",
    "StrategyKind",
    "TokenKind",
    "shown",
]

StrategyKind = Literal["jwt", "database"]
StoreKind = Literal["database", "redis"]
OnStale = Literal["check", "refuse", "accept"]
TokenKind = Literal["jwe", "HS256", "EdDSA", "Ed25519", "ES256", "RS256"]

# What goes into a Location header as it is: printable ASCII, and no second slash that would name a host.
_PAGE = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_SHORTEST_STALENESS = 5
_LONGEST_COOKIE = 400 * 86400  # RFC 6265bis 5.5


def shown(value: object) -> str:
    """What a refusal says of the value that was seen: a URL may hold a password and is not repeated."""
    text = repr(value)
    return "a URL" if "://" in text else text


class SessionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session lives, and how long.

    `strategy`: `jwt`, in its token, or `database`, a record in a store. `store`: `redis` keeps the records there, else
    they are in the database; `with_user` reads the user's row with each record, so that a disabled user is out at once.
    `max_age`: a token's life; `update_age`: how old a token gets before a read extends it ("0s": at every read);
    `grace_period`: how long an expired token still refreshes silently ("0s": never); `absolute_age`: the end that no
    refresh passes, counted from signing in; `leeway`: clock difference tolerated on `exp`, `nbf` and `iat`. `token` is
    `jwe` (NextAuth's own format) or a signature algorithm; `max_chunks` is the byte budget, in cookies.
    """

    strategy: str = "jwt"
    store: str | None = None
    with_user: bool = False
    token: TokenKind = "jwe"
    max_age: Duration = "12h"
    update_age: Duration = "1h"
    grace_period: Duration = "15m"
    absolute_age: Duration = "30d"
    leeway: Duration = "15s"
    max_chunks: int = 5

    def lifetimes(self) -> Lifetimes:
        """The durations in seconds; refuses combinations that cannot work."""
        if self.token not in get_args(TokenKind):
            raise ConfigError("session.token", repr(self.token), f"Choose one of {', '.join(get_args(TokenKind))}.")
        if type(self.max_chunks) is not int or not 1 <= self.max_chunks <= MAX_CHUNKS:
            raise ConfigError("session.max_chunks", repr(self.max_chunks), "Choose 1 to 5 cookies.")
        ages = Lifetimes(
            max_age=seconds(self.max_age, "session.max_age"),
            update_age=seconds(self.update_age, "session.update_age"),
            grace_period=seconds(self.grace_period, "session.grace_period"),
            absolute_age=seconds(self.absolute_age, "session.absolute_age"),
            leeway=seconds(self.leeway, "session.leeway"),
        )
        if ages.max_age == 0:
            raise ConfigError("session.max_age", "0 seconds", 'Let a token live a while, like "12h".')
        if ages.update_age > ages.max_age:
            raise ConfigError(
                "session.update_age", f"{ages.update_age} s is longer than max_age", "Keep update_age below max_age."
            )
        if ages.absolute_age < ages.max_age:
            raise ConfigError(
                "session.absolute_age",
                f"{ages.absolute_age} s is shorter than max_age",
                "Keep absolute_age at or above max_age.",
            )
        if ages.max_age + ages.grace_period > _LONGEST_COOKIE:
            raise ConfigError(
                "session.max_age", "more than 400 days with its grace", "Browsers keep no cookie longer than 400 days."
            )
        if ages.leeway > 300:
            raise ConfigError(
                "session.leeway", f"{ages.leeway} s", "Set the clocks instead; at most 300 s are tolerated."
            )
        return ages

    @property
    def is_stored(self) -> bool:
        """Whether sessions are records in the database."""
        return self.strategy == "database" and self.store != "redis"

    def check_place(self, database: str | None, redis: str | None) -> None:
        """Refuses to keep sessions where nothing is configured."""
        if self.strategy not in get_args(StrategyKind):
            fix = f'Choose one of {", ".join(get_args(StrategyKind))}; a Redis server is a store: store = "redis".'
            raise ConfigError("session.strategy", shown(self.strategy), fix)
        if self.store not in (None, *get_args(StoreKind)):
            raise ConfigError("session.store", shown(self.store), f"Choose one of {', '.join(get_args(StoreKind))}.")
        if self.strategy == "jwt":
            if self.store is not None:
                fix = 'Sessions live in their tokens: set strategy = "database", or leave store out.'
                raise ConfigError("session.store", f'{self.store!r} with strategy="jwt"', fix)
            if self.with_user:
                fix = 'Only a record is read with its user: set strategy = "database", or use session.user().'
                raise ConfigError("session.with_user", 'true with strategy="jwt"', fix)
            return
        for key, default in (("token", "jwe"), ("max_chunks", MAX_CHUNKS)):
            if getattr(self, key) != default:
                fix = "The cookie of a stored session holds an id and a secret and nothing else: leave it out."
                raise ConfigError(f"session.{key}", f'{getattr(self, key)!r} with strategy="database"', fix)
        if self.store == "redis":
            if redis is None:
                raise ConfigError("redis", "nothing", 'session.store = "redis" keeps sessions there: give its URL.')
            if self.with_user:
                fix = "Users are in the database and not in Redis: leave with_user out, and use session.user()."
                raise ConfigError("session.with_user", 'true with store="redis"', fix)
        elif database is None:
            fix = 'session.strategy = "database" keeps sessions there: give its URL, or redis and store = "redis".'
            raise ConfigError("database", "nothing", fix)


class RevocationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a process trusts what it knows of endings elsewhere, when it cannot ask.

    `staleness_limit`: from when it last knew all of them. `on_stale`: what happens then to sessions in tokens: `check`
    asks the log in each request and answers 503 if that fails, `refuse` answers 503, `accept` goes on.
    """

    staleness_limit: Duration = "5m"
    on_stale: str = "check"

    def limit(self) -> int:
        """`staleness_limit` in seconds; refuses what cannot work."""
        if self.on_stale not in get_args(OnStale):
            fix = f"Choose one of {', '.join(get_args(OnStale))}."
            raise ConfigError("revocation.on_stale", shown(self.on_stale), fix)
        limit = seconds(self.staleness_limit, "revocation.staleness_limit")
        if limit < _SHORTEST_STALENESS:
            fix = f"Choose {_SHORTEST_STALENESS} s or more: endings are asked for once a second."
            raise ConfigError("revocation.staleness_limit", f"{limit} s", fix)
        return limit

    def check_place(self, strategy: str) -> None:
        """Refuses to be set where nothing could be stale."""
        if strategy == "database" and self != RevocationPolicy():
            fix = "A stored session is looked up in each request: leave the table out."
            raise ConfigError("revocation", 'a setting with strategy="database"', fix)


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How often, as `"10/5m"`. `sign_in`: failed password sign-ins, per account and per network."""

    sign_in: str | None = "10/5m"

    def rates(self) -> tuple[int, int] | None:
        """`(count, seconds)` of `sign_in`, or `None` when it is switched off."""
        return None if self.sign_in is None else times_per(self.sign_in, "rate_limit.sign_in")


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """The application's own pages in place of the built-in ones: paths of this origin, like `/login`."""

    sign_in: str | None = None
    sign_out: str | None = None
    error: str | None = None
    verify_request: str | None = None
    new_user: str | None = None

    def check(self) -> None:
        """Refuses anything but a path of this origin."""
        for name in self.__struct_fields__:
            page = getattr(self, name)
            if page is not None and not (isinstance(page, str) and _PAGE.fullmatch(page)):
                raise ConfigError(f"pages.{name}", repr(page), 'Give a path of this origin, like "/login".')
