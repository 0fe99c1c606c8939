"""Where a Redis or Valkey is, read from a URL."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, NoReturn
from urllib.parse import unquote

from sojourn.errors import ConfigError
from sojourn.models import Value

__all__ = ["Place", "Target", "read_url"]

Place = tuple[str, int]
"""Host and port; port 0 for the path of a Unix socket."""

Kind = Literal["single", "cluster", "sentinel"]

_KINDS: Final[Mapping[str, tuple[Kind, bool]]] = {
    "redis": ("single", False),
    "valkey": ("single", False),
    "rediss": ("single", True),
    "valkeys": ("single", True),
    "unix": ("single", False),
    "redis+cluster": ("cluster", False),
    "valkey+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "valkeys+cluster": ("cluster", True),
    "redis+sentinel": ("sentinel", False),
    "valkey+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "valkeys+sentinel": ("sentinel", True),
}
_TLS_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MOST_REPLICAS: Final = 16
_WRITE: Final = (
    'Write "redis://user:password@host:6379/0", "unix:///path/to/socket", "redis+cluster://host:6379,host:6380" or '
    '"redis+sentinel://host:26379,host:26380/SERVICE/0"; rediss:// for TLS.'
)


class Target(Value, frozen=True, kw_only=True):
    """A server, a Cluster's nodes to ask first, or the Sentinels of a `service`.

    `replicas` is how many have to confirm a write, None for one where there is any.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"username", "password"})
    kind: Kind
    places: tuple[Place, ...]
    username: str | None = None
    password: str | None = None
    database: int = 0
    service: str = ""
    tls: ssl.SSLContext | None = None
    replicas: int | None = None


def read_url(url: str) -> Target:
    """Read a URL; raises `ConfigError`, which never repeats any of it, since it may hold a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        _refuse("a URL of an unknown kind")
    kind, tls = _KINDS[scheme]
    if "#" in rest or any(character <= " " for character in rest):
        _refuse("a URL with a # or a blank in it: in a password, write them as %23 and %20")
    # Not by urllib: it knows one host to a URL, and quotes what it refuses.
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    parameters = {name: unquote(value) for name, _, value in pairs}
    known = {"replicas"} | (_TLS_FILES if tls else set()) | ({"db"} if scheme == "unix" else set())
    if len(parameters) != len(pairs) or not known.issuperset(parameters):
        raise ConfigError(
            "redis", "a URL with an unknown or repeated parameter", f"Known here: {', '.join(sorted(known))}."
        )
    username, password, hosts = _credentials(authority)
    if scheme == "unix":
        if hosts or not path:
            _refuse("a Unix URL that is not unix:///path")
        places: tuple[Place, ...] = ((unquote(slash + path), 0),)
        path = parameters.get("db", "")
    else:
        places = _places(kind, hosts)
    service, database = _path(kind, path)
    replicas = parameters.get("replicas")
    return Target(
        kind=kind,
        places=places,
        username=username,
        password=password,
        database=database,
        service=service,
        tls=_context(parameters) if tls else None,
        replicas=None if replicas is None else _number(replicas, _MOST_REPLICAS, "a number of replicas"),
    )


def _credentials(authority: str) -> tuple[str | None, str | None, str]:
    before, at, hosts = authority.rpartition("@")
    username, colon, password = before.partition(":")
    if at and not (colon and password):
        _refuse("a URL with a user and no password")
    return unquote(username) or None, unquote(password) or None, hosts


def _places(kind: Kind, hosts: str) -> tuple[Place, ...]:
    default = _SENTINEL_PORT if kind == "sentinel" else _REDIS_PORT
    places = tuple(_place(host, default) for host in hosts.split(","))
    if kind == "single" and len(places) > 1:
        _refuse("several hosts in the URL of a single server")
    return places


def _place(text: str, default: int) -> Place:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in {"", ":"}:
            _refuse("a host that cannot be read")
    else:
        host, colon, port = text.partition(":")
    if not host or (colon and not port):
        _refuse("a URL without a host, or with a colon and no port")
    number = _number(port, 65535, "a port") if port else default
    return unquote(host), number or _refuse("port 0")


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """The Sentinels' service and the database."""
    first, _, rest = path.partition("/")
    if kind == "sentinel":
        service, first = unquote(first), rest
        if not service:
            _refuse("a Sentinel URL without the name of its service")
    elif rest:
        _refuse("a path of more than one part")
    else:
        service = ""
    database = _number(first, 1 << 20, "a database") if first else 0
    if kind == "cluster" and database:
        _refuse("a database's number in a Cluster's URL, which has number 0 only")
    return service, database


def _number(text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 7 or int(text) > most:
        _refuse(f"{what} that is not a whole number from 0 to {most}")
    return int(text)


def _context(parameters: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=parameters.get("ssl_ca_certs"))
        if "ssl_certfile" in parameters:
            context.load_cert_chain(parameters["ssl_certfile"], parameters.get("ssl_keyfile"))
    except (OSError, ValueError):
        raise ConfigError(
            "redis", "certificates that cannot be read", "Check ssl_ca_certs, ssl_certfile and ssl_keyfile."
        ) from None
    if "ssl_keyfile" in parameters and "ssl_certfile" not in parameters:
        raise ConfigError("redis", "ssl_keyfile without ssl_certfile", "Name both.")
    return context


def _refuse(seen: str) -> NoReturn:
    raise ConfigError("redis", seen, _WRITE) from None
