"""One of several processes of an application, told what to do by lines: `one_of_several DATABASE REDIS` ("-": none).

`sign_in` answers with the new cookie's value; `sign_out COOKIE` ends its session; `refused COOKIE` answers when that
cookie opens nothing any more; `sid COOKIE` tells whose session it opens by the way without I/O. Each answer is a line:
the monotonic time, which all processes share, and a word.
"""

from __future__ import annotations

import asyncio
import sys
import time

from sojourn.ports import system_clock
from tests.support import SESSION, Browser, make_auth

NOBODY = "nobody"


async def main(database: str, redis: str) -> None:
    auth = make_auth(
        system_clock,  # type: ignore[arg-type]  # time goes on in a process
        database=None if database == "-" else database,
        redis=None if redis == "-" else redis,
        rate_limit=None,
    )
    await auth.start()
    _say("ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        what, _, cookie = line.strip().partition(" ")
        browser = Browser(auth)
        if cookie:
            browser.jar[SESSION] = cookie
        match what:
            case "sign_in":
                await browser.sign_in()
                _say(browser.jar[SESSION])
            case "sign_out":
                token = await browser.csrf()
                answer = await browser.send("POST", "/signout", form={"csrfToken": token, "json": "true"})
                _say(str(answer.status))
            case "refused":
                while auth.current(browser.cookie_header) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.0005)
                _say((await browser.load()).code or "signed_in")
            case "sid":
                loaded = auth.current(browser.cookie_header)
                _say(NOBODY if loaded is None or loaded.session is None else loaded.session.sid)
            case _:
                raise ValueError(what)
    await auth.aclose()


def _say(word: str) -> None:
    print(time.monotonic(), word, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
