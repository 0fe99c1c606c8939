"""Who are we, and who is asking: the declared base URL, trusted proxies, the client's address.

URLs are always made from the declared base URL. A forwarded header counts only when the peer is a listed proxy, and of
it only the rightmost hop that is not itself listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import msgspec

from sojourn.errors import ConfigError
from sojourn.http import Request

__all__ = [
    "BaseURL",
    "HostMismatch",
    "TrustedProxies",
    "client_address",
    "explain_host",
    "network_of",
    "parse_base_url",
]

DEFAULT_BASE_PATH: Final = "/api/auth"
MAX_HOPS: Final = 32  # looked at per request, from the right
MAX_SHOWN: Final = 200  # characters of a foreign header in an explanation

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:%-]+)*")
_Address = IPv4Address | IPv6Address


class BaseURL(msgspec.Struct, frozen=True, kw_only=True):
    """The declared public address; `origin` has no path, `base_path` no trailing slash, `host` no port."""

    origin: str
    base_path: str
    host: str
    secure: bool
    loopback: bool

    @property
    def base(self) -> str:
        """Origin and base path: what every URL of our endpoints starts with."""
        return self.origin + self.base_path


def parse_base_url(text: str) -> BaseURL:
    """The base URL as NextAuth reads `NEXTAUTH_URL`: `https://` is assumed, the path defaults to `/api/auth`.

    Raises `ConfigError` for what is no http(s) URL, for userinfo, and for plain http on a host that is not loopback.
    """
    if "@" in text:  # not shown: it may be a password
        raise ConfigError("base_url", "it bears a user name or an `@`", "Write scheme, host and, if needed, a port.")
    seen = repr(text)
    try:
        parts = urlsplit(text if text.lower().startswith("http") else f"https://{text}")
        host, port = parts.hostname or "", parts.port
        if ":" in host and "%" not in host:
            host = f"[{IPv6Address(host)}]"
        elif not _HOST.fullmatch(host):
            raise ValueError("host")
    except ValueError:
        fix = "Write it as `https://app.example`, the host in ASCII (`xn--…`)."
        raise ConfigError("base_url", f"{seen} is not a URL with a host", fix) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigError(
            "base_url", f"{seen} is not a plain http(s) URL", "Write scheme, host and, if needed, a port."
        )
    path = parts.path.removesuffix("/")
    if not _PATH.fullmatch(path):
        raise ConfigError("base_url", f"{seen} has an unusable path", f"Write a path such as `{DEFAULT_BASE_PATH}`.")
    secure, loopback = parts.scheme == "https", _is_loopback(host)
    if not secure and not loopback:
        fix = f"Write `https://{host}`: without https anybody on the way can take the session."
        raise ConfigError("base_url", f"{seen} is plain http on a host that is not this machine", fix)
    suffix = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return BaseURL(
        origin=f"{parts.scheme}://{host}{suffix}",
        base_path=path or DEFAULT_BASE_PATH,
        host=host,
        secure=secure,
        loopback=loopback,
    )


def _is_loopback(host: str) -> bool:
    address = _parse_address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback


def _parse_address(text: str) -> _Address | None:
    """An address in any of its spellings: with a port, in brackets or quotes, with a zone, IPv4 mapped into IPv6."""
    text = text.strip(' \t"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class TrustedProxies:
    """The addresses whose forwarded headers count, from CIDRs or single addresses; a bad one is a `ConfigError`."""

    def __init__(self, cidrs: Sequence[str] = ()) -> None:
        self._networks = tuple(_parse_network(cidr) for cidr in cidrs)

    def trusts(self, address: str | None) -> bool:
        """Whether this peer is one of ours; never for what is no address."""
        parsed = _parse_address(address or "")
        return parsed is not None and any(parsed in network for network in self._networks)


def _parse_network(cidr: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(cidr)
    except ValueError:
        fix = "Write the address of the proxy or its network, such as `10.0.0.5` or `10.0.0.0/8`."
        raise ConfigError("trusted_proxies", f"{cidr!r} is no address and no network", fix) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def client_address(request: Request, proxies: TrustedProxies) -> str | None:
    """The client's address in canonical form, IPv4 where it is mapped; None where the peer has none.

    `X-Forwarded-For` and `Forwarded` (RFC 7239) must agree where a request bears both: a proxy that writes only one of
    them passes the other on from the client. Where they do not, the proxy's own address counts.
    """
    peer = _parse_address(request.client or "")
    if peer is None or not proxies.trusts(request.client):
        return None if peer is None else str(peer)
    chains = [_forwarded_for(request), _forwarded(request, "for")]
    found = {_rightmost(peer, chain, proxies) for chain in chains if chain is not None}
    return str(found.pop() if len(found) == 1 else peer)


def _rightmost(peer: _Address, hops: Sequence[str], proxies: TrustedProxies) -> _Address:
    nearest = peer
    for hop in hops:
        address = _parse_address(hop)
        if address is None:  # `unknown`, `_hidden` or garbage: nobody we trust says who is behind
            return nearest
        if not proxies.trusts(hop):
            return address
        nearest = address
    return nearest


def _forwarded_for(request: Request) -> list[str] | None:
    header = request.headers.get("x-forwarded-for")
    return None if header is None else list(_from_right(header))


def _forwarded(request: Request, parameter: str) -> list[str] | None:
    """One parameter of each element of `Forwarded`, nearest hop first; empty where an element lacks it."""
    header = request.headers.get("forwarded")
    if header is None:
        return None
    values = []
    for element in _from_right(header):
        pairs = (pair.partition("=") for pair in element.split(";"))
        values.append(next((value.strip(' \t"') for name, _, value in pairs if name.strip().lower() == parameter), ""))
    return values


def _from_right(header: str) -> Iterator[str]:
    return reversed(header.rsplit(",", MAX_HOPS)[-MAX_HOPS:])


def network_of(address: str | None) -> str:
    """What a rate limit counts by: the IPv4 address, the /64 of an IPv6 address, else `unknown`."""
    parsed = _parse_address(address or "")
    if parsed is None:
        return "unknown"
    return str(parsed) if isinstance(parsed, IPv4Address) else str(IPv6Network((parsed, 64), strict=False))


class HostMismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A request for another host than the declared one; `setting` is the one key of the configuration to change."""

    header: str
    seen: str
    expected: str
    setting: str
    fix: str

    def __str__(self) -> str:
        return f"{self.header} is {self.seen!r}, expected {self.expected!r}. {self.fix}"


