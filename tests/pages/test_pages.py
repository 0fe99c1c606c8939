from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from sojourn import pages
from sojourn.errors import ConfigError
from sojourn.pages import ErrorView, ProviderView, SignInView, SignOutView, VerifyRequestView, texts

BASE = "https://app.example/api/auth"
HOSTILE = "\"'><script>alert(1)</script>"
INLINE_CODES = [
    "Signin",
    "OAuthSignin",
    "OAuthCallback",
    "OAuthCreateAccount",
    "EmailCreateAccount",
    "Callback",
    "OAuthAccountNotLinked",
    "EmailSignin",
    "CredentialsSignin",
    "SessionRequired",
]


class Page(HTMLParser):
    """The elements of a page, flat, and its text."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[tuple[dict[str, str], list[tuple[str, dict[str, str]]]]] = []
        self.words = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "form":
            self.forms.append((attributes, []))
        elif self.forms and tag in ("input", "button"):
            self.forms[-1][1].append((tag, attributes))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def form(self, action: str) -> list[tuple[str, dict[str, str]]]:
        found = [children for form, children in self.forms if form["action"] == action]
        assert len(found) == 1
        return found[0]


def provider(provider_id: str, name: str, kind: str) -> ProviderView:
    return ProviderView(
        id=provider_id,
        name=name,
        type=kind,
        sign_in_url=f"{BASE}/signin/{provider_id}",
        callback_url=f"{BASE}/callback/{provider_id}",
    )


GITHUB = provider("github", "GitHub", "oauth")
OP = provider("op", "Example", "oidc")
PASSWORD = provider("credentials", "Credentials", "credentials")
EMAIL = provider("email", "Email", "email")


def sign_in(**changes: Any) -> Page:
    values: dict[str, Any] = {
        "providers": [GITHUB, OP, PASSWORD, EMAIL],
        "csrf_token": "c" * 64,
        "callback_url": "https://app.example/after",
        "stylesheet_url": pages.stylesheet_url(BASE),
        "site_name": "app.example",
    }
    return Page(pages.sign_in_page(SignInView(**(values | changes))))


def sign_out(**changes: Any) -> Page:
    values: dict[str, Any] = {
        "sign_out_url": f"{BASE}/signout",
        "csrf_token": "c" * 64,
        "stylesheet_url": "/pages.css",
        "site_name": "app.example",
        "site_url": "https://app.example",
    }
    return Page(pages.sign_out_page(SignOutView(**(values | changes))))


def error(code: str | None, site_name: str = "app.example") -> tuple[int, Page]:
    view = ErrorView(
        code=code,
        sign_in_url=f"{BASE}/signin",
        stylesheet_url="/pages.css",
        site_name=site_name,
        site_url="https://app.example",
    )
    status, html = pages.error_page(view)
    return status, Page(html)


def verify_request(site_name: str = "app.example") -> Page:
    view = VerifyRequestView(stylesheet_url="/pages.css", site_name=site_name, site_url="https://app.example")
    return Page(pages.verify_request_page(view))


def every_page() -> Mapping[str, Page]:
    return {
        "Sign In": sign_in(error="Callback"),
        "Sign Out": sign_out(error="MissingCSRF"),
        "Error": error("AccessDenied")[1],
        "Verify Request": verify_request(),
    }


def hidden(children: list[tuple[str, dict[str, str]]]) -> dict[str, str]:
    return {a["name"]: a["value"] for tag, a in children if tag == "input" and a["type"] == "hidden"}


@pytest.mark.parametrize("view", [GITHUB, OP])
def test_a_provider_s_form_posts_to_its_sign_in_url(view: ProviderView) -> None:
    children = sign_in().form(view.sign_in_url)
    assert hidden(children) == {"csrfToken": "c" * 64, "callbackUrl": "https://app.example/after"}
    assert [a["type"] for tag, a in children if tag == "button"] == ["submit"]


def test_a_credentials_form_posts_to_its_callback_url() -> None:
    children = sign_in().form(PASSWORD.callback_url)
    assert hidden(children)["csrfToken"] == "c" * 64
    fields = {a["name"]: (a["id"], a["type"]) for tag, a in children if tag == "input" and a["type"] != "hidden"}
    assert fields == {
        "username": ("input-username-for-credentials-provider", "text"),
        "password": ("input-password-for-credentials-provider", "password"),
    }


def test_an_email_form_relies_on_the_callback_cookie() -> None:
    children = sign_in(email="ada@example.com").form(EMAIL.sign_in_url)
    assert hidden(children) == {"csrfToken": "c" * 64}
    box = next(a for _, a in children if a.get("name") == "email")
    assert (box["id"], box["type"], box["value"], "required" in box) == (
        "input-email-for-email-provider",
        "email",
        "ada@example.com",
        True,
    )


def test_every_form_is_a_post() -> None:
    forms = [form for page in every_page().values() for form, _ in page.forms]
    assert forms
    assert all(form["method"] == "POST" for form in forms)


@pytest.mark.parametrize("view", [PASSWORD, EMAIL])
def test_the_first_form_that_asks_has_the_submit_button(view: ProviderView) -> None:
    children = sign_in(providers=[view]).forms[0][1]
    assert [a["id"] for tag, a in children if tag == "button"] == ["submitButton"]


def test_without_a_callback_url_no_field_is_sent() -> None:
    assert "callbackUrl" not in hidden(sign_in(callback_url="").form(GITHUB.sign_in_url))


def test_buttons_are_named_for_their_provider() -> None:
    words = sign_in(providers=[GITHUB, provider("ldap", "Staff", "credentials")]).words
    assert "Sign in with GitHub" in words
    assert "Sign in with Staff" in words


def test_a_rule_stands_between_the_buttons_and_each_form() -> None:
    assert len(sign_in().all("hr")) == 2
    assert sign_in(providers=[GITHUB, OP]).all("hr") == []
    assert len(sign_in(providers=[PASSWORD, GITHUB]).all("hr")) == 1


def test_without_providers_the_page_says_so() -> None:
    assert "No way to sign in" in sign_in(providers=[]).words


def test_sign_out_asks_first() -> None:
    children = sign_out().form(f"{BASE}/signout")
    assert hidden(children) == {"csrfToken": "c" * 64}
    assert [a["id"] for tag, a in children if tag == "button"] == ["submitButton"]
    assert "still signed in" in sign_out(error="MissingCSRF").words
    assert "still signed in" not in sign_out().words


@pytest.mark.parametrize("title", ["Sign In", "Sign Out", "Error", "Verify Request"])
def test_pages_have_the_skeleton_that_scrapers_know(title: str) -> None:
    page = every_page()[title]
    assert title in page.words
    assert page.all("html") == [{"lang": "en"}]
    classes = [a.get("class", "") for _, a in page.elements]
    assert "__next-auth-theme-auto" in classes
    kind = {"Sign In": "signin", "Sign Out": "signout", "Error": "error", "Verify Request": "verify-request"}[title]
    assert classes[classes.index("page") + 1] == kind
    assert "card" in classes


@pytest.mark.parametrize("title", ["Sign In", "Sign Out", "Error", "Verify Request"])
def test_pages_are_accessible_and_carry_nothing_inline(title: str) -> None:
    page = every_page()[title]
    assert len(page.all("main")) == len(page.all("h1")) == 1
    labelled = {a["for"] for a in page.all("label")}
    assert {a["id"] for a in page.all("input") if a["type"] != "hidden"} == labelled
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert page.all("script") == page.all("style") == []
    assert not [name for _, a in page.elements for name in a if name == "style" or name.startswith("on")]
    described = {a["aria-describedby"] for _, a in page.elements if "aria-describedby" in a}
    assert described <= set(ids)


@pytest.mark.parametrize("code", [*INLINE_CODES, "RateLimited", "MissingCSRF"])
def test_an_error_is_announced_with_what_to_do(code: str) -> None:
    page = sign_in(error=code)
    assert [a["role"] for a in page.all("div") if "role" in a] == ["alert"]
    text = texts.sign_in_error(code)
    assert text is not None
    assert text.what in page.words
    assert text.do in page.words
    if code != "Signin":
        assert text != texts.sign_in_error("no such code")


@pytest.mark.parametrize(
    ("v5", "v4"), [("OAuthCallbackError", "Callback"), ("AccountNotLinked", "OAuthAccountNotLinked")]
)
def test_codes_of_version_five_read_the_same(v5: str, v4: str) -> None:
    assert texts.sign_in_error(v5) == texts.sign_in_error(v4)


@pytest.mark.parametrize("code", ["csrf", "callback", "Default", HOSTILE, "x" * 5000])
def test_an_unknown_code_becomes_the_default(code: str) -> None:
    page = sign_in(error=code)
    assert "You could not be signed in." in page.words
    assert code not in page.words.replace("Sign in", "")


@pytest.mark.parametrize("code", [None, ""])
def test_without_a_code_there_is_no_alert(code: str | None) -> None:
    assert not [a for a in sign_in(error=code).all("div") if "role" in a]


def test_an_unlinked_account_is_told_which_way_leads_in() -> None:
    words = sign_in(error="OAuthAccountNotLinked", methods=["op", "credentials"]).words
    assert "Sign in with Example or Credentials, as you did before." in words


def test_methods_of_the_query_show_only_configured_names() -> None:
    words = sign_in(error="OAuthAccountNotLinked", methods=["Call 555-0100 to sign in"]).words
    assert "555" not in words
    assert "Sign in the way you did the first time." in words


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("configuration", 500),
        ("Configuration", 500),
        ("AccessDenied", 403),
        ("accessdenied", 403),
        ("Verification", 403),
        ("RateLimited", 429),
        ("Unavailable", 503),
        ("Default", 200),
        ("boom", 200),
        (HOSTILE, 200),
        ("", 200),
        (None, 200),
    ],
)
def test_the_error_page_has_the_code_s_status_and_a_next_step(code: str | None, status: int) -> None:
    seen, page = error(code)
    assert seen == status
    assert next(a["href"] for a in page.all("a") if "primary" in a["class"]).startswith("https://app.example")
    assert "boom" not in page.words
    assert "alert(1)" not in page.words


@pytest.mark.parametrize("code", ["accessdenied", "verification"])
def test_those_refused_are_led_to_the_sign_in_page(code: str) -> None:
    assert f"{BASE}/signin" in [a["href"] for a in error(code)[1].all("a")]


def test_nothing_from_outside_is_markup() -> None:
    hostile = ProviderView(id=HOSTILE, name=HOSTILE, type="oauth", sign_in_url=HOSTILE, callback_url=HOSTILE)
    form = ProviderView(id=HOSTILE, name=HOSTILE, type="credentials", sign_in_url=HOSTILE, callback_url=HOSTILE)
    mail = ProviderView(id=HOSTILE, name=HOSTILE, type="email", sign_in_url=HOSTILE, callback_url=HOSTILE)
    shown = [
        sign_in(
            providers=[hostile, form, mail],
            csrf_token=HOSTILE,
            callback_url=HOSTILE,
            stylesheet_url=HOSTILE,
            site_name=HOSTILE,
            error="OAuthAccountNotLinked",
            email=HOSTILE,
            methods=[HOSTILE],
        ),
        sign_out(sign_out_url=HOSTILE, csrf_token=HOSTILE, site_name=HOSTILE, site_url=HOSTILE),
        error(HOSTILE, site_name=HOSTILE)[1],
        verify_request(site_name=HOSTILE),
    ]
    for page in shown:
        assert page.all("script") == []
        assert HOSTILE in page.words
    assert shown[0].forms[0][0]["action"] == HOSTILE


def test_the_policy_forbids_everything_inline_and_framing() -> None:
    headers = dict(pages.PAGE_HEADERS)
    policy = headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"):
        assert rule in policy.split("; ")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["Vary"] == "Cookie"


@pytest.mark.parametrize(
    ("targets", "rule"),
    [
        (["https://op.example/authorize"], "form-action 'self' https:"),
        (["http://127.0.0.1:3200"], "form-action 'self' http:"),
        (["http://127.0.0.1:3200", "https://op.example"], "form-action 'self' https: http:"),
        (["javascript:alert(1)", "https:;script-src *", "data:x", "nothing"], "form-action 'self' https:"),
    ],
)
def test_forms_may_end_at_providers(targets: list[str], rule: str) -> None:
    assert rule in dict(pages.page_headers(targets))["Content-Security-Policy"].split("; ")


def test_the_stylesheet_s_address_changes_with_its_content() -> None:
    url = pages.stylesheet_url(BASE)
    assert url == f"{BASE}/pages.css?v={hashlib.sha256(pages.stylesheet()).hexdigest()[:16]}"
    assert re.fullmatch(rf"{BASE}/pages\.css\?v=[0-9a-f]{{16}}", url)
    assert ("Content-Type", "text/css; charset=utf-8") in pages.STYLESHEET_HEADERS


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground", "ratio"),
    [
        ("ink", "ground", 7),
        ("ink", "card", 7),
        ("quiet", "card", 4.5),
        ("quiet", "ground", 4.5),
        ("accent", "card", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-strong", 4.5),
        ("alert", "alert-wash", 4.5),
        ("field", "card", 3),
    ],
)
def test_contrast(theme: str, text: str, ground: str, ratio: float) -> None:
    roots = re.findall(r":root \{(.*?)\}", pages.stylesheet().decode(), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", roots[0 if theme == "light" else 1]))
    assert _contrast(colours[text], colours[ground]) >= ratio


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_importing_the_pages_needs_no_jinja2() -> None:
    code = "import sys, sojourn.pages; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rendering_without_jinja2_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    pages._environment.cache_clear()
    with pytest.raises(ConfigError, match=r"sojourn\[pages\]"):
        verify_request()
