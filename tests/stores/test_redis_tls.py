"""Redis through TLS: the server's name is checked, and its certificate trusted only if its authority is."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sojourn.errors import ConfigError
from sojourn.stores.redis import RedisServer
from tests.servers.valkey import OwnValkey, own_server
from tests.stores.redis_load import a_session, unavailable


@pytest.fixture(scope="module")
def valkey() -> Iterator[OwnValkey]:
    with own_server() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost`, its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def tls_before(valkey: OwnValkey, certificate: Path) -> AsyncIterator[int]:
    """The port of something that speaks TLS and passes everything on; the server of the tests has none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    writers: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", valkey.port)
        await asyncio.gather(carry(reader, ahead), carry(behind, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def test_a_trusted_server_is_talked_to(valkey: OwnValkey, certificate: Path) -> None:
    async with tls_before(valkey, certificate) as port:
        server = RedisServer(f"rediss://localhost:{port}?ssl_ca_certs={certificate}")
        await server.connect()
        record = a_session("ada")
        await server.sessions.insert(record)
        assert await server.sessions.get(record.sid) == record
        await server.aclose()


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
async def test_an_unknown_authority_or_another_name_is_refused(
    valkey: OwnValkey, certificate: Path, host: str, trusted: bool
) -> None:
    async with tls_before(valkey, certificate) as port:
        server = RedisServer(f"rediss://{host}:{port}" + (f"?ssl_ca_certs={certificate}" if trusted else ""))
        with pytest.raises(ConfigError, match="not trusted"):
            await server.connect()
        await server.aclose()


async def test_a_server_without_tls_is_unavailable_through_tls(valkey: OwnValkey, certificate: Path) -> None:
    server = RedisServer(f"rediss://localhost:{valkey.port}?ssl_ca_certs={certificate}")
    await unavailable(server.connect())
    await server.aclose()
