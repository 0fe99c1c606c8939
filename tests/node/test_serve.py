"""`sojourn serve` as a process of its own, configured by a file, against the certified provider."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.real_parts import CertifiedProvider, first_line, running
from tests.node.visitor import Visitor

pytestmark = pytest.mark.browser


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def served(op: CertifiedProvider, tmp_path: Path) -> Iterator[str]:
    # The address stands in the file, and the provider has to know it: the port is chosen before the server starts.
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    client = op.register(redirect_uris=[f"{url}/api/auth/callback/op"])
    text = {
        "base_url": url,
        "secrets": ["a secret that only this test knows, and long enough"],
        "database": f"sqlite:///{tmp_path / 'served.db'}",
    }
    provider = {"type": "oidc", "id": "op", "issuer": op.issuer}
    provider |= {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    lines = [f"{name} = {json.dumps(value)}" for name, value in text.items()]
    lines += ["[[providers]]", *(f"{name} = {json.dumps(value)}" for name, value in provider.items())]
    file = tmp_path / "sojourn.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    file.chmod(0o600)
    command = [sys.executable, "-m", "sojourn.cli", "serve", "--config", str(file)]
    log = tmp_path / "serve.log"
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], log) as process:
        assert first_line(process, log).strip() == f"sojourn ready on {url}"
        yield url


async def test_sign_in_me_verify_and_sign_out(served: str) -> None:
    visitor = Visitor(served)
    assert (await visitor.http.get(f"{served}/me")).status_code == 401
    await visitor.sign_in("op", "ada", callbackUrl="/me")
    me = (await visitor.http.get(f"{served}/me")).json()
    assert (me["user"]["name"], me["user"]["email"]) == ("Ada", "ada@op.example")
    assert me["session"]["sub"] == me["user"]["id"]
    verified = await visitor.http.get(f"{visitor.base}/verify")
    assert verified.status_code == 204
    assert verified.headers["x-auth-user-id"] == me["user"]["id"]
    await visitor.post("signout")
    assert (await visitor.http.get(f"{served}/me")).status_code == 401
    await visitor.aclose()
