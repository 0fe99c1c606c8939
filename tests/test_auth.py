from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Literal

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sojourn import Auth, Claims, ConfigError, SessionPolicy, TokenError
from sojourn.events import Event, SessionRefused, StoreFailed
from sojourn.http import Request
from sojourn.testing import DrivenClock
from tests.support import ORIGIN, SECRET, SESSION, Browser, MyClaims, body_of, header_of, make_auth


def test_issue_and_verify_need_no_loop_and_no_request() -> None:
    auth = make_auth()
    session = auth.verify(auth.issue(MyClaims(sub="1", username="ada", is_sponsor=True)))
    assert (session.user_id, session.claims.username, session.claims.is_sponsor) == ("1", "ada", True)
    assert session.expires_at - session.issued_at == 12 * 3600


def test_issue_takes_a_mapping_in_either_spelling() -> None:
    auth = make_auth()
    for members in ({"sub": "1", "isSponsor": True}, {"sub": "1", "is_sponsor": True}):
        assert auth.verify(auth.issue(members)).claims.is_sponsor is True


def test_a_token_beyond_the_budget_is_refused_when_it_is_made() -> None:
    from sojourn import ClaimsTooLarge

    with pytest.raises(ClaimsTooLarge):
        make_auth().issue(MyClaims(sub="1", name="x" * 25_000))


@pytest.mark.parametrize("compat", ["nextauth-v4", "authjs-v5"])
def test_each_family_reads_its_own_tokens_only(compat: str) -> None:
    ours, other = make_auth(compat=compat), make_auth(compat={"nextauth-v4": "authjs-v5"}.get(compat, "nextauth-v4"))
    token = ours.issue(MyClaims(sub="1"))
    assert ours.verify(token).user_id == "1"
    with pytest.raises(TokenError) as caught:
        other.verify(token)
    assert caught.value.step in ("header", "key")


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


KEYS = {
    "EdDSA": pem(ed25519.Ed25519PrivateKey.generate()),
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
    "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
    "RS256": pem(rsa.generate_private_key(65537, 2048)),
}


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA", "Ed25519", "ES256", "RS256"])
async def test_signed_sessions_and_their_published_keys(
    algorithm: Literal["HS256", "EdDSA", "Ed25519", "ES256", "RS256"],
) -> None:
    keys = [KEYS[algorithm]] if algorithm in KEYS else []
    browser = Browser(make_auth(session=SessionPolicy(token=algorithm), signing_keys=keys))
    await browser.sign_in()
    assert (await browser.session())["user"]["name"] == "Ada"
    published = body_of(await browser.send("GET", "/jwks"))["keys"]
    assert [key["kty"] for key in published] == ([] if algorithm == "HS256" else [published[0]["kty"]])
    assert not any(member in key for key in published for member in ("d", "p", "q", "k"))


class Bounded(Claims):
    note: Annotated[str, msgspec.Meta(max_length=50)] = ""


class Unbounded(Claims):
    note: str = ""


class Large(Claims):
    note: Annotated[str, msgspec.Meta(max_length=5000)] = ""


@pytest.mark.parametrize(
    ("claims", "warns"), [(Claims, False), (MyClaims, False), (Bounded, False), (Large, True), (Unbounded, True)]
)
def test_the_worst_case_of_a_claim_set_is_judged_at_start(
    claims: type[Claims], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "sojourn"):
        Auth(secret=SECRET, base_url=ORIGIN, claims=claims)
    assert ("more than one cookie" in caplog.text) is warns


async def test_a_request_for_another_address_is_told_which_one_is_right_and_logged_once() -> None:
    events: list[Event] = []
    auth = make_auth(events=events)
    request = Request(method="GET", path="/", headers={"host": "localhost:8000"})
    for _ in range(3):
        assert (await auth.load(request)).step == "host"
    answer = auth.unauthorized(await auth.load(request))
    assert answer.status == 401
    assert "127.0.0.1:8000" in body_of(answer)["detail"]
    refused = [event for event in events if isinstance(event, SessionRefused)]
    assert [event.step for event in refused] == ["host"]
    assert "base_url" in refused[0].fix


async def test_many_strange_addresses_do_not_fill_the_log() -> None:
    events: list[Event] = []
    auth = make_auth(events=events)
    for n in range(100):
        await auth.load(Request(method="GET", path="/", headers={"host": f"h{n}.example"}))
    assert len(events) == 20


async def test_unauthorized_is_a_problem_document_with_a_challenge() -> None:
    auth = make_auth()
    answer = auth.unauthorized(await auth.load(Request(method="GET", path="/", headers={})))
    assert answer.status == 401
    assert header_of(answer, "content-type") == "application/problem+json"
    assert header_of(answer, "www-authenticate")
    assert body_of(answer)["code"] == "session_missing"


def test_mistakes_are_refused_when_it_is_made() -> None:
    with pytest.raises(ConfigError):
        Auth(secret=SECRET, base_url="http://app.example")
    with pytest.raises(ConfigError):
        Auth(secret=SECRET, base_url=ORIGIN, database="mysql://x")
    with pytest.raises(ConfigError) as caught:
        Auth(secret=SECRET, base_url=ORIGIN, session=SessionPolicy(token="ES256"))
    assert caught.value.key == "signing_keys"


async def test_a_database_that_is_down_at_start_is_not_fatal(tmp_path: object) -> None:
    import sqlite3

    events: list[Event] = []
    path = f"{tmp_path}/sojourn.db"
    blocker = sqlite3.connect(path)
    blocker.execute("BEGIN EXCLUSIVE")
    auth = make_auth(events=events, database=f"sqlite:///{path}")
    try:
        await auth.start()
        assert any(isinstance(event, StoreFailed) for event in events)
        token = auth.issue(MyClaims(sub="1"))
        browser = Browser(auth)
        browser.jar[SESSION] = token
        assert (await browser.load()).session is not None
    finally:
        blocker.close()
        await auth.aclose()


async def test_what_ended_before_is_taken_over_as_soon_as_the_database_is_back(tmp_path: object) -> None:
    import sqlite3

    path = f"{tmp_path}/sojourn.db"
    clock = DrivenClock()
    browser = Browser(make_auth(clock, database=f"sqlite:///{path}"))
    await browser.auth.start()
    await browser.sign_in()
    copied = browser.jar[SESSION]
    await browser.post("/signout")
    await browser.auth.aclose()
    blocker = sqlite3.connect(path)
    blocker.execute("PRAGMA journal_mode=DELETE")
    blocker.execute("BEGIN EXCLUSIVE")
    restarted = Browser(make_auth(clock, database=f"sqlite:///{path}"))
    try:
        await restarted.auth.start()
        blocker.close()
        restarted.jar[SESSION] = copied
        async with asyncio.timeout(5):
            while (code := (await restarted.load()).code) is None:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert code == "session_ended"
    finally:
        blocker.close()
        await restarted.auth.aclose()


def test_the_clock_is_the_one_given() -> None:
    clock = DrivenClock()
    auth = make_auth(clock)
    token = auth.issue(MyClaims(sub="1"))
    clock.advance("12h")
    clock.advance("15s")
    with pytest.raises(TokenError) as caught:
        auth.verify(token)
    assert (caught.value.step, caught.value.code) == ("expired", "session_expired")
