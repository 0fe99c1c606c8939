"""A process that dies at its n-th step into the stores: `crash DATABASE STRATEGY STEP before|after`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import msgspec

from sojourn import SessionPolicy
from tests.support import SESSION, Browser, make_auth

STORES = ("users", "sessions", "once", "revocations")


class Dying:
    """Passes on what it is asked, until it is the turn of the step at which the process ends."""

    steps = 0
    last = 0
    after = False

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def asked(*arguments: Any, **named: Any) -> Any:
            Dying.steps += 1
            dies = Dying.steps == Dying.last
            if dies and not Dying.after:
                os._exit(137)
            answer = await method(*arguments, **named)
            if dies:
                os._exit(137)
            return answer

        return asked


async def main(database: str, strategy: str, step: int, *, after: bool) -> None:
    auth: Any = make_auth(database=database, session=SessionPolicy(strategy=strategy))
    await auth.start()
    Dying.last, Dying.after = step, after
    stores = {name: Dying(getattr(auth._stores, name)) for name in STORES}
    auth._stores = msgspec.structs.replace(auth._stores, **stores)
    auth._users = auth._sessions._users = stores["users"]
    if strategy == "database":
        auth._strategy._store = auth._revoker._sessions = stores["sessions"]
    else:
        auth._revoker._log = stores["revocations"]
    browser = Browser(auth)
    for _ in range(2):  # the second ends the session of the first
        await browser.sign_in()
        assert SESSION in browser.jar
    await browser.post("/signout")
    await auth.aclose()
    print("whole", Dying.steps)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), after=sys.argv[4] == "after"))
