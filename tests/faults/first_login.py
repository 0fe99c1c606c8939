"""A process that signs one new person in five times at once when it is told to: `first_login DATABASE STRATEGY`."""

from __future__ import annotations

import asyncio
import sys

from sojourn import SessionPolicy
from tests.support import Browser, make_auth

BROWSERS = 5


async def main(database: str, strategy: str) -> None:
    auth = make_auth(database=database, session=SessionPolicy(strategy=strategy))
    await auth.start()
    browsers = [Browser(auth) for _ in range(BROWSERS)]
    for browser in browsers:
        await browser.csrf()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*(browser.sign_in() for browser in browsers))
    loaded = [(await browser.load()).session for browser in browsers]
    print(*(session.user_id for session in loaded), flush=True)
    await auth.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
