from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.routing import Mount

from sojourn.demo.identity_provider import DevelopmentProvider
from sojourn.demo.people import PEOPLE, ShortLived
from sojourn.errors import ConfigError

ORIGIN = "http://127.0.0.1:8000"
ISSUER = f"{ORIGIN}/dev-idp"
CALLBACK = f"{ORIGIN}/api/auth/callback/dev"
SECRET = "a secret: with+odd%characters"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REQUEST = {
    "client_id": "demo",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile email",
    "state": "s&t=1",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
GRACE = PEOPLE[0]


class DrivenTime:
    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def clock() -> DrivenTime:
    return DrivenTime()


# One for all tests, since making its RSA key takes most of their time; the clock they share only goes forward.
@pytest.fixture(scope="module")
def provider(clock: DrivenTime) -> DevelopmentProvider:
    return DevelopmentProvider(
        issuer=ISSUER, client_id="demo", client_secret=SECRET, redirect_uris=[CALLBACK], clock=clock
    )


@pytest.fixture
async def browser(provider: DevelopmentProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with _client(provider) as client:
        yield client


def _client(provider: DevelopmentProvider, address: str = "127.0.0.1") -> httpx2.AsyncClient:
    app = Starlette(routes=[Mount("/dev-idp", app=provider.app)])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app, client=(address, 40000)), base_url=ORIGIN)


async def _choose(browser: httpx2.AsyncClient, person: str = GRACE.sub, **changes: str | None) -> dict[str, str]:
    """Go through authorization; returns the parameters that come back to the application."""
    asked = {name: value for name, value in (REQUEST | changes).items() if value is not None}
    page = await browser.get("/dev-idp/authorize", params=asked)
    assert page.status_code == 200, page.text
    request_id = re.search(r'name="request" value="([^"]+)"', page.text)
    assert request_id is not None
    answer = await browser.post("/dev-idp/choose", data={"request": request_id[1], "person": person})
    return _parameters(answer)


