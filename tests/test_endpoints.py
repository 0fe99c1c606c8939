from __future__ import annotations

import pytest

from sojourn.events import Event, SignInFailed
from sojourn.providers import OIDC, Credentials
from tests.support import SESSION, Browser, body_of, check_password, header_of, make_auth, set_cookies_of

UNSUPPORTED = "Error: This action with HTTP {} is not supported by NextAuth.js"


async def test_providers_in_configuration_order() -> None:
    oidc = OIDC(id="op", issuer="http://127.0.0.1:9", client_id="c", client_secret="s")
    browser = Browser(make_auth(providers=[Credentials(authorize=check_password), oidc]))
    answer = await browser.send("GET", "/providers")
    assert body_of(answer) == {
        "credentials": {
            "id": "credentials",
            "name": "Credentials",
            "type": "credentials",
            "signinUrl": "http://127.0.0.1:8000/api/auth/signin/credentials",
            "callbackUrl": "http://127.0.0.1:8000/api/auth/callback/credentials",
        },
        "op": {
            "id": "op",
            "name": "op",
            "type": "oauth",
            "signinUrl": "http://127.0.0.1:8000/api/auth/signin/op",
            "callbackUrl": "http://127.0.0.1:8000/api/auth/callback/op",
        },
    }
    assert list(body_of(answer)) == ["credentials", "op"]
    assert set_cookies_of(answer) == []


async def test_the_csrf_token_stays_and_is_set_once() -> None:
    browser = Browser(make_auth())
    first = await browser.send("GET", "/csrf")
    assert len(set_cookies_of(first)) == 2
    second = await browser.send("GET", "/csrf")
    assert set_cookies_of(second) == []
    assert body_of(first) == body_of(second)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nope"),
        ("GET", ""),
        ("GET", "/callback/nope"),
        ("GET", "/callback"),
        ("GET", "/callback/credentials"),
        ("GET", "/_log"),
        ("POST", "/providers"),
        ("POST", "/csrf"),
        ("POST", "/error"),
        ("PUT", "/session"),
        ("DELETE", "/session"),
        ("OPTIONS", "/session"),
        ("HEAD", "/session"),
    ],
)
async def test_everything_else_is_refused_in_the_protocols_words(method: str, path: str) -> None:
    answer = await Browser(make_auth()).send(method, path)
    assert answer.status == 400
    assert answer.body.decode() == UNSUPPORTED.format(method)
    assert set_cookies_of(answer) == []


async def test_auth_js_refuses_in_its_own_words() -> None:
    browser = Browser(make_auth(compat="authjs-v5"))
    for path in ("/nope", "/csrf/anything", "/_log", "/callback/a/b"):
        answer = await browser.send("GET", path)
        assert (answer.status, answer.body) == (400, b'"Bad request."')


@pytest.mark.parametrize("path", ["/sessions", "/client.js", "/react.js", "/events", "/backchannel-logout/op"])
async def test_what_comes_later_says_so(path: str) -> None:
    answer = await Browser(make_auth()).send("GET", path)
    assert (answer.status, body_of(answer)["code"]) == (404, "not_available")


async def test_every_page_is_safe_to_show_and_never_cached() -> None:
    browser = Browser(make_auth())
    for path in ("/signin", "/signout", "/error?error=AccessDenied", "/verify-request"):
        answer = await browser.send("GET", path)
        policy = header_of(answer, "content-security-policy") or ""
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert header_of(answer, "cache-control") == "private, no-store"
        assert b"<script" not in answer.body


async def test_the_query_never_overrides_what_a_page_shows() -> None:
    browser = Browser(make_auth())
    answer = await browser.send(
        "GET",
        "/signin?csrfToken=planted&providers=x&callbackUrl=https://evil.example&error=%3Cscript%3E&email=%22%3E%3Cb",
    )
    assert answer.status == 200
    assert b"planted" not in answer.body
    assert b"evil.example" not in answer.body
    assert b"<script" not in answer.body
    assert b'"><b' not in answer.body


@pytest.mark.parametrize(
    ("code", "status"), [("Configuration", 500), ("AccessDenied", 403), ("Verification", 403), ("whatever", 200)]
)
async def test_error_pages(code: str, status: int) -> None:
    assert (await Browser(make_auth()).send("GET", f"/error?error={code}")).status == status


async def test_inline_codes_go_on_to_the_sign_in_page() -> None:
    answer = await Browser(make_auth()).send("GET", "/error?error=OAuthCallback")
    assert (answer.status, header_of(answer, "location")) == (
        302,
        "http://127.0.0.1:8000/api/auth/signin?error=OAuthCallback",
    )


