"""Requests that nobody's browser sends by itself, in process: each ends in a refusal, quickly, and grants nothing."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from sojourn import Callbacks, ConfigError, Pages, Profile, Session
from sojourn.config import AuthConfig
from sojourn.http import Request
from sojourn.providers import Credentials, OAuth
from tests.refusals.sites import running_site
from tests.support import ORIGIN, SESSION, Browser, MyClaims, body_of, header_of, make_auth, set_cookies_of

GITHUB = OAuth(
    id="gh",
    authorize_url="http://127.0.0.1:1/authorize",
    token_url="http://127.0.0.1:1/token",
    userinfo_url="http://127.0.0.1:1/userinfo",
    profile=lambda raw: Profile(id=raw["id"]),
    client_id="c",
    client_secret="s",
)


# -- cookies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "sojourn.transaction.a b",
        "sojourn.transaction.\xff",
        "sojourn.transaction.",
        "sojourn.transaction.ABCDEF0123456789",
    ],
)
async def test_a_neighbours_odd_cookie_neither_stops_a_sign_in_nor_comes_back(name: str) -> None:
    browser = Browser(make_auth(providers=[GITHUB]))
    token = await browser.csrf()
    for number in range(5):
        browser.jar[f"{name}{number}"] = "x"
    answer = await browser.send("POST", "/signin/gh", form={"csrfToken": token})
    assert answer.status == 302
    assert len(set_cookies_of(answer)) == 1


async def test_a_flood_of_transaction_cookies_comes_back_as_a_few_deletions() -> None:
    browser = Browser(make_auth(providers=[GITHUB]))
    token = await browser.csrf()
    browser.jar |= {f"sojourn.transaction.{number:016x}": "x" for number in range(400)}
    answer = await browser.send("POST", "/signin/gh", form={"csrfToken": token})
    assert answer.status == 302
    assert len(set_cookies_of(answer)) == 17
    assert sum(map(len, set_cookies_of(answer))) < 4096


async def test_open_sign_ins_of_one_browser_stay_few() -> None:
    browser = Browser(make_auth(providers=[GITHUB]))
    for _ in range(12):
        await browser.post("/signin/gh")
    assert len([name for name in browser.jar if name.startswith("sojourn.transaction.")]) == 4


@pytest.mark.parametrize("path", ["/" + "%" * 2000, "/" + "é" * 300, "/" + "%2F" * 600])
async def test_every_cookie_we_set_is_one_that_browsers_keep(path: str) -> None:
    browser = Browser(make_auth(providers=[GITHUB]))
    answer = await browser.post("/signin/gh", callbackUrl=path)
    for text in set_cookies_of(answer):
        assert len(text.partition(";")[0]) <= 4096


async def test_a_flood_of_session_chunks_costs_a_bounded_answer() -> None:
    browser = Browser(make_auth())
    browser.jar |= {f"{SESSION}.{number}": "x" for number in range(499)}
    answer = await browser.send("GET", "/session")
    assert (answer.status, answer.body) == (200, b"{}")
    assert len(set_cookies_of(answer)) <= 100


# -- queries and bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [101, 501, 5000])
async def test_a_query_of_many_fields_is_no_error(fields: int) -> None:
    browser = Browser(make_auth(providers=[GITHUB]))
    token = await browser.csrf()
    query = "&".join(f"login_hint={number}" for number in range(fields))
    answer = await browser.send("POST", f"/signin/gh?{query}", form={"csrfToken": token})
    assert answer.status == 302
    assert "login_hint=0&" in str(header_of(answer, "location"))


async def test_a_provider_answer_of_many_fields_is_a_bad_request() -> None:
    answer = await Browser(make_auth(providers=[GITHUB])).send("GET", "/callback/gh?" + "&".join(["a=1"] * 200))
    assert (answer.status, body_of(answer)["code"]) == (400, "invalid_query")


DEEP = b'{"csrfToken":' + b"[" * 100_000
BODIES = {
    "deep arrays": DEEP,
    "deep objects": b'{"a":' * 50_000,
    "closed and deep": b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a number beyond every type": b'{"a":1e999}',
    "an integer of 100 000 digits": b'{"a":' + b"9" * 100_000 + b"}",
    "NaN": b'{"a":NaN}',
    "half a character": b'{"a":"\\ud800"}',
    "no UTF-8": b'{"a":"\xff\xfe"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "NUL": b"\0",
    "600 members": b"{" + b",".join(b'"%d":1' % number for number in range(600)) + b"}",
    "cut off": b'{"a":"',
}


@pytest.mark.parametrize(
    "path", ["/session", "/signout", "/signin/gh", "/callback/credentials", "/callback/gh", "/signin"]
)
@pytest.mark.parametrize("body", BODIES)
async def test_a_broken_json_body_is_refused_by_code(path: str, body: str) -> None:
    auth = make_auth(providers=[Credentials(authorize=lambda form: Profile(id="x")), GITHUB])
    headers = {"content-type": "application/json"}
    answer = await auth.handle(Request(method="POST", path=f"/api/auth{path}", headers=headers, body=BODIES[body]))
    assert (answer.status, body_of(answer)["code"]) == (400, "invalid_body")


async def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    headers = {"content-type": "application/json"}
    request = Request(method="POST", path="/api/auth/signout", headers=headers, body=b" " * (256 * 1024 + 1))
    answer = await make_auth().handle(request)
    assert (answer.status, body_of(answer)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("form", ["&".join(["a"] * 501), "a=%FF%FE&" * 400, "a=%00", "csrfToken[]=x", "=" * 1000])
async def test_an_odd_form_is_a_refusal(form: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = Request(method="POST", path="/api/auth/signout", headers=headers, body=form.encode())
    assert (await make_auth().handle(request)).status in (302, 400)


@pytest.mark.parametrize(
    "path",
    [
        "/signin/\ud800",
        "/error/\ud800",
        "/signout/\udfff",
        "/callback/\ud800",
        "/\ud800",
        "/signin/%00",
        "/signin/\x00\r\n",
    ],
)
@pytest.mark.parametrize("pages", [Pages(), Pages(sign_in="/login?x=1", error="/oops", sign_out="/bye")])
async def test_a_path_that_is_no_text_fits_into_every_answer(path: str, pages: Pages) -> None:
    answer = await make_auth(pages=pages).handle(Request(method="GET", path=f"/api/auth{path}"))
    assert answer.status in (200, 302, 400)
    for _, value in answer.headers:
        value.encode("latin-1")
        assert not set(value) & set("\r\n\0")


@pytest.mark.parametrize("pages", [Pages(), Pages(sign_in="/login", error="/oops?a=b")])
@pytest.mark.parametrize(
    "value", ["\r\nSet-Cookie: a=b", "<script>", '"><img src=x>', "é", "\x00", "a" * 20_000, "javascript:1"]
)
async def test_nothing_of_a_query_reaches_an_answer_raw(pages: Pages, value: str) -> None:
    auth = make_auth(pages=pages)
    for path in ("signin", "error", "signout", "verify-request"):
        for name in ("error", "callbackUrl", "email", "methods"):
            query = f"{name}={quote(value, safe='')}&error=x"
            answer = await auth.handle(Request(method="GET", path=f"/api/auth/{path}", query=query))
            assert b"<script" not in answer.body
            assert b"<img src" not in answer.body
            for _, text in answer.headers:
                assert not set(text) & set('\r\n\0<"'), (path, name)


async def test_megabytes_of_hostile_requests_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("sojourn"), "disabled", True)  # pytest keeps every line of the log
    auth = make_auth(providers=[GITHUB])

    async def flood(rounds: int) -> None:
        for number in range(rounds):
            browser = Browser(auth, client=f"2001:db8::{number:x}")
            browser.jar = {f"junk{number}.{index}": "y" * 50 for index in range(100)}
            browser.jar[SESSION] = f"eyJ{number}." * 900
            await browser.send("GET", f"/session?x={'z' * 2000}", headers={"host": f"h{number}.example"})
            await browser.send("POST", "/signin/gh", form={"csrfToken": "q" * 5000})
            request = Request(method="GET", path="/", headers={"host": f"h{number}.example"}, client=browser.client)
            await auth.load(request)

    await flood(50)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    await flood(500)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000  # 200 bytes a round


# -- headers that proxies read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [" ada", "ada ", "ada\r\nX-Auth-User-Id: root", "Zoë\u2028", "100%", "a%0d%0ab", "\x7f\x80"]
)
async def test_verify_says_names_in_one_line_of_ascii_that_decodes_to_them(text: str) -> None:
    from urllib.parse import unquote

    auth = make_auth()
    browser = Browser(auth)
    browser.jar[SESSION] = auth.issue(MyClaims(sub=text, email=text, sid=text))
    answer = await browser.send("GET", "/verify")
    assert answer.status == 204
    for name in ("x-auth-user-id", "x-auth-email", "x-auth-session-id"):
        value = header_of(answer, name) or ""
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()
        assert unquote(value) == text


# -- caching -----------------------------------------------------------------------------------------------------------


async def test_whatever_depends_on_a_cookie_or_sets_one_is_never_cached() -> None:
    async with running_site() as site:
        browser = site.browser()
        for visit in range(2):
            for method in ("GET", "POST", "HEAD", "PUT"):
                for path in (
                    "/session", "/csrf", "/providers", "/signin", "/signin/op", "/signout", "/error", "/verify",
                    "/verify-request", "/callback/op?state=x", "/callback/credentials", "/_log", "/nope", "/sessions",
                    "/error?error=OAuthCallback",
                ):  # fmt: skip
                    answer = await browser.send(method, path)
                    assert "no-store" in str(header_of(answer, "cache-control")), (method, path)
                    assert "private" in str(header_of(answer, "cache-control"))
                    assert header_of(answer, "vary") == "Cookie", (method, path)
            if not visit:
                await browser.sign_in()
        for path in ("/jwks", "/pages.css"):
            answer = await browser.send("GET", path)
            assert "public" in str(header_of(answer, "cache-control"))
            assert set_cookies_of(answer) == []


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["//evil", "/\\evil", "/a\r\nb", "/a b", "/é", "https://x", "", "a", "/a\\b", "/\t/evil", "/\x00"]
)
def test_a_page_of_ones_own_is_a_path_that_fits_into_a_header(page: str) -> None:
    with pytest.raises(ConfigError, match=r"pages\.sign_in"):
        AuthConfig.build(secret="x" * 32, base_url=ORIGIN, claims=MyClaims, pages=Pages(sign_in=page))


async def test_the_way_back_of_a_custom_page_stays_at_home() -> None:
    auth = make_auth(pages=Pages(sign_in="/login", error="/oops", new_user="/welcome"), database="memory:")
    query = urlencode({"callbackUrl": "https://evil.example/x", "error": "https://evil.example"})
    for path in ("signin", "error"):
        answer = await auth.handle(Request(method="GET", path=f"/api/auth/{path}", query=query))
        location = str(header_of(answer, "location"))
        assert location.startswith(("/login?", "/oops?"))
        assert "callbackUrl=https%3A%2F%2Fevil" not in location
    browser = Browser(auth)
    answer = await browser.post("/callback/credentials", username="ada", password="right", callbackUrl="//evil.example")
    assert body_of(answer)["url"] == f"/welcome?callbackUrl={quote(ORIGIN, safe='')}"


async def test_a_session_view_is_bytes_of_one_object() -> None:
    def view(shown: dict[str, Any], session: Session[MyClaims]) -> dict[str, Any]:
        return {**shown, "id": session.user_id}

    browser = Browser(make_auth(callbacks=Callbacks(session=view)))
    await browser.sign_in()
    assert (await browser.session())["id"] == "ada"
