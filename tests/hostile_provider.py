"""A small OpenID provider that tells the truth until it is told to lie; plain asyncio on a loopback port.

Everything it says can be replaced: its metadata, its keys, the members of its token response and of the ID token, the
signing key and algorithm, and, path by path, the whole answer down to the bytes on the wire.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID = "s e:c+r"
CLIENT_SECRET = "top secret & long enough for HS256: yes"
REDIRECT_URI = "http://127.0.0.1:8000/api/auth/callback/op"
REMOVED = object()
"""As a member's value: leave the member out."""

Raw = Callable[[asyncio.StreamWriter], Awaitable[None]]
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(document: object, status: int = 200) -> Answer:
    return Answer(json.dumps(document).encode(), status, {"Content-Type": "application/json"})


@dataclass
class Grant:
    nonce: str | None
    challenge: str
    redirect_uri: str


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for each name and size, made once for the whole run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(modulus), "e": "AQAB"}


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def half_hash(text: str) -> str:
    return b64(hashlib.sha256(text.encode()).digest()[:16])


class HostileProvider:
    """`async with HostileProvider(now) as op`: the truth, and public attributes to bend it with."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.key = rsa_key("first")
        self.kid = "first"
        self.published = [public_jwk(self.key, self.kid)]
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.token_members: dict[str, Any] = {}
        self.profile: dict[str, Any] = {
            "sub": "248289",
            "name": "Ada",
            "email": "Ada@Example.com",
            "email_verified": True,
        }
        self.sign: Callable[[bytes], bytes] = self._sign
        self.answers: dict[str, Answer | Raw] = {}
        self.hits: Counter[str] = Counter()
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self._grants: dict[str, Grant] = {}
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.base = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        # Each notices at its next write; none may outlive the test.
        await asyncio.gather(*(task for task in self._open.values() if task is not None))
        await self._server.wait_closed()

    # -- the browser's part ---------------------------------------------------------------------------------------

    def authorize(self, url: str) -> Pairs:
        """What a browser that was sent to `url` brings back."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=True))
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.base}/authorize"
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._grants[code] = Grant(query.get("nonce"), query["code_challenge"], query["redirect_uri"])
        return [("code", code), ("state", query["state"]), ("iss", self.base)]

    # -- what it says ---------------------------------------------------------------------------------------------

    def discovery(self) -> dict[str, Any]:
        document = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "userinfo_endpoint": f"{self.base}/userinfo",
            "jwks_uri": f"{self.base}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        return _with(document, self.metadata)

    def rotate(self, kid: str) -> None:
        """A new signing key; the old one is no longer published."""
        self.key, self.kid = rsa_key(kid), kid
        self.published = [public_jwk(self.key, kid)]

    def id_token(self, nonce: str | None, access_token: str, code: str) -> str:
        header = _with({"alg": "RS256", "kid": self.kid, "typ": "JWT"}, self.header)
        claims = {
            "iss": self.base,
            "aud": CLIENT_ID,
            "iat": self.now,
            "exp": self.now + 300,
            "nonce": nonce,
            "at_hash": half_hash(access_token),
            "c_hash": half_hash(code),
            **self.profile,
        }
        body = _with(claims, self.claims)
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(body).encode())}"
        return f"{signed}.{b64(self.sign(signed.encode()))}"

    def _sign(self, message: bytes) -> bytes:
        return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def _token(self, headers: dict[str, str], body: bytes) -> Answer:
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        grant = self._grants.pop(form["code"], None)
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = base64.b64decode(value).decode().split(":") if kind == "Basic" else []
        if [unquote_plus(part) for part in given] != [CLIENT_ID, CLIENT_SECRET]:
            return json_answer({"error": "invalid_client"}, 401)
        if (
            grant is None
            or grant.redirect_uri != form["redirect_uri"]
            or grant.challenge != b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        ):
            return json_answer({"error": "invalid_grant"}, 400)
        access_token = secrets.token_urlsafe(16)
        members = {
            "access_token": access_token,
            "token_type": "bearer",
            "expires_in": 3600,
            "id_token": self.id_token(grant.nonce, access_token, form["code"]),
        }
        return json_answer(_with(members, self.token_members))

    # -- the wire -------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = head[0].split(" ")[1].partition("?")[0]
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.hits[path] += 1
            self.seen.append((path, headers, body))
            answer = self.answers.get(path) or self._truth(path, headers, body)
            if isinstance(answer, Answer):
                lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client had enough
        finally:
            del self._open[writer]
            writer.close()

    def _truth(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        match path:
            case "/.well-known/openid-configuration":
                return json_answer(self.discovery())
            case "/jwks":
                return json_answer({"keys": self.published})
            case "/token":
                return self._token(headers, body)
            case "/userinfo":
                return json_answer(self.profile)
            case _:
                return Answer(b"not found", 404)


def _with(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (document | dict(changes)).items() if value is not REMOVED}


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    """A signer that takes `secret` for an HMAC key."""

    def sign(message: bytes) -> bytes:
        mac = hmac.HMAC(secret, hashes.SHA256())
        mac.update(message)
        return mac.finalize()

    return sign


# -- answers that are no answers ---------------------------------------------------------------------------------------


async def silent(writer: asyncio.StreamWriter) -> None:
    """Nothing, until the other side goes."""
    await writer.wait_closed()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte at a time, always in time for an idle timeout, never done."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless(writer: asyncio.StreamWriter) -> None:
    """More and more, as fast as it is taken."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def reset(writer: asyncio.StreamWriter) -> None:
    """The line goes dead."""
    writer.transport.abort()


async def cut_off(writer: asyncio.StreamWriter) -> None:
    """Less than was promised."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"iss')
    await writer.drain()


async def not_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_10.0\r\n\r\n")
    await writer.drain()