@pytest.mark.parametrize(
    "value", ["foo", "javascript:alert(1)", "//evil.example", "https://evil.example/x", "%00", "/\\evil"]
)
async def test_a_malformed_callback_url_is_never_an_error(value: str) -> None:
    for method, path in (("GET", f"/csrf?callbackUrl={value}"), ("POST", "/signout")):
        browser = Browser(make_auth())
        browser.jar["next-auth.callback-url"] = value
        form = {"callbackUrl": value, "csrfToken": await browser.csrf()} if method == "POST" else None
        answer = await browser.send(method, path, form=form)
        assert answer.status in (200, 302)
        assert browser.jar["next-auth.callback-url"] == "http%3A%2F%2F127.0.0.1%3A8000"


async def test_bad_bodies_are_refused_with_a_code() -> None:
    browser = Browser(make_auth())
    headers = {"content-type": "application/json"}
    answer = await browser.send("POST", "/signout", headers=headers)
    assert answer.status == 403 or answer.status == 302
    from sojourn.http import Request

    request = Request(method="POST", path="/api/auth/session", headers=headers, body=b'{"csrfToken": ')
    refused = await browser.auth.handle(request)
    assert (refused.status, body_of(refused)["code"]) == (400, "invalid_body")


async def test_verify_says_who_in_headers_or_401() -> None:
    browser = Browser(make_auth())
    answer = await browser.send("GET", "/verify")
    assert (answer.status, body_of(answer)["code"]) == (401, "session_missing")
    assert header_of(answer, "www-authenticate")
    await browser.sign_in()
    answer = await browser.send("GET", "/verify")
    assert answer.status == 204
    assert header_of(answer, "x-auth-user-id") == "ada"
    assert header_of(answer, "x-auth-email") == "ada@example.com"
    assert header_of(answer, "x-auth-session-id") == browser.auth.verify(browser.jar[SESSION]).sid


@pytest.mark.parametrize(
    ("compat", "where"), [("nextauth-v4", "error?error=Signin"), ("authjs-v5", "error?error=Configuration")]
)
async def test_an_unknown_provider_is_named_in_the_event_and_nobody_is_sent_anywhere(compat: str, where: str) -> None:
    events: list[Event] = []
    browser = Browser(make_auth(compat=compat, events=events))
    answer = await browser.send("POST", "/signin/nowhere", form={"csrfToken": await browser.csrf()})
    assert header_of(answer, "location") == f"http://127.0.0.1:8000/api/auth/{where}"
    assert [event.step for event in events if isinstance(event, SignInFailed)] == ["provider_unknown"]


async def test_log_takes_nothing_and_answers_ok() -> None:
    answer = await Browser(make_auth()).send("POST", "/_log", form={"level": "error", "code": "x\r\ny"})
    assert (answer.status, answer.body) == (200, b"")


async def test_jwks_publishes_public_keys_only() -> None:
    assert body_of(await Browser(make_auth()).send("GET", "/jwks")) == {"keys": []}


async def test_auth_js_speaks_null_and_its_header() -> None:
    browser = Browser(make_auth(compat="authjs-v5"))
    assert (await browser.send("GET", "/session")).body == b"null"
    form = {"csrfToken": await browser.csrf(), "username": "ada", "password": "wrong"}
    answer = await browser.send("POST", "/callback/credentials", form=form, headers={"x-auth-return-redirect": "1"})
    url = "http://127.0.0.1:8000/api/auth/signin?error=CredentialsSignin&code=credentials"
    assert (answer.status, body_of(answer)) == (200, {"url": url})
    form["password"] = "right"
    answer = await browser.send("POST", "/callback/credentials", form=form, headers={"x-auth-return-redirect": "1"})
    assert header_of(answer, "location") == "http://127.0.0.1:8000"
    assert "authjs.session-token" in browser.jar
    assert (await browser.session())["user"]["name"] == "Ada"


@pytest.mark.parametrize("path", ["/signin/credentials", "/signout", "/callback/credentials"])
async def test_auth_js_names_a_missing_csrf_token_on_the_sign_in_page(path: str) -> None:
    browser = Browser(make_auth(compat="authjs-v5"))
    answer = await browser.send("POST", path, form={}, headers={"x-auth-return-redirect": "1"})
    assert body_of(answer) == {"url": "http://127.0.0.1:8000/api/auth/signin?error=MissingCSRF"}


async def test_auth_js_reports_openid_providers_as_such() -> None:
    oidc = OIDC(id="op", issuer="http://127.0.0.1:9", client_id="c", client_secret="s")
    answer = await Browser(make_auth(compat="authjs-v5", providers=[oidc])).send("GET", "/providers")
    assert body_of(answer)["op"]["type"] == "oidc"


async def test_secure_names_on_https() -> None:
    auth = make_auth(base_url="https://app.example")
    browser = Browser(auth)
    names = {text.partition("=")[0] for text in set_cookies_of(await browser.send("GET", "/csrf"))}
    assert names == {"__Host-next-auth.csrf-token", "__Secure-next-auth.callback-url"}
