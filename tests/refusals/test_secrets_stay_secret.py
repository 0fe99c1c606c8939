"""Whole sign-ins with planted secrets: none of them is ever in a log line, an event, an address or a repr."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
import pytest

from sojourn import Profile
from sojourn.http import Request, Response
from sojourn.oauth import transaction
from sojourn.passwords import insecure_testing
from sojourn.providers import OIDC, Credentials
from sojourn.strategies import Issued
from sojourn.testing import DrivenClock
from tests.hostile_provider import CLIENT_ID, CLIENT_SECRET, Answer, HostileProvider, json_answer
from tests.refusals.sites import Site, begin, finish, running_site
from tests.support import SECRET, SESSION, Browser, make_auth, set_cookies_of

PASSWORD = "canary-password-7f3a"
FORMATTER = logging.Formatter("%(message)s")


class Watch:
    """Everything that left the site by another way than a cookie, and every secret that it must not contain."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.secrets: dict[str, str] = {"server secret": SECRET, "client secret": CLIENT_SECRET, "password": PASSWORD}

    def keep(self, name: str, value: str | None) -> None:
        if value:
            self.secrets[name] = value

    def see(self, response: Response) -> None:
        """Addresses in the answer; its cookies are secrets from here on."""
        for name, value in response.headers:
            if name.lower() == "location":
                self.texts.append(value)
            elif name.lower() == "set-cookie":
                cookie, _, text = value.partition(";")[0].partition("=")
                if "callback-url" not in cookie:
                    self.keep(f"cookie {cookie} {len(self.secrets)}", text)
        if response.body.startswith(b'{"url"'):
            self.texts.append(msgspec.json.decode(response.body)["url"])

    def check(self) -> None:
        everything = "\n".join(self.texts)
        assert len(everything) > 200
        for name, secret in self.secrets.items():
            assert len(secret) >= 8, name
            for spelling in {secret, quote(secret, safe=""), repr(secret)[1:-1]}:
                assert spelling not in everything, name


class _Keep(logging.Handler):
    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.DEBUG)
        self.watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self.watch.texts += [FORMATTER.format(record), repr(record.__dict__)]


@contextmanager
def watching(*, libraries: int = logging.DEBUG) -> Iterator[Watch]:
    """Every logger of the process into the watch, the HTTP client's from the level `libraries` on."""
    watch = Watch()
    root, handler = logging.getLogger(), _Keep(watch)
    wanted = {"": logging.DEBUG, "sojourn": logging.DEBUG, "httpx2": libraries, "httpcore2": libraries}
    levels = {name: logging.getLogger(name).level for name in wanted}
    root.addHandler(handler)
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield watch
    finally:
        root.removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class WatchedBrowser(Browser):
    """A browser that shows the watch every answer."""

    watch: Watch

    async def send(self, *arguments: Any, **named: Any) -> Response:
        response = await super().send(*arguments, **named)
        self.watch.see(response)
        return response


def browser_of(site: Site, watch: Watch) -> WatchedBrowser:
    browser = WatchedBrowser(site.auth)
    browser.watch = watch
    return browser


def only_canary(form: Any) -> Profile | None:
    return Profile(id="ada", name="Ada") if form.get("password") == PASSWORD else None


async def live(browser: Browser, site: Site) -> None:
    """A session's whole life: shown, updated, extended, refused, ended, and refused again."""
    copied = browser.jar[SESSION]
    await browser.send("GET", "/session")
    await browser.send("POST", "/session", data={"csrfToken": await browser.csrf(), "data": {"name": "x"}})
    site.clock.advance("2h")
    await browser.load()
    await browser.send("GET", "/verify")
    edited = dict(browser.jar)
    for token in (copied[:-8] + "AAAAAAAA", copied[:40], f"x{copied}", copied + "."):
        browser.jar[SESSION] = token
        await browser.send("GET", "/verify")
    browser.jar |= edited
    await browser.post("/signout")
    browser.jar[SESSION] = copied
    await browser.send("GET", "/verify")
    await browser.load()


@pytest.mark.parametrize("settings", [{}, {"database": "memory:"}])
async def test_a_life_with_a_password(settings: dict[str, Any]) -> None:
    with watching() as watch:
        async with running_site(providers=[Credentials(authorize=only_canary)], **settings) as site:
            browser = browser_of(site, watch)
            watch.keep("csrf token", await browser.csrf())
            await browser.sign_in("ada", f"{PASSWORD}-wrong")
            for _ in range(12):
                await browser.sign_in("nobody", PASSWORD * 2)
            await browser.send("POST", "/callback/credentials", form={"username": "ada", "password": PASSWORD})
            await browser.sign_in("ada", PASSWORD)
            await live(browser, site)
            watch.texts += [repr(event) for event in site.events]
        watch.check()


async def test_a_life_with_a_provider() -> None:
    with watching() as watch:
        async with running_site(database="memory:") as site:
            browser = browser_of(site, watch)
            pairs = await begin(browser, site.op)
            sent_away = watch.texts.pop()  # to the provider, with what it must be told: state and nonce
            told = dict(parse_qsl(urlsplit(sent_away).query))
            assert CLIENT_SECRET not in sent_away
            for name in ("state", "nonce"):
                watch.keep(name, told[name])
            watch.keep("code", dict(pairs)["code"])
            await finish(browser, pairs)
            await finish(browser, pairs)
            for path, headers, body in site.op.seen:
                form = dict(parse_qsl(body.decode()))
                watch.keep(f"verifier sent to {path}", form.get("code_verifier"))
                watch.keep(f"authorization sent to {path}", headers.get("authorization"))
            assert any(name.startswith("verifier") for name in watch.secrets)
            await live(browser, site)
            watch.texts += [repr(event) for event in site.events]
        watch.check()


