"""The way to providers: httpx2 with every limit set (requirements OAU-21, OAU-22)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import anyio

from sojourn.ports import TransportError, TransportRequest, TransportResponse

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["HTTPTransport"]

_LARGEST: Final = 1_000_000
_LOOPBACK: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class HTTPTransport:
    """Sends without following redirects or keeping cookies. One for each `Auth`: it belongs to one event loop.

    `connect` and `total` are seconds by wall clock, `largest` is in bytes after inflating, `tls` judges certificates
    (the machine's authorities unless given).
    """

    def __init__(
        self, *, connect: float = 2.0, total: float = 5.0, largest: int = _LARGEST, tls: ssl.SSLContext | None = None
    ) -> None:
        self._connect = connect
        self._total = total
        self._largest = largest
        self._tls = tls
        self._client: httpx2.AsyncClient | None = None

    async def send(self, request: TransportRequest) -> TransportResponse:
        """The whole answer; `TransportError` for anything else, without what was sent or received."""
        try:
            with anyio.fail_after(self._total):
                return await self._exchange(request)
        except TransportError:
            raise
        except TimeoutError:
            raise TransportError(f"no whole answer within {self._total:g} s") from None
        except Exception as error:  # noqa: BLE001  whatever a foreign server can make a client library raise
            raise TransportError(f"the exchange failed: {type(error).__name__}") from None

    async def aclose(self) -> None:
        """Close the connections; a later `send` opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(self, request: TransportRequest) -> TransportResponse:
        client = self._client = self._client or self._open()
        headers = dict(request.headers)
        content = request.body
        if request.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode(request.form).encode()
        async with client.stream(request.method, request.url, headers=headers, content=content) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                self._limit(body)
        fields = {name.lower(): value for name, value in response.headers.items()}
        return TransportResponse(
            status=response.status_code,
            headers=fields,
            body=self._inflated(bytes(body), fields.get("content-encoding")),
        )

    def _open(self) -> httpx2.AsyncClient:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx2

        return httpx2.AsyncClient(
            verify=self._tls or True,
            timeout=httpx2.Timeout(self._total, connect=self._connect),
            follow_redirects=False,
            headers={"User-Agent": "Sojourn", "Accept-Encoding": "identity"},
            # A provider's cookie of one person's sign-in must not travel with the next one's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # A provider on this machine is never behind the proxy that the environment names.
            mounts=dict.fromkeys(_LOOPBACK),
        )

    def _inflated(self, body: bytes, encoding: str | None) -> bytes:
        if encoding is None or encoding.strip().lower() in {"", "identity"}:
            return body
        if encoding.strip().lower() not in {"gzip", "deflate"}:
            raise TransportError("the answer has an encoding that was not asked for")
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        plain = inflate.decompress(body, self._largest + 1)
        self._limit(plain)
        if not inflate.eof:
            raise TransportError("the answer is cut off")
        return plain

    def _limit(self, body: bytes | bytearray) -> None:
        if len(body) > self._largest:
            raise TransportError(f"the answer is larger than {self._largest} bytes")
