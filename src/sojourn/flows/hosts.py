"""Looking for a session in vain, because the application lives at another address than it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from sojourn.events import Event, SessionRefused
from sojourn.flows.loaded import Loaded
from sojourn.http import Request
from sojourn.models import ClaimsT
from sojourn.policy.origin import BaseURL, TrustedProxies, explain_host
from sojourn.ports import Clock
from sojourn.refusals import explain

__all__ = ["StrangeHosts"]

# One line in the log for each address under which people look for a session in vain; scanners make up many.
_MOST = 20


class StrangeHosts:
    """Tells whoever asks, and the log once for each, that a request came to another address than `base`."""

    def __init__(
        self,
        base: BaseURL,
        trusted_proxies: TrustedProxies,
        clock: Clock,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._base = base
        self._trusted_proxies = trusted_proxies
        self._clock = clock
        self._emit = emit
        self._seen: set[str] = set()

    async def explained(self, request: Request, loaded: Loaded[ClaimsT]) -> Loaded[ClaimsT]:
        """The same, with the mismatch as its step and detail if there is one."""
        mismatch = explain_host(request, self._base, self._trusted_proxies)
        if mismatch is None:
            return loaded
        seen = f"{mismatch.header}: {mismatch.seen}"
        if seen not in self._seen and len(self._seen) < _MOST:
            self._seen.add(seen)
            text = explain("host")
            event = SessionRefused(
                at=self._clock(),
                step="host",
                code="session_missing",
                cause=f"{text.cause} ({mismatch})",
                fix=mismatch.fix,
                client=request.client,
            )
            await self._emit(event)
        return msgspec.structs.replace(loaded, step="host", detail=str(mismatch))
