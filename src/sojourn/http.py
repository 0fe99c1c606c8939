"""Request and Response: the framework-neutral pair that adapters translate to and from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

__all__ = ["NO_STORE", "Request", "Response", "json_response", "problem", "redirect"]

# Whatever sets or depends on a session must never be stored by anybody between us and the browser (ASVS 14.3.2).
NO_STORE = (("Cache-Control", "private, no-store"), ("Vary", "Cookie"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the server routed it.

    `path` is decoded and as routed (never rebuilt from Host), `query` is the raw text after `?`; `headers` has lower-case
    names, repeated fields joined with `, ` (cookies with `; `); `body` is whole and already limited in size; `client` is
    the peer's address, `scheme` the one of the connection.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str | None = None
    scheme: str = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer: headers keep their order and may repeat (`Set-Cookie`)."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def adding(self, *headers: tuple[str, str]) -> Response:
        """A copy with these headers appended."""
        return Response(status=self.status, headers=self.headers + headers, body=self.body)


def json_response(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """`value` as compact JSON."""
    return Response(status=status, headers=(("Content-Type", "application/json"), *headers), body=msgspec.json.encode(value))


def redirect(location: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """302 to `location`, which the caller has checked."""
    return Response(status=302, headers=(("Location", location), *headers))


def problem(status: int, code: str, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A problem document (RFC 9457); `code` is one of the coarse codes, `detail` never names the step that refused."""
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "error": code, "detail": detail}
    content = msgspec.json.encode(body)
    return Response(status=status, headers=(("Content-Type", "application/problem+json"), *NO_STORE, *headers), body=content)