def explain_host(request: Request, base: BaseURL, proxies: TrustedProxies) -> HostMismatch | None:
    """Why this request does not fit the declared origin, or None. For explanations only: no URL is made from it."""
    forwarded = _forwarded_host(request)
    host = ("Host", request.headers.get("host", ""))
    trusted = proxies.trusts(request.client)
    header, seen = forwarded if forwarded and trusted else host
    if not seen or _fits(seen, base):
        return None
    if forwarded and not trusted and _fits(forwarded[1], base):
        setting = "trusted_proxies"
        fix = f"If {request.client} is your proxy, add its address to `trusted_proxies`."
    else:
        setting = "base_url"
        fix = "Set `base_url` to the address that people type, or make the proxy pass that host on."
    expected = base.origin.partition("://")[2]
    return HostMismatch(header=header, seen=seen[:MAX_SHOWN], expected=expected, setting=setting, fix=fix)


def _forwarded_host(request: Request) -> tuple[str, str] | None:
    if header := request.headers.get("x-forwarded-host"):
        return "X-Forwarded-Host", header.rpartition(",")[2].strip()
    if (hosts := _forwarded(request, "host")) and hosts[0]:
        return "Forwarded", hosts[0]
    return None


def _fits(host: str, base: BaseURL) -> bool:
    scheme, _, expected = base.origin.partition("://")
    return host.lower().removesuffix(f":{_DEFAULT_PORTS[scheme]}") == expected
