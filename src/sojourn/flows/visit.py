"""What every endpoint needs of a request, read once: fields, cookies, CSRF pair, the way back (nextauth.md 0)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from sojourn.callbacks import Callbacks, call
from sojourn.cookies import Cookie, CookieNames, parse_cookie_header
from sojourn.http import Request, query_first, read_fields
from sojourn.models import Value
from sojourn.policy import csrf, redirects

__all__ = ["Visit", "read_visit"]

logger: logging.Logger = logging.getLogger("sojourn")

_CHANGING: Final = frozenset({"POST", "DELETE"})
_LONGEST_COOKIE_VALUE: Final = 3900
"""Characters, percent-encoded: beyond 4096 with its name a browser drops a cookie without a word (RFC 6265bis 5.6)."""


class Visit(Value, frozen=True, kw_only=True):
    """One request to an endpoint.

    `csrf_refusal` is the step that refused the CSRF defence, or `None`; `callback_url` has passed the redirect rule;
    `set_cookies` are the CSRF and callback-url cookies that changed.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"fields", "cookies", "csrf_token"})
    request: Request
    fields: Mapping[str, Any]
    cookies: Mapping[str, str]
    csrf_token: str
    csrf_refusal: str | None
    callback_url: str
    set_cookies: tuple[Cookie, ...]


async def read_visit(
    request: Request,
    *,
    names: CookieNames,
    secrets_newest_first: Sequence[bytes],
    joined_hash: bool,
    origin: str,
    callbacks: Callbacks[Any],
    domain: str | None,
) -> Visit:
    """Read the request; raises `BadRequest` when its body cannot be."""
    fields = read_fields(request) if request.method == "POST" else {}
    cookies = parse_cookie_header(request.headers.get("cookie", ""))
    pair = csrf.read_or_make(
        cookies.get(names.csrf), secrets_newest_first, lambda: secrets.token_hex(32), joined_hash=joined_hash
    )
    refusal: str | None = "method"
    if request.method in _CHANGING:
        # A DELETE has no body that everybody reads: its token comes in a header, which no form can send.
        sent = fields.get("csrfToken") if request.method == "POST" else request.headers.get("x-csrf-token")
        refusal = csrf.refuse(pair, sent, origin=origin, headers=request.headers)
    remembered = cookies.get(names.callback_url)
    wanted = fields.get("callbackUrl") or query_first(request.query, "callbackUrl") or remembered
    callback_url = await resolve(wanted, origin=origin, callbacks=callbacks)
    changed: list[Cookie] = []
    if not pair.verified_cookie:
        changed.append(Cookie(name=names.csrf, value=pair.cookie_value, secure=names.secure, domain=domain))
    if callback_url != remembered:
        changed.append(Cookie(name=names.callback_url, value=callback_url, secure=names.secure, domain=domain))
    return Visit(
        request=request,
        fields=fields,
        cookies=cookies,
        csrf_token=pair.token,
        csrf_refusal=refusal,
        callback_url=callback_url,
        set_cookies=tuple(changed),
    )


async def resolve(wanted: object, *, origin: str, callbacks: Callbacks[Any]) -> str:
    """Where the browser may be sent: the application's `redirect` is asked, the redirect rule has the last word."""
    if not wanted or not isinstance(wanted, str):
        return origin
    if callbacks.redirect is not None:
        try:
            wanted = await call(callbacks.redirect, wanted, origin)
        except Exception as error:  # noqa: BLE001 -- the application's own; where to go next is no reason to fail
            logger.warning("callbacks.redirect failed with %s", type(error).__name__)
            return origin
    target = redirects.resolve(wanted, base_url=origin, origin=origin)
    return target if len(quote(target, safe="")) <= _LONGEST_COOKIE_VALUE else origin