def _parameters(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    location = answer.headers["location"]
    assert location.startswith(f"{CALLBACK}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query, strict_parsing=True).items()}


async def _redeem(browser: httpx2.AsyncClient, issued: str, **changes: str | None) -> httpx2.Response:
    fields = {
        "grant_type": "authorization_code",
        "code": issued,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": "demo",
        "client_secret": SECRET,
    }
    given = {name: value for name, value in (fields | changes).items() if value is not None}
    return await browser.post("/dev-idp/token", data=given)


async def test_discovery_names_itself_and_what_it_can(browser: httpx2.AsyncClient) -> None:
    document = (await browser.get("/dev-idp/.well-known/openid-configuration")).json()
    assert document["issuer"] == ISSUER
    assert document["authorization_endpoint"] == f"{ISSUER}/authorize"
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True


async def test_the_page_says_that_it_is_for_development_and_offers_everybody(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/dev-idp/authorize", params=REQUEST)
    assert "For development only" in page.text
    assert all(person.name in page.text for person in PEOPLE)
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http:" in policy


async def test_a_choice_comes_back_with_state_and_issuer(browser: httpx2.AsyncClient) -> None:
    answer = await _choose(browser)
    assert answer["state"] == "s&t=1"
    assert answer["iss"] == ISSUER
    assert set(answer) == {"code", "state", "iss"}


async def test_without_a_state_none_comes_back(browser: httpx2.AsyncClient) -> None:
    assert set(await _choose(browser, state=None)) == {"code", "iss"}


async def test_the_id_token_is_signed_and_about_the_chosen_person(
    browser: httpx2.AsyncClient, clock: DrivenTime
) -> None:
    response = await _redeem(browser, (await _choose(browser))["code"])
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer["token_type"] == "Bearer"
    keys = KeySet.import_key_set((await browser.get("/dev-idp/jwks")).json())
    assert not any("d" in key.as_dict(private=False) for key in keys.keys)
    token = jwt.decode(answer["id_token"], keys, algorithms=["RS256"])
    half = hashlib.sha256(answer["access_token"].encode()).digest()[:16]
    assert token.claims == {
        "iss": ISSUER,
        "aud": "demo",
        "sub": GRACE.sub,
        "iat": clock.now,
        "exp": clock.now + 300,
        "auth_time": clock.now,
        "nonce": "n",
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        "name": "Grace Hopper",
        "preferred_username": "grace",
        "sponsor": True,
        "email": "grace@example.com",
        "email_verified": True,
    }


async def test_userinfo_says_what_the_scopes_allow(browser: httpx2.AsyncClient) -> None:
    token = (await _redeem(browser, (await _choose(browser, scope="openid email"))["code"])).json()["access_token"]
    answer = await browser.get("/dev-idp/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"sub": GRACE.sub, "email": "grace@example.com", "email_verified": True}
    token = (await _redeem(browser, (await _choose(browser, scope="openid"))["code"])).json()["access_token"]
    answer = await browser.get("/dev-idp/userinfo", headers={"Authorization": f"bearer {token}"})
    assert answer.json() == {"sub": GRACE.sub}


async def test_userinfo_needs_a_live_token(browser: httpx2.AsyncClient, clock: DrivenTime) -> None:
    token = (await _redeem(browser, (await _choose(browser))["code"])).json()["access_token"]
    for authorization in ("", "Bearer nonsense", f"Basic {token}"):
        answer = await browser.get("/dev-idp/userinfo", headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    clock.now += 300
    answer = await browser.get("/dev-idp/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_basic_authentication_is_percent_decoded(browser: httpx2.AsyncClient) -> None:
    code = (await _choose(browser))["code"]
    encoded = base64.b64encode(b"demo:a+secret%3A+with%2Bodd%25characters").decode()
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    answer = await browser.post("/dev-idp/token", data=fields, headers={"Authorization": f"Basic {encoded}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"redirect_uri": f"{CALLBACK}/"}, 400, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_grant"),
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_grant"),
    ],
)
async def test_a_code_is_not_redeemed_unless_all_fits(
    browser: httpx2.AsyncClient, changes: dict[str, str | None], status: int, error: str
) -> None:
    answer = await _redeem(browser, (await _choose(browser))["code"], **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert SECRET not in answer.text


@pytest.mark.parametrize("authorization", ["Basic %%%", "Basic ZGVtbw=="])
async def test_an_unreadable_authorization_is_refused(browser: httpx2.AsyncClient, authorization: str) -> None:
    code = (await _choose(browser))["code"]
    fields = {"grant_type": "authorization_code", "code": code}
    answer = await browser.post("/dev-idp/token", data=fields, headers={"Authorization": authorization})
    assert answer.status_code == 401


async def test_a_client_authenticates_in_one_way(browser: httpx2.AsyncClient) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(b"demo:x").decode()}
    answer = await browser.post("/dev-idp/token", data={"client_secret": SECRET}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_parameter_given_twice_is_refused(browser: httpx2.AsyncClient) -> None:
    body = "grant_type=authorization_code&code=a&code=b"
    answer = await browser.post("/dev-idp/token", content=body)
    assert answer.json()["error"] == "invalid_request"


async def test_a_code_is_redeemed_once(browser: httpx2.AsyncClient) -> None:
    code = (await _choose(browser))["code"]
    assert (await _redeem(browser, code)).status_code == 200
    assert (await _redeem(browser, code)).json()["error"] == "invalid_grant"


async def test_a_failed_try_spends_the_code(browser: httpx2.AsyncClient) -> None:
    code = (await _choose(browser))["code"]
    assert (await _redeem(browser, code, code_verifier="x")).status_code == 400
    assert (await _redeem(browser, code)).json()["error"] == "invalid_grant"


async def test_a_code_lives_a_minute(browser: httpx2.AsyncClient, clock: DrivenTime) -> None:
    code = (await _choose(browser))["code"]
    clock.now += 60
    assert (await _redeem(browser, code)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "somebody"},
        {"client_id": None},
        {"redirect_uri": f"{CALLBACK}?more=1"},
        {"redirect_uri": f"{CALLBACK}/../evil"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": None},
    ],
)
async def test_nothing_is_sent_to_an_unregistered_address(
    browser: httpx2.AsyncClient, changes: dict[str, str | None]
) -> None:
    asked = {name: value for name, value in (REQUEST | changes).items() if value is not None}
    answer = await browser.get("/dev-idp/authorize", params=asked)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "evil" not in answer.text


async def test_an_authorization_parameter_given_twice_is_refused(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/dev-idp/authorize", params=[*REQUEST.items(), ("state", "other")])
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_request_that_cannot_be_met_goes_back_with_its_error(
    browser: httpx2.AsyncClient, changes: dict[str, Any], error: str
) -> None:
    asked = {name: value for name, value in (REQUEST | changes).items() if value is not None}
    answer = _parameters(await browser.get("/dev-idp/authorize", params=asked))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "s&t=1", ISSUER)
    assert "code" not in answer


async def test_cancelling_is_an_access_denied(browser: httpx2.AsyncClient) -> None:
    answer = await _choose(browser, person="")
    assert answer == {"error": "access_denied", "state": "s&t=1", "iss": ISSUER}


async def test_a_choice_is_made_once_and_in_time(browser: httpx2.AsyncClient, clock: DrivenTime) -> None:
    page = await browser.get("/dev-idp/authorize", params=REQUEST)
    fields = {"request": re.findall(r'name="request" value="([^"]+)"', page.text)[0], "person": GRACE.sub}
    assert (await browser.post("/dev-idp/choose", data=fields)).status_code == 302
    assert (await browser.post("/dev-idp/choose", data=fields)).status_code == 400
    page = await browser.get("/dev-idp/authorize", params=REQUEST)
    fields["request"] = re.findall(r'name="request" value="([^"]+)"', page.text)[0]
    clock.now += 600
    assert (await browser.post("/dev-idp/choose", data=fields)).status_code == 400


async def test_only_known_people_can_be_chosen(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/dev-idp/authorize", params=REQUEST)
    request_id = re.findall(r'name="request" value="([^"]+)"', page.text)[0]
    answer = await browser.post("/dev-idp/choose", data={"request": request_id, "person": "<b>root</b>"})
    assert answer.status_code == 400
    assert "root" not in answer.text


@pytest.mark.parametrize(
    "issuer", ["http://192.0.2.1/dev-idp", "https://app.example", "http://0.0.0.0:8000", "dev-idp"]
)
def test_it_refuses_an_issuer_beyond_this_machine(issuer: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        DevelopmentProvider(issuer=issuer, client_id="demo", client_secret=SECRET, redirect_uris=[CALLBACK])


@pytest.mark.parametrize("issuer", ["http://localhost:8000/x", "http://[::1]:8000", "http://127.0.0.9"])
def test_it_runs_on_every_loopback_host(issuer: str) -> None:
    made = DevelopmentProvider(issuer=issuer, client_id="demo", client_secret=SECRET, redirect_uris=[CALLBACK])
    assert made.issuer == issuer


async def test_it_refuses_other_machines(provider: DevelopmentProvider) -> None:
    async with _client(provider, "192.0.2.7") as stranger:
        assert (await stranger.get("/dev-idp/authorize", params=REQUEST)).status_code == 403


def test_a_flood_of_requests_keeps_only_the_latest(clock: DrivenTime) -> None:
    kept: ShortLived[int] = ShortLived(60, clock)
    names = [kept.keep(number) for number in range(1500)]
    assert kept.get(names[0]) is None
    assert kept.get(names[-1]) == 1499
    assert len(kept._kept) == 1000
