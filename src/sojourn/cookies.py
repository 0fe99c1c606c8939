"""Cookies: names and prefixes, chunks, the Cookie header in, Set-Cookie out. The only place that knows any of it.

The wire is NextAuth v4's and Auth.js v5's to the byte. Where we differ on purpose:

- names are matched whole (`name`, or `name.N` contiguous from 0), never by prefix: a neighbour's cookie neither joins
  the token nor is deleted with it;
- a bare cookie and chunks are two separate forms of the session, never one text: the caller takes the one that opens;
- chunks with a gap or an empty part are no session, instead of the concatenation of what is left;
- no more than `max_chunks` chunks are joined or written;
- one pair of double quotes around a value is dropped in both families (v5 keeps them), which no value of ours has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import quote, unquote

import msgspec

from sojourn.errors import ClaimsTooLarge, ConfigError
from sojourn.models import Value

__all__ = [
    "MAX_CHUNKS",
    "Cookie",
    "CookieNames",
    "SessionCookie",
    "clear_session_cookie",
    "cookie_names",
    "merge",
    "parse_cookie_header",
    "read_session_cookie",
    "session_cookie_from_header",
    "session_tokens",
    "write_session_cookie",
]

MAX_CHUNKS: Final = 5
MAX_COOKIES: Final = 500  # looked at per request; the rest of the header is ignored
_MOST_TOKENS: Final = 4
MAX_NAME_LENGTH: Final = 100  # name + value of a full chunk must stay within 4096 bytes (RFC 6265bis 5.6)

_FAMILIES: Final = {"nextauth-v4": ("next-auth", 3933), "authjs-v5": ("authjs", 3936)}
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_PATH: Final = re.compile(r"/[!-:<-~]*")
_UNRESERVED: Final = "!~*'()"  # beside what `quote` never touches: letters, digits and `_.-~`
_FRAMING: Final = ' \t"'  # what may stand around a value without being part of it
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Two digits are far beyond any real chunk; more would let a neighbour blow up our answer with deletions.
_INDEX: Final = re.compile(r"0|[1-9][0-9]?")


class Cookie(Value, frozen=True, kw_only=True):
    """One cookie to set; `max_age` is in seconds, `expires_at` an epoch second.

    A combination that browsers would drop raises `ConfigError` (RFC 6265bis 4.1.3, 5.7).
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"value"})
    name: str
    value: str
    max_age: int | None = None
    expires_at: int | None = None
    domain: str | None = None
    path: str = "/"
    http_only: bool = True
    secure: bool = False
    same_site: str = "Lax"

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.name):
            raise ConfigError("cookie name", repr(self.name), "Use letters, digits, `-`, `_` and `.` only.")
        if self.domain is not None and not _DOMAIN.fullmatch(self.domain):
            raise ConfigError("cookie domain", repr(self.domain), "Write a plain domain such as `example.com`.")
        if not _PATH.fullmatch(self.path):
            raise ConfigError("cookie path", repr(self.path), "Write an absolute path such as `/`.")
        if self.same_site not in {"Lax", "Strict", "None"}:
            raise ConfigError("same_site", repr(self.same_site), "Use `Lax`, `Strict` or `None`.")
        if not self.secure and (self.same_site == "None" or self.name.startswith(("__Secure-", "__Host-"))):
            raise ConfigError(self.name, "not Secure", "Serve over https: this name or SameSite=None needs `Secure`.")
        if self.name.startswith("__Host-") and (self.path != "/" or self.domain is not None):
            raise ConfigError(self.name, "has a path or a domain", "A `__Host-` cookie has Path=/ and no Domain.")

    def header(self) -> str:
        """The Set-Cookie text; the value is percent-encoded as JavaScript's `encodeURIComponent` does."""
        parts = [f"{self.name}={quote(self.value, safe=_UNRESERVED, errors='replace')}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={self.max_age}")
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        parts.append(f"Path={self.path}")
        if self.expires_at is not None:
            from email.utils import formatdate  # 7 ms with all that it brings, and only who writes cookies needs it

            parts.append(f"Expires={formatdate(self.expires_at, usegmt=True)}")
        if self.http_only:
            parts.append("HttpOnly")
        if self.secure:
            parts.append("Secure")
        parts.append(f"SameSite={self.same_site}")
        return "; ".join(parts)

    def deleted(self) -> Cookie:
        """The same cookie, emptied and ended: Max-Age=0, no Expires."""
        return msgspec.structs.replace(self, value="", max_age=0, expires_at=None)


