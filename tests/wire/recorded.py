"""What a real next-auth 4 answered, and both sides' answers in one form that can be compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SECRET = "test-secret-123"
VECTORS = Path(__file__).parent.parent / "vectors" / "wire-v4.json"

_JWE = re.compile(r"eyJ[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RANDOM = re.compile(r"([?&](?:state|code_challenge|nonce)=)[\w-]{43}(?=&|$)")
_TRANSACTION = re.compile(r"(\.transaction)\.[0-9a-f]{16}$")
_MILLISECONDS = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}Z")


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer."""

    label: str
    config: str
    method: str
    path: str
    body: str | None
    form: bool
    status: int
    headers: tuple[tuple[str, str], ...]
    answer: str

    @property
    def query(self) -> str:
        return self.path.partition("?")[2]


def exchanges() -> list[Exchange]:
    """All of them, in the order in which they were recorded."""
    recorded = json.loads(VECTORS.read_text(encoding="utf-8"))["exchanges"]
    return [
        Exchange(
            label=one["label"],
            config=one["config"],
            method=one["method"],
            path=one["path"],
            body=one["request_body"],
            form=one["request_form"],
            status=one["status"],
            headers=tuple((name, value) for name, value in one["headers"]),
            answer=one["body"] or "",
        )
        for one in recorded
    ]


def csrf_cookie(token: str) -> str:
    """The value of a CSRF cookie as next-auth makes it: the token and its hash with the secret."""
    return f"{token}|{hashlib.sha256((token + SECRET).encode()).hexdigest()}"


def _media_type(value: str) -> str:
    return value.partition(";")[0]


def _cookie(header: str) -> tuple[str, str]:
    pair, _, attributes = header.partition("; ")
    name, _, value = pair.partition("=")
    return f"cookie {_TRANSACTION.sub(r'.transaction.<id>', name)}", f"{_value(name, unquote(value))}; {attributes}"


def _value(name: str, value: str) -> str:
    token, bar, _ = value.partition("|")
    if name.endswith("csrf-token") and bar and value == csrf_cookie(token):
        return "<token>|<hash>"
    if _JWE.fullmatch(value):
        return "<JWE>"
    return "<opaque>" if _UUID.fullmatch(value) else value


def _url(url: str) -> str:
    return _RANDOM.sub(r"\1<random>", url)


def _body(body: str) -> str:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, dict):
        if isinstance(document.get("url"), str):
            document["url"] = _url(document["url"])
        if re.fullmatch(r"[0-9a-f]{64}", str(document.get("csrfToken"))):
            document["csrfToken"] = "<token>"
    # The recorder's clock had milliseconds, ours counts seconds.
    return _MILLISECONDS.sub(r"\1.000Z", json.dumps(document, ensure_ascii=False))


_COMPARED: dict[str, Callable[[str], str]] = {"location": _url, "content-type": _media_type, "cache-control": str}


def compared(status: int, headers: Iterable[tuple[str, str]], body: str) -> dict[str, str]:
    """An answer as texts by field, with what is random or sealed replaced by what it is."""
    fields = {"status": str(status)}
    for name, value in headers:
        if name.lower() == "set-cookie":
            cookie, text = _cookie(value)
            assert cookie not in fields, f"{cookie} is set twice"
            fields[cookie] = text
        elif name.lower() in _COMPARED:
            fields[name.lower()] = _COMPARED[name.lower()](value)
    if body and fields.get("content-type") != "text/html":
        fields["body"] = _body(body)
    return fields
