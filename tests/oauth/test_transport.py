from __future__ import annotations

import gzip
import ssl

import pytest

from sojourn.oauth.transport import HTTPTransport
from sojourn.ports import TransportError, TransportRequest
from tests.hostile_provider import Answer, HostileProvider, drip, endless, reset, silent
from tests.oauth.scripted import NOW

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(url: str) -> TransportRequest:
    return TransportRequest(
        method="GET", url=url, headers={"Accept": "application/json", "Authorization": "Bearer s3cret"}
    )


async def test_whole_answer() -> None:
    async with HostileProvider(NOW) as op:
        op.answers["/a"] = Answer(b"{}", 201, {"X-Odd-Case": "1"})
        transport = HTTPTransport(tls=TLS)
        response = await transport.send(get(f"{op.base}/a"))
        await transport.aclose()
        assert (response.status, response.body, response.headers["x-odd-case"]) == (201, b"{}", "1")
        assert op.seen[0][1]["accept-encoding"] == "identity"
        assert op.seen[0][1]["user-agent"] == "Sojourn"


async def test_form_and_body_are_sent_as_they_are() -> None:
    async with HostileProvider(NOW) as op:
        op.answers["/a"] = Answer()
        transport = HTTPTransport(tls=TLS)
        url = f"{op.base}/a"
        await transport.send(TransportRequest(method="POST", url=url, headers={}, form=[("a", "b c"), ("a", "&")]))
        json = {"Content-Type": "application/json"}
        await transport.send(TransportRequest(method="POST", url=url, headers=json, body=b"[1]"))
        await transport.aclose()
        assert [(headers["content-type"], body) for _, headers, body in op.seen] == [
            ("application/x-www-form-urlencoded", b"a=b+c&a=%26"),
            ("application/json", b"[1]"),
        ]


async def test_client_is_made_when_needed_and_again_after_closing() -> None:
    async with HostileProvider(NOW) as op:
        transport = HTTPTransport(tls=TLS)
        await transport.aclose()
        for _ in range(2):
            assert (await transport.send(get(f"{op.base}/none"))).status == 404
            await transport.aclose()


async def test_environment_proxy_is_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with HostileProvider(NOW) as op, HostileProvider(NOW) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base)
        monkeypatch.setenv("ALL_PROXY", proxy.base)
        transport = HTTPTransport(tls=TLS)
        await transport.send(get(f"{op.base}/none"))
        await transport.aclose()
        assert not proxy.hits


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (silent, "within 0.2 s"),
        (drip, "within 0.2 s"),
        (endless, "larger than 1000 bytes"),
        (reset, "failed"),
        (Answer(bytes(1001)), "larger than 1000 bytes"),
        (Answer(gzip.compress(bytes(1001)), headers={"Content-Encoding": "gzip"}), "larger than 1000 bytes"),
        (Answer(gzip.compress(b"abc")[:-1], headers={"Content-Encoding": "GZIP"}), "cut off"),
        (Answer(b"abc", headers={"Content-Encoding": "gzip"}), "failed"),
        (Answer(b"abc", headers={"Content-Encoding": "br"}), "encoding"),
    ],
)
async def test_everything_else_is_a_transport_error(answer: object, words: str) -> None:
    async with HostileProvider(NOW) as op:
        op.answers["/a"] = answer  # type: ignore[assignment]
        transport = HTTPTransport(total=0.2, largest=1000, tls=TLS)
        with pytest.raises(TransportError, match=words) as caught:
            await transport.send(get(f"{op.base}/a"))
        await transport.aclose()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["", "identity", "gzip"])
async def test_largest_answer(encoding: str) -> None:
    body = gzip.compress(bytes(1000)) if encoding == "gzip" else bytes(1000)
    async with HostileProvider(NOW) as op:
        op.answers["/a"] = Answer(body, headers={"Content-Encoding": encoding})
        transport = HTTPTransport(largest=1000, tls=TLS)
        assert (await transport.send(get(f"{op.base}/a"))).body == bytes(1000)
        await transport.aclose()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[", "gopher://a/", "http://\udcff/"])
async def test_address_that_leads_nowhere(url: str) -> None:
    transport = HTTPTransport(tls=TLS)
    with pytest.raises(TransportError):
        await transport.send(get(url))
    await transport.aclose()


async def test_header_that_cannot_be_sent() -> None:
    transport = HTTPTransport()
    with pytest.raises(TransportError) as caught:
        await transport.send(TransportRequest(method="GET", url="http://127.0.0.1:1/", headers={"A": "\u20ac"}))
    await transport.aclose()
    assert "\u20ac" not in str(caught.value)
