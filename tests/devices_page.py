"""What the script of a devices page does, in front of `Browser`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.http import Response
from tests.support import Browser, body_of

__all__ = ["delete", "ids", "listed", "signed_out"]


async def listed(browser: Browser) -> list[dict[str, Any]]:
    """The rows of the list."""
    answer = await browser.send("GET", "/sessions")
    assert answer.status == 200, answer
    rows: list[dict[str, Any]] = body_of(answer)["sessions"]
    return rows


async def ids(browser: Browser) -> set[str]:
    """The sessions' ids."""
    return {row["id"] for row in await listed(browser)}


async def delete(browser: Browser, path: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A DELETE under `/sessions` as a page of our own sends it."""
    own = {
        "x-csrf-token": await browser.csrf(),
        "origin": "http://127.0.0.1:8000",
        "sec-fetch-site": "same-origin",
    }
    return await browser.send("DELETE", f"/sessions{path}", headers={**own, **(headers or {})})


async def signed_out(browser: Browser) -> bool:
    """Whether this browser is signed out."""
    empty: bool = await browser.session() == {}
    return empty
