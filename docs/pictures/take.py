"""Retake every picture in this folder from a running demo: `sojourn demo`, then `python docs/pictures/take.py [URL]`.

Needs playwright and a Chromium (`CHROMIUM` names it, /usr/bin/chromium otherwise). Waits for a session to end there,
four times: start the demo with short durations.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, get_args

from playwright.sync_api import Browser, Page, sync_playwright

Theme = Literal["light", "dark"]

HERE: Final = Path(__file__).parent
DESKTOP: Final = (1180, 820)
PHONE: Final = (390, 844)
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ON_PHONES: Final = frozenset({"sign-in", "sign-in-refused", "demo-welcome", "demo-fresh", "demo-grace"})
LONGEST_WAIT: Final = 180_000  # milliseconds


def main(base: str) -> None:
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for theme in get_args(Theme):
            for size, name in ((DESKTOP, theme), (PHONE, f"{theme}-phone")):
                with opened(browser, theme, size) as page:
                    take_pages(page, base, name)
                with opened(browser, theme, size) as page:
                    take_demo(page, base, name)
        browser.close()


@contextmanager
def opened(browser: Browser, theme: Theme, size: tuple[int, int]) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, locale="en-GB", reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def take_pages(page: Page, base: str, name: str) -> None:
    for path, picture in (
        ("/api/auth/signin", "sign-in"),
        ("/api/auth/signin?error=CredentialsSignin", "sign-in-refused"),
        ("/api/auth/signout", "sign-out"),
        ("/api/auth/error?error=AccessDenied", "error-access"),
        ("/api/auth/error?error=Configuration", "error-configuration"),
        ("/api/auth/verify-request", "verify-request"),
    ):
        page.goto(f"{base}{path}")
        shoot(page, picture, name)


def take_demo(page: Page, base: str, name: str) -> None:
    page.goto(base)
    page.wait_for_selector("#welcome:not([hidden])")
    shoot(page, "demo-welcome", name)
    page.click("#provider-buttons button")
    page.wait_for_selector("text=Choose a person")
    shoot(page, "development-provider", name)
    page.click("text=Grace Hopper")
    page.wait_for_selector("#live:not([hidden])")
    page.wait_for_selector("#log .refreshed", timeout=LONGEST_WAIT)
    page.click("#refresh")
    page.wait_for_selector("#log .kept")
    page.fill("#display-name", "Rear Admiral Hopper")
    page.click("#update-form button")
    page.wait_for_selector("#log .refreshed:has-text('Updated')")
    shoot(page, "demo-fresh", name)
    page.uncheck("#auto")
    for phase in ("due", "grace"):
        page.wait_for_selector(f"#timeline[data-phase={phase}]", timeout=LONGEST_WAIT)
        shoot(page, f"demo-{phase}", name)
    page.wait_for_selector("#log .ended", timeout=LONGEST_WAIT)
    shoot(page, "demo-ended", name)


def shoot(page: Page, picture: str, name: str) -> None:
    if not name.endswith("phone") or picture in ON_PHONES:
        page.screenshot(path=HERE / f"{picture}-{name}.png", full_page=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
