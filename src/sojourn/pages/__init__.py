"""The built-in pages: sign-in, sign-out, error and verify-request (nextauth.md 1.5).

They work without JavaScript, carry no inline script or style, and name no error that is not in `texts`. Templates are
read when the first page is rendered, so that whoever brings pages of their own needs no jinja2; the stylesheet, when it
is first asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from sojourn.errors import ConfigError
from sojourn.pages import texts

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "PAGE_HEADERS",
    "STYLESHEET_HEADERS",
    "ErrorView",
    "ProviderView",
    "SignInView",
    "SignOutView",
    "VerifyRequestView",
    "error_page",
    "page_headers",
    "sign_in_page",
    "sign_out_page",
    "stylesheet",
    "stylesheet_url",
    "verify_request_page",
]

STYLESHEET_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("Content-Type", "text/css; charset=utf-8"),
    ("Cache-Control", "public, max-age=31536000, immutable"),
    ("X-Content-Type-Options", "nosniff"),
)

# "no-referrer" would make browsers send `Origin: null` with our own forms, and the CSRF check would refuse them.
_REFERRER_POLICY: Final = "same-origin"


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """One way to sign in; `type` is `oauth`, `oidc`, `email` or `credentials`."""

    id: str
    name: str
    type: str
    sign_in_url: str
    callback_url: str


class SignInView(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-in page. `callback_url` has passed the redirect rule.

    `error` is whatever the query said; `methods` are provider ids that an `OAuthAccountNotLinked` recommends, of which
    only those among `providers` are shown.
    """

    providers: Sequence[ProviderView]
    csrf_token: str
    callback_url: str
    stylesheet_url: str
    site_name: str
    error: str | None = None
    email: str = ""
    methods: Sequence[str] = ()


class SignOutView(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-out page; `sign_out_url` takes the form, `site_url` is the way back without signing out."""

    sign_out_url: str
    csrf_token: str
    stylesheet_url: str
    site_name: str
    site_url: str
    error: str | None = None


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """The error page; `code` is whatever the query said."""

    code: str | None
    sign_in_url: str
    stylesheet_url: str
    site_name: str
    site_url: str


class VerifyRequestView(msgspec.Struct, frozen=True, kw_only=True):
    """The page after a sign-in link was mailed."""

    stylesheet_url: str
    site_name: str
    site_url: str


def sign_in_page(view: SignInView) -> bytes:
    """The sign-in page as UTF-8 HTML."""
    names = [provider.name for provider in view.providers if provider.id in view.methods]
    return _render(
        "signin.html", view=view, error=texts.sign_in_error(view.error, names), groups=_groups(view.providers)
    )


def sign_out_page(view: SignOutView) -> bytes:
    """The sign-out page as UTF-8 HTML; the form asks first, so that a link alone signs nobody out."""
    return _render("signout.html", view=view, error=texts.sign_out_error(view.error))


def error_page(view: ErrorView) -> tuple[int, bytes]:
    """The status and the error page as UTF-8 HTML; codes are compared without case (nextauth.md 1.2.8)."""
    text = texts.error_page(view.code)
    return text.status, _render("error.html", view=view, text=text)


def verify_request_page(view: VerifyRequestView) -> bytes:
    """The "check your mail" page as UTF-8 HTML."""
    return _render("verify-request.html", view=view)


@cache
def stylesheet() -> bytes:
    """The one stylesheet of all pages."""
    from importlib.resources import files  # 9 ms

    return files(__name__).joinpath("pages.css").read_bytes()


def stylesheet_url(base: str) -> str:
    """Where the pages look for the stylesheet, under `base`; the query changes with the content."""
    return f"{base}/pages.css?v={hashlib.sha256(stylesheet()).hexdigest()[:16]}"


def page_headers(form_targets: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Headers of a page whose forms may end at `form_targets`: the providers' issuers or authorization URLs.

    Chromium holds every redirect after a form's POST against `form-action`, and a provider may send the browser on to
    hosts that nobody can list beforehand. So a target opens its scheme: `https:`, or `http:` for a loopback provider.
    """
    schemes = sorted({urlsplit(target).scheme for target in form_targets} & {"http", "https"}, reverse=True)
    form_action = " ".join(["'self'", *(f"{scheme}:" for scheme in schemes)])
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; "
        f"form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    )
    return (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", _REFERRER_POLICY),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cache-Control", "private, no-store"),
        ("Vary", "Cookie"),
    )


PAGE_HEADERS: Final = page_headers()


def _groups(providers: Sequence[ProviderView]) -> list[list[ProviderView]]:
    # A rule stands between the buttons and each form that asks for something, not between buttons.
    groups: list[list[ProviderView]] = []
    for provider in providers:
        if groups and _is_button(provider) and _is_button(groups[-1][-1]):
            groups[-1].append(provider)
        else:
            groups.append([provider])
    return groups


def _is_button(provider: ProviderView) -> bool:
    return provider.type not in ("email", "credentials")


def _render(template: str, **values: object) -> bytes:
    return _environment().get_template(template).render(**values).encode()


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        fix = "Install sojourn[pages], or give pages of your own for sign_in, sign_out, error and verify_request."
        raise ConfigError("pages", "jinja2 is not installed", fix) from error
    loader = PackageLoader(__name__, "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
