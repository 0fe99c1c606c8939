"""Where may the browser be sent: to our own origin, spelled by ourselves, or to the base URL.

An allow-list over the text as it was decoded once. It gives what NextAuth's default redirect callback gives for every
harmless value; where we differ on purpose:

- a path with a backslash, a control character, a space or a second leading slash becomes the base URL, while NextAuth
  puts the origin in front of anything that starts with `/`;
- an absolute URL of our origin is spelled anew (scheme and host lower-case, default port dropped), and only the strict
  form `scheme://host` counts, while NextAuth hands `http:/host/x` on as it came;
- characters outside ASCII are percent-encoded, so that every result fits into a header;
- what does not parse, has another type or would be longer than 2048 characters becomes the base URL and never raises.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

__all__ = ["resolve"]

MAX_LENGTH: Final = 2048  # characters

_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\]")  # controls, space, backslash
_ABSOLUTE: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([0-9]{0,5}))?", re.IGNORECASE | re.ASCII)
_REST: Final = re.compile(r"/(?!/)|[?#]")  # a path starts with exactly one slash
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def resolve(url: object, *, base_url: str, origin: str) -> str:
    """The address to send the browser to: `origin` with a path, or `base_url` for everything that is not ours.

    `url` is untrusted and of any type, already decoded once. `origin` is scheme, host and port without a path.
    """
    if not isinstance(url, str) or _FORBIDDEN.search(url):
        return base_url
    rest = url
    if not url.startswith("/"):
        absolute = _ABSOLUTE.match(url)
        if absolute is None or _parts(absolute) != _parts(_ABSOLUTE.match(origin)):
            return base_url
        rest = url[absolute.end() :]
        if not rest:
            return origin
    if not _REST.match(rest):
        return base_url
    try:
        target = origin + quote(rest, safe=_PRINTABLE)
    except UnicodeEncodeError:  # half of a surrogate pair
        return base_url
    return target if len(target) <= MAX_LENGTH else base_url


def _parts(absolute: re.Match[str] | None) -> tuple[str, str, int] | None:
    if absolute is None:
        return None
    scheme = absolute[1].lower()
    return scheme, absolute[2].lower(), int(absolute[3] or _DEFAULT_PORTS[scheme])
