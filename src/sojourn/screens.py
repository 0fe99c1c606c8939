"""What people see: the built-in pages or the application's own, and the refusals as pages and problem documents."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from sojourn import pages
from sojourn.config import Pages
from sojourn.errors import StoreUnavailable
from sojourn.flows.dialect import INLINE_CODES
from sojourn.flows.failures import unavailable
from sojourn.flows.visit import Visit
from sojourn.http import Request, Response, query_first, redirect
from sojourn.providers import OAuthProvider, OIDCProvider, Provider

__all__ = ["Screens"]

_JS_SAFE = "-_.!~*'()"


class Screens:
    """Shows pages; every text of a request that reaches one is resolved, escaped or looked up in a list first."""

    def __init__(
        self,
        *,
        base: str,
        base_path: str,
        origin: str,
        providers: Sequence[Provider],
        own: Pages,
        site_name: str,
        inline_codes: bool,
    ) -> None:
        self._base = base
        self._origin = origin
        self._own = own
        self._site_name = site_name
        self._inline_codes = inline_codes
        self._stylesheet_url = pages.stylesheet_url(base_path)
        self._providers = [
            pages.ProviderView(
                id=provider.id,
                name=provider.name,
                type=provider.type,
                sign_in_url=f"{base}/signin/{provider.id}",
                callback_url=f"{base}/callback/{provider.id}",
            )
            for provider in providers
        ]
        self._headers = pages.page_headers([_target(provider) for provider in providers])

    def show(self, action: str, visit: Visit, segment: str) -> Response:
        """The page of `GET /signin`, `/signout`, `/error` or `/verify-request` (nextauth.md 1.2)."""
        # Half a surrogate pair, as some servers decode a path to, fits into no answer.
        error = query_first(visit.request.query, "error") or segment.encode("utf-8", "replace").decode() or None
        match action:
            case "signin":
                return self._sign_in(visit, error)
            case "signout":
                return redirect(self._own.sign_out) if self._own.sign_out else self._sign_out(visit)
            case "error":
                return self._error(visit, error)
            case _:
                return redirect(self._own.verify_request) if self._own.verify_request else self._verify_request()

    def stylesheet(self) -> Response:
        """The one stylesheet, cacheable for ever under its hash."""
        return Response(status=200, headers=pages.STYLESHEET_HEADERS, body=pages.stylesheet())

    def unavailable(self, request: Request, error: StoreUnavailable) -> Response:
        """503 that signs nobody out: a page for people on their way in or out, a problem document for programs."""
        if "text/html" not in request.headers.get("accept", ""):  # which every browser names that shows a page
            return unavailable(error)
        return self._error_page("Unavailable").adding(("Retry-After", str(error.retry_after)))

    def _sign_in(self, visit: Visit, error: str | None) -> Response:
        if self._own.sign_in:
            more = f"&error={quote(error, safe=_JS_SAFE)}" if error else ""
            mark = "&" if "?" in self._own.sign_in else "?"
            return redirect(f"{self._own.sign_in}{mark}callbackUrl={quote(visit.callback_url, safe=_JS_SAFE)}{more}")
        view = pages.SignInView(
            providers=self._providers,
            csrf_token=visit.csrf_token,
            callback_url=visit.callback_url,
            stylesheet_url=self._stylesheet_url,
            site_name=self._site_name,
            error=error,
            email=query_first(visit.request.query, "email") or "",
            methods=(query_first(visit.request.query, "methods") or "").split(","),
        )
        return Response(status=200, headers=self._headers, body=pages.sign_in_page(view))

    def _sign_out(self, visit: Visit) -> Response:
        view = pages.SignOutView(
            sign_out_url=f"{self._base}/signout",
            csrf_token=visit.csrf_token,
            stylesheet_url=self._stylesheet_url,
            site_name=self._site_name,
            site_url=self._origin,
            error=query_first(visit.request.query, "error"),
        )
        return Response(status=200, headers=self._headers, body=pages.sign_out_page(view))

    def _error(self, visit: Visit, error: str | None) -> Response:
        if self._inline_codes and error in INLINE_CODES:
            methods = query_first(visit.request.query, "methods")
            more = f"&methods={quote(methods, safe=',')}" if methods else ""
            return redirect(f"{self._base}/signin?error={error}{more}")
        if self._own.error:
            mark = "&" if "?" in self._own.error else "?"
            more = f"{mark}error={quote(error, safe=_JS_SAFE)}" if error else ""
            return redirect(f"{self._own.error}{more}")
        return self._error_page(error)

    def _error_page(self, code: str | None) -> Response:
        view = pages.ErrorView(
            code=code,
            sign_in_url=f"{self._base}/signin",
            stylesheet_url=self._stylesheet_url,
            site_name=self._site_name,
            site_url=self._origin,
        )
        status, body = pages.error_page(view)
        return Response(status=status, headers=self._headers, body=body)

    def _verify_request(self) -> Response:
        view = pages.VerifyRequestView(
            stylesheet_url=self._stylesheet_url, site_name=self._site_name, site_url=self._origin
        )
        return Response(status=200, headers=self._headers, body=pages.verify_request_page(view))


def _target(provider: Provider) -> str:
    match provider:
        case OIDCProvider():
            return provider.issuer
        case OAuthProvider():
            return provider.authorize_url
        case _:
            return ""
