"""Which addresses a provider may have: `https`, or plain `http` on a loopback host."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

__all__ = ["check", "is_plain"]

# Written out instead of urlsplit: user information, backslashes, blanks and control characters must have no chance to
# make two parsers see two hosts.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9\-._~:/\[\]@!$&'()*+,;=%]*)?"
    r"(?P<query>\?[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*)?"
)
_LONGEST: Final = 2048


def check(url: object, *, query: bool = True) -> str | None:
    """Why `url` cannot be a provider's address, or `None`; `query=False` forbids a query (an issuer has none)."""
    if not isinstance(url, str) or len(url) > _LONGEST or not (match := _URL.fullmatch(url)):
        return "not an absolute http(s) URL without user information and fragment"
    if not query and match["query"] is not None:
        return "it has a query"
    if match["port"] and not 0 < int(match["port"]) < 65536:
        return "its port is out of range"
    if is_plain(url) and not _is_loopback(match["host"]):
        return "plain http, and its host is not a loopback one"
    return None


def is_plain(url: str) -> bool:
    """Whether `url`, which passed `check`, is plain http (and so on this very machine)."""
    return url.startswith("http://")


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
