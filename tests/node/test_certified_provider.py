"""The certified provider itself, driven without Sojourn: what the flows' tests rest on."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from tests.node.real_parts import CertifiedProvider
from tests.node.visitor import Visitor

pytestmark = pytest.mark.browser

CALLBACK = "http://127.0.0.1:1/api/auth/callback/op"
VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


async def test_the_provider_requires_pkce_names_its_issuer_and_rotates_refresh_tokens(op: CertifiedProvider) -> None:
    client = op.register(redirect_uris=[CALLBACK], grant_types=["authorization_code", "refresh_token"])
    question = {"client_id": client["client_id"], "redirect_uri": CALLBACK, "response_type": "code", "state": "s"}
    question |= {"scope": "openid email offline_access", "prompt": "consent"}
    visitor = Visitor("http://127.0.0.1:1")

    without_pkce = await visitor.http.get(f"{op.issuer}/auth?{urlencode(question)}")
    assert "error=invalid_request" in without_pkce.headers["location"]

    question |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    login = await visitor.follow(await visitor.http.get(f"{op.issuer}/auth?{urlencode(question)}"), until=CALLBACK)
    answer = await visitor.http.post(login, data={"login": "ada"})
    answered = parse_qs(urlsplit(await visitor.follow(answer, until=CALLBACK)).query)
    assert answered.get("state") == ["s"], answered
    assert answered["iss"] == [op.issuer]

    form = {
        "grant_type": "authorization_code",
        "code": answered["code"][0],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    auth = httpx2.BasicAuth(client["client_id"], client["client_secret"])
    tokens = (await visitor.http.post(f"{op.issuer}/token", data=form, auth=auth)).json()
    userinfo = await visitor.http.get(f"{op.issuer}/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert userinfo.json() == {"sub": "ada", "email": "ada@op.example", "email_verified": True}

    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = (await visitor.http.post(f"{op.issuer}/token", data=again, auth=auth)).json()
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert (await visitor.http.post(f"{op.issuer}/token", data=again, auth=auth)).json()["error"] == "invalid_grant"
    await visitor.aclose()
