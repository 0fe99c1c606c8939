"""A browser without a screen: keeps cookies, follows redirects one at a time, fills in the provider's login page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import httpx2

MOST_REDIRECTS = 10
SESSION_COOKIES = ("next-auth.session-token", "authjs.session-token")


class Visitor:
    """One person's browser, walking through a site that mounts Sojourn and through the certified provider."""

    def __init__(self, site: str, base_path: str = "/api/auth") -> None:
        self.site = site
        self.base = site + base_path
        self.http = httpx2.AsyncClient(timeout=30)

    async def aclose(self) -> None:
        await self.http.aclose()

    async def csrf_token(self) -> str:
        token: str = (await self.http.get(f"{self.base}/csrf")).json()["csrfToken"]
        return token

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        """A form of the built-in pages or of the client: the token comes with it."""
        return await self.http.post(f"{self.base}/{path}", data={"csrfToken": await self.csrf_token(), **fields})

    async def session(self) -> Any:
        answer = await self.http.get(f"{self.base}/session")
        assert answer.status_code == 200
        return answer.json()

    async def follow(self, answer: httpx2.Response, until: str) -> str:
        """Follow redirects until one leads to an address that starts with `until`; that address, not visited."""
        for _ in range(MOST_REDIRECTS):
            assert answer.is_redirect, f"{answer.status_code} from {answer.url}: {answer.text[:500]}"
            location = urljoin(str(answer.url), answer.headers["location"])
            if location.startswith(until):
                return location
            answer = await self.http.get(location)
            if answer.status_code == 200 and "/interaction/" in str(answer.url):
                return str(answer.url)
        raise AssertionError(f"still no {until} after {MOST_REDIRECTS} redirects")

    async def start(self, provider: str, *, query: str = "", **fields: str) -> httpx2.Response:
        """Start signing in; the answer redirects to the provider."""
        return await self.post(f"signin/{provider}{query}", **fields)

    async def reach_callback(self, provider: str, login: str, **fields: str) -> str:
        """Start, sign in at the provider where it asks, and stop before the callback: its address."""
        callback = f"{self.base}/callback/{provider}"
        address = await self.follow(await self.start(provider, **fields), until=callback)
        if not address.startswith(callback):
            form = {"cancel": "1"} if login == "" else {"login": login}
            address = await self.follow(await self.http.post(address, data=form), until=callback)
        return address

    async def sign_in(self, provider: str, login: str, **fields: str) -> httpx2.Response:
        """The whole way; the callback's answer."""
        return await self.http.get(await self.reach_callback(provider, login, **fields))

    def session_cookie(self) -> str | None:
        """The value of the session cookie, if there is one."""
        found = [cookie.value for cookie in self.http.cookies.jar if cookie.name in SESSION_COOKIES]
        return found[0] if found else None
