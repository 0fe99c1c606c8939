"""Request and Response: the framework-neutral pair that adapters translate to and from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import msgspec

from sojourn.errors import BadRequest
from sojourn.models import Value

__all__ = [
    "NO_STORE",
    "Request",
    "Response",
    "json_response",
    "problem",
    "query_first",
    "query_pairs",
    "read_fields",
    "redirect",
]

MAX_BODY: Final = 256 * 1024  # bytes
MAX_FIELDS: Final = 500
MAX_JSON_DEPTH: Final = 100

# Two values for one of these would let two readers of the same request see different things.
_ONCE_ONLY: Final = frozenset(
    {
        "callbackUrl",
        "code",
        "csrfToken",
        "email",
        "error",
        "id_token",
        "iss",
        "json",
        "password",
        "redirect",
        "redirectTo",
        "state",
        "token",
        "username",
    }
)

# Whatever sets or depends on a session must never be stored by anybody between us and the browser (ASVS 14.3.2).
NO_STORE = (("Cache-Control", "private, no-store"), ("Vary", "Cookie"))


class Request(Value, frozen=True, kw_only=True):
    """One request as the server routed it.

    `path` is decoded and as routed (never rebuilt from Host), `query` is the raw text after `?`; `headers` has
    lower-case names, repeated fields joined with `, ` (cookies with `; `); `body` is whole and already limited in size;
    `client` is the peer's address, `scheme` the one of the connection. What may hold a secret is not in its `repr`.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"query", "headers", "body"})

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    client: str | None = None
    scheme: str = "http"


class Response(Value, frozen=True, kw_only=True):
    """One answer: headers keep their order and may repeat (`Set-Cookie`)."""

    hidden: ClassVar[frozenset[str]] = frozenset({"headers", "body"})
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def adding(self, *headers: tuple[str, str]) -> Response:
        """A copy with these headers appended."""
        return Response(status=self.status, headers=self.headers + headers, body=self.body)


def json_response(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """`value` as compact JSON."""
    return Response(
        status=status, headers=(("Content-Type", "application/json"), *headers), body=msgspec.json.encode(value)
    )


def redirect(location: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """302 to `location`, which the caller has checked."""
    return Response(status=302, headers=(("Location", location), *headers))


def problem(status: int, code: str, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A problem document (RFC 9457); `code` is one of the coarse codes, `detail` never names the step that refused."""
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "error": code, "detail": detail}
    content = msgspec.json.encode(body)
    return Response(
        status=status, headers=(("Content-Type", "application/problem+json"), *NO_STORE, *headers), body=content
    )


def read_fields(request: Request) -> Mapping[str, Any]:
    """The body's fields: a urlencoded form (all values text) or a JSON object (values keep their types).

    Any other type of body, or none named, carries no fields: a form of another site may send `text/plain` or multipart
    without asking. In a form, bytes that are no UTF-8 become U+FFFD, and of a repeated name the first counts, unless it
    is one that sign-in itself reads. Raises `BadRequest`: `body_too_large` (413) beyond 256 kB; `invalid_body` for
    broken JSON, more than 500 fields, nesting beyond 100, or a name that may come only once.
    """
    if len(request.body) > MAX_BODY:
        raise BadRequest("body_too_large", f"The body is larger than {MAX_BODY // 1024} kB.", status=413)
    match request.headers.get("content-type", "").partition(";")[0].strip().lower():
        case "application/json":
            return _json_fields(request.body)
        case "application/x-www-form-urlencoded":
            return _form_fields(request.body.decode("utf-8", "replace"))
        case _:
            return {}


def _json_fields(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("invalid_body", "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        return {}
    if len(value) > MAX_FIELDS:
        raise BadRequest("invalid_body", f"The body has more than {MAX_FIELDS} fields.")
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return value
    raise BadRequest("invalid_body", f"The body is nested deeper than {MAX_JSON_DEPTH} levels.")


def _form_fields(text: str) -> Mapping[str, str]:
    if text.count("&") >= MAX_FIELDS:
        raise BadRequest("invalid_body", f"The body has more than {MAX_FIELDS} fields.")
    fields: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace"):
        if name in _ONCE_ONLY and name in fields:
            raise BadRequest("invalid_body", f"The field {name} may come only once.")
        fields.setdefault(name, value)
    return fields


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The first 500 parameters of a raw query, decoded once, in order, repeats and empty values kept. Never raises."""
    text = "&".join(query.split("&", MAX_FIELDS)[:MAX_FIELDS])
    # A lone surrogate could not be written into any answer.
    return parse_qsl(text.encode("utf-8", "replace").decode(), keep_blank_values=True, errors="replace")


def query_first(query: str, name: str) -> str | None:
    """The first value of `name` in a raw query, or None."""
    return next((value for key, value in query_pairs(query) if key == name), None)
