"""Stand-ins for the oauth tests: a transport that answers from a script, a seal, a clock that is driven."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sojourn.errors import TokenError
from sojourn.ports import TransportError, TransportRequest, TransportResponse
from sojourn.providers import OIDC, OAuth, OAuthProvider, OIDCProvider
from sojourn.providers.profiles import openid_profile

NOW = 1_800_000_000
REDIRECT_URI = "https://app.example/api/auth/callback/op"

Script = TransportResponse | Exception | Callable[[TransportRequest], TransportResponse]


def answer(document: object, status: int = 200) -> TransportResponse:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return TransportResponse(status=status, headers={}, body=body)


@dataclass
class ScriptedTransport:
    """Answers by URL; what is not in the script cannot be reached."""

    script: Mapping[str, Script]
    sent: list[TransportRequest] = field(default_factory=list)
    closed: bool = False

    async def send(self, request: TransportRequest) -> TransportResponse:
        self.sent.append(request)
        match self.script.get(request.url):
            case TransportResponse() as response:
                return response
            case None:
                raise TransportError("nobody there")
            case Exception() as error:
                raise error
            case make:
                return make(request)

    async def aclose(self) -> None:
        self.closed = True


class Box:
    """A seal that keeps nothing secret but knows its own."""

    def seal(self, payload: bytes) -> str:
        return "sealed." + base64.urlsafe_b64encode(payload).decode()

    def open(self, token: str) -> bytes:
        kind, _, payload = token.partition(".")
        if kind != "sealed":
            raise TokenError("form")
        return base64.urlsafe_b64decode(payload)


@dataclass
class DrivenClock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


def oidc(**changes: object) -> OIDCProvider:
    settings: dict[str, object] = {
        "id": "op",
        "issuer": "https://op.example",
        "client_id": "me",
        "client_secret": "a secret of at least sixty-four characters, so that HS512 may use it",
    }
    return OIDC(**(settings | changes))  # type: ignore[arg-type]


def oauth(**changes: object) -> OAuthProvider:
    settings: dict[str, object] = {
        "id": "plain",
        "authorize_url": "https://plain.example/authorize",
        "token_url": "https://plain.example/token",
        "userinfo_url": "https://plain.example/me",
        "profile": openid_profile,
        "client_id": "me",
        "client_secret": "secret",
    }
    return OAuth(**(settings | changes))  # type: ignore[arg-type]