class CookieNames(msgspec.Struct, frozen=True, kw_only=True):
    """The full names, prefixes included. `transaction` is a stem: each sign-in adds `.` and its own id.

    `chunk_limit` counts characters of one chunk's value; `mistaken` are session names of the other family or prefix:
    never read, only reported.
    """

    session: str
    csrf: str
    callback_url: str
    transaction: str
    secure: bool
    chunk_limit: int
    max_chunks: int = MAX_CHUNKS
    mistaken: tuple[str, ...] = ()

    @property
    def budget(self) -> int:
        """Characters of the longest session token that these names can carry."""
        return self.chunk_limit * self.max_chunks


class SessionCookie(Value, frozen=True, kw_only=True):
    """The session cookie as a request carried it.

    `candidates` are the forms that could be a token: the bare cookie first, then the joined chunks. Normally there is
    one; where a stale form was left beside the real one, the first that opens is the session. `value` is the first
    candidate. `present` are the names to delete when the cookie is written or cleared. `refused` is `chunks` or
    `cookie_name`, and then there is no value.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"value", "candidates"})
    value: str | None
    present: tuple[str, ...]
    refused: str | None
    candidates: tuple[str, ...] = ()


def cookie_names(
    compat: str,
    *,
    secure: bool,
    session_name: str | None = None,
    share_with: str | None = None,
    max_chunks: int = MAX_CHUNKS,
) -> CookieNames:
    """The one decision on names and prefixes, for writer and reader alike.

    `session_name` replaces the session cookie's name; the prefix is added on https unless it bears one. With a
    `share_with` domain the CSRF cookie cannot be `__Host-` (RFC 6265bis 4.1.3.2) and becomes `__Secure-`; transaction
    cookies are never shared. Raises `ConfigError`.
    """
    if compat not in _FAMILIES:
        raise ConfigError("compat", repr(compat), "Use `nextauth-v4` or `authjs-v5`.")
    family, chunk_limit = _FAMILIES[compat]
    prefix, host_prefix = ("__Secure-", "__Host-") if secure else ("", "")
    csrf = f"{prefix if share_with else host_prefix}{family}.csrf-token"
    callback_url = f"{prefix}{family}.callback-url"
    transaction = f"{host_prefix}sojourn.transaction"
    chosen = f"{family}.session-token" if session_name is None else session_name
    stem = chosen.removeprefix("__Secure-").removeprefix("__Host-")
    session = f"{prefix}{stem}" if stem == chosen else chosen
    if len(session) > MAX_NAME_LENGTH or session in {csrf, callback_url, transaction}:
        raise ConfigError(
            "session_name", repr(session), f"Choose another name of at most {MAX_NAME_LENGTH} characters."
        )
    Cookie(name=session, value="", secure=secure, domain=share_with)
    stems = dict.fromkeys([stem, *(f"{name}.session-token" for name, _ in _FAMILIES.values())])
    others = (f"{each}{name}" for name in stems for each in ("", "__Secure-", "__Host-"))
    return CookieNames(
        session=session,
        csrf=csrf,
        callback_url=callback_url,
        transaction=transaction,
        secure=secure,
        chunk_limit=chunk_limit,
        max_chunks=max_chunks,
        mistaken=tuple(name for name in others if name != session),
    )


def parse_cookie_header(header: str) -> dict[str, str]:
    """Name to value, in the header's order; the first occurrence of a name wins (RFC 6265bis 5.8.3).

    Linear and never raises: what is no pair is skipped, what does not percent-decode stays as it is.
    """
    cookies: dict[str, str] = {}
    for pair in header.split(";", MAX_COOKIES)[:MAX_COOKIES]:
        name, equals, raw = pair.partition("=")
        name = name.strip(" \t")
        if equals and name and name not in cookies:
            cookies[name] = _value(raw)
    return cookies


def _value(raw: str) -> str:
    value = raw.strip(" \t")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if "%" not in value or _BAD_PERCENT.search(value):
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return value


def read_session_cookie(cookies: Mapping[str, str], names: CookieNames) -> SessionCookie:
    """The session cookie among `cookies`, whole or in chunks; a weaker or foreign name is reported, never read."""
    found = _read(cookies, names.session, names.max_chunks)
    if found.value is None and found.refused is None:
        mistaken = any(name in cookies or f"{name}.0" in cookies for name in names.mistaken)
        return msgspec.structs.replace(found, refused="cookie_name" if mistaken else None)
    return found


def _read(cookies: Mapping[str, str], name: str, max_chunks: int) -> SessionCookie:
    start = len(name) + 1
    present = tuple(n for n in cookies if n == name or (n.startswith(f"{name}.") and _INDEX.fullmatch(n, start)))
    count = len(present) - (name in cookies)
    chunks = [cookies.get(f"{name}.{index}", "") for index in range(count)]
    whole = bool(chunks) and len(chunks) <= max_chunks and all(chunks)
    candidates = tuple(form for form in (cookies.get(name, ""), "".join(chunks) if whole else "") if form)
    refused = "chunks" if count and not candidates else None
    value = candidates[0] if candidates else None
    return SessionCookie(value=value, present=present, refused=refused, candidates=candidates)


def session_cookie_from_header(header: str, name: str, *, max_chunks: int = MAX_CHUNKS) -> str | None:
    """The session cookie's value straight from the header: the hot path, which builds no dict for the usual form.

    Gives what `parse_cookie_header` and `read_session_cookie` give as `value`, also for chunks and odd headers.
    """
    start = header.find(name)
    if start < 0:
        return None
    after = start + len(name) + 1
    if (
        header[after - 1 : after] == "="
        and (start == 0 or header[start - 2 : start] == "; ")
        and (start < MAX_COOKIES or header.count(";", 0, start) < MAX_COOKIES)
    ):
        end = header.find(";", after)
        value = header[after:] if end < 0 else header[after:end]
        if "%" in value or value[:1] in _FRAMING or value[-1:] in _FRAMING:
            value = _value(value)
        if value:
            return value
    return _read(parse_cookie_header(header), name, max_chunks).value


def session_tokens(header: str, names: CookieNames) -> tuple[str, ...]:
    """Every session token that the header carries, also under one name twice: whoever signs out ends them all."""
    pairs = (pair.partition("=") for pair in header.split(";", MAX_COOKIES)[:MAX_COOKIES])
    values = [_value(raw) for name, _, raw in pairs if name.strip(" \t") == names.session]
    forms = _read(parse_cookie_header(header), names.session, names.max_chunks).candidates
    return tuple(dict.fromkeys(token for token in (*forms, *values) if token))[:_MOST_TOKENS]


def write_session_cookie(
    value: str,
    present: Sequence[str],
    names: CookieNames,
    *,
    expires_at: int,
    domain: str | None = None,
    same_site: str = "Lax",
) -> tuple[Cookie, ...]:
    """The cookies that carry `value` and delete every other name in `present`; `expires_at` is an epoch second.

    Order: that of `present`, then new names. An empty value writes nothing. Raises `ClaimsTooLarge` beyond
    `names.budget`.
    """
    if len(value) > names.budget:
        raise ClaimsTooLarge(len(value), names.budget)
    deletions = clear_session_cookie(present, names, domain=domain, same_site=same_site)
    cookies = {cookie.name: cookie for cookie in deletions}
    limit = names.chunk_limit
    slices = [value[at : at + limit] for at in range(0, len(value), limit)]
    for index, part in enumerate(slices):
        name = names.session if len(slices) == 1 else f"{names.session}.{index}"
        cookies[name] = Cookie(
            name=name, value=part, expires_at=expires_at, domain=domain, secure=names.secure, same_site=same_site
        )
    return tuple(cookies.values())


def clear_session_cookie(
    present: Sequence[str], names: CookieNames, *, domain: str | None = None, same_site: str = "Lax"
) -> tuple[Cookie, ...]:
    """A deletion for each name in `present`, none where nothing was there."""
    return tuple(
        Cookie(name=name, value="", max_age=0, domain=domain, secure=names.secure, same_site=same_site)
        for name in present
    )


def merge(cookies: Iterable[Cookie]) -> tuple[Cookie, ...]:
    """One Set-Cookie for a name (RFC 6265bis 4.1.1): the later one wins, in the place of the first."""
    return tuple({cookie.name: cookie for cookie in cookies}.values())