CANARY = "canary-of-the-provider-91c2"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/token", json_answer({"error": CANARY, "error_description": CANARY}, 400)),
        ("/token", json_answer({"access_token": CANARY, "token_type": CANARY, "id_token": CANARY})),
        ("/token", json_answer({"access_token": CANARY, "token_type": "bearer", "id_token": f"{CANARY}.{CANARY}.x"})),
        ("/token", Answer(CANARY.encode())),
        ("/jwks", json_answer({"keys": [{"kty": "RSA", "kid": CANARY, "d": CANARY}]})),
        ("/jwks", Answer(CANARY.encode(), 500, {"X-Canary": CANARY})),
        ("/.well-known/openid-configuration", Answer(CANARY.encode(), 302, {"Location": f"http://{CANARY}/"})),
    ],
)
async def test_what_a_failing_provider_says_stays_with_it(path: str, answer: Answer) -> None:
    # At DEBUG the client logs the headers of an answer: the provider's own, none of our secrets.
    with watching(libraries=logging.INFO) as watch:
        async with running_site() as site:
            browser = browser_of(site, watch)
            if path.startswith("/.well"):
                site.op.answers[path] = answer
                await browser.post("/signin/op")
            else:
                pairs = await begin(browser, site.op)
                watch.texts.clear()
                site.op.answers[path] = answer
                watch.keep("code", dict(pairs)["code"])
                await finish(browser, pairs)
            assert SESSION not in browser.jar
            watch.texts += [repr(event) for event in site.events]
            canary_seen = [text for text in watch.texts if CANARY in text]
        # An error code is a plain word of the protocol and helps the operator; nothing else of an answer is repeated.
        allowed = re.compile(rf"the provider answered (with the error )?{CANARY}")
        assert [text for text in canary_seen if not allowed.search(text)] == []
        watch.check()


async def test_an_application_that_raises_with_secrets_in_its_words() -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError(f"postgres://app:{PASSWORD}@db")

    from sojourn import Callbacks

    for settings in (
        {"providers": [Credentials(authorize=broken)]},
        {"callbacks": Callbacks(sign_in=broken)},
        {"callbacks": Callbacks(claims=broken)},
        {"callbacks": Callbacks(redirect=broken)},
        {"callbacks": Callbacks(session=broken)},
    ):
        with watching() as watch:
            async with running_site(**settings) as site:
                browser = browser_of(site, watch)
                answer = await browser.sign_in()
                shown = await browser.send("GET", "/session")
                watch.texts += [repr(event) for event in site.events]
                watch.texts += [answer.body.decode(), shown.body.decode(), "padding " * 40]
            watch.check()


async def test_what_holds_a_secret_does_not_show_it() -> None:
    auth = make_auth(clock := DrivenClock())
    op = OIDC(id="op", issuer="https://op.example", client_id="c", client_secret=CLIENT_SECRET)
    begun = transaction.begin(op, "/", clock())
    token = auth.issue({"sub": "ada"})
    request = Request(
        method="POST",
        path="/",
        query=f"code={PASSWORD}",
        headers={"cookie": f"{SESSION}={token}", "authorization": f"Bearer {token}"},
        body=f"password={PASSWORD}".encode(),
    )
    assert auth._verifier is not None
    issued: Issued[Any] = auth._verifier.issue(auth.verify(token).claims)
    carried = await auth._sessions.carried(f"{SESSION}={token}")
    shown = "\n".join(
        map(
            repr,
            [
                auth,
                auth.config,
                auth._keyring,
                auth._strategy,
                auth._endpoints,
                op,
                begun,
                request,
                Response(status=200, headers=(("Set-Cookie", token),), body=token.encode()),
                issued,
                carried,
                auth._sessions.cookies_for(issued, ""),
                make_auth(providers=[op]).config,
                insecure_testing,
                HostileProvider(0),
            ],
        )
    )
    assert carried.token == token
    for secret in (SECRET, PASSWORD, CLIENT_SECRET, token, issued.token, begun.state, begun.verifier, str(begun.nonce)):
        assert secret not in shown


async def test_what_a_visit_holds_is_not_in_its_repr() -> None:
    auth = make_auth()
    browser = Browser(auth)
    token = await browser.csrf()
    headers = {"cookie": browser.cookie_header, "content-type": "application/x-www-form-urlencoded"}
    request = Request(method="POST", path="/", headers=headers, body=f"password={PASSWORD}&csrfToken={token}".encode())
    visit = await auth._endpoints._read_visit(request)
    assert visit.fields["password"] == PASSWORD
    assert visit.csrf_token == token
    assert PASSWORD not in repr(visit)
    assert token not in repr(visit)


async def test_a_session_is_in_no_address_and_in_no_document() -> None:
    async with running_site(database="memory:") as site:
        browser = site.browser()
        await finish(browser, await begin(browser, site.op))
        token = browser.jar[SESSION]
        for path in ("/session", "/csrf", "/providers", "/signin", "/signout", "/error", "/verify", "/jwks"):
            answer = await browser.send("GET", path)
            assert token.encode() not in answer.body
            assert token not in repr(answer.headers)
            assert b"access_token" not in answer.body
            assert set_cookies_of(answer) == []
    assert CLIENT_ID
