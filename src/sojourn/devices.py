"""The devices page's API: somebody's own sessions as JSON, ended one by one or together (ASVS 7.5.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sojourn.arrivals import with_cookies
from sojourn.errors import BadRequest
from sojourn.flows.devices import Devices
from sojourn.flows.failures import unauthorized
from sojourn.flows.session import Loaded, SessionFlow
from sojourn.flows.visit import Visit
from sojourn.http import Request, Response, json_response, problem, query_first
from sojourn.models import Device, Session

__all__ = ["DevicesEndpoint"]


class DevicesEndpoint:
    """Answers `/sessions` and `/sessions/{id}`. Only the session that a request carries says whose they are."""

    def __init__(
        self,
        *,
        origin: str,
        devices: Devices,
        sessions: SessionFlow[Any],
        read_visit: Callable[[Request], Awaitable[Visit]],
    ) -> None:
        self._origin = origin
        self._devices = devices
        self._sessions = sessions
        self._read_visit = read_visit

    async def answer(self, request: Request, sid: str) -> Response | None:
        """The answer; None for a path that is no route. Raises `StoreUnavailable` and `BadRequest`."""
        # An empty id is a mistake of whoever built the URL, and must not end all the others.
        if "/" in sid or request.path.endswith("/") or (request.method == "GET" and sid):
            return None
        if not self._devices.are_listed:
            return problem(404, "not_available", "No list of sessions", "Nothing here lists sessions.")
        deletes = request.method == "DELETE"
        if deletes and (await self._read_visit(request)).csrf_refusal is not None:
            return problem(
                403,
                "csrf",
                "Not accepted from there",
                "Send the token of /csrf in X-CSRF-Token, with its cookie, from a page of this site.",
            )
        loaded = await self._sessions.load(request.headers.get("cookie", ""), request.client)
        if loaded.unavailable is not None:
            raise loaded.unavailable
        if loaded.session is None:
            return with_cookies(unauthorized(self._origin, loaded.code), loaded.cookies)
        if not deletes:
            return with_cookies(await self._list(loaded.session), loaded.cookies)
        return await self._end(request, loaded, loaded.session, sid)

    async def _list(self, session: Session[Any]) -> Response:
        rows = [_row(device, session) for device in await self._devices.list(session.user_id)]
        return json_response({"sessions": rows})

    async def _end(self, request: Request, loaded: Loaded[Any], session: Session[Any], sid: str) -> Response:
        if sid:
            if not await self._devices.end(session.user_id, sid):
                detail = "None of your sessions has this id."
                return with_cookies(problem(404, "session_unknown", "No such session", detail), loaded.cookies)
            return self._ended(Response(status=204), request, loaded, own=sid == session.sid)
        match query_first(request.query, "all"):
            case None | "false":
                gone = await self._devices.end_others(session.user_id, but=session.sid)
                return self._ended(json_response({"ended": len(gone)}), request, loaded, own=False)
            case "true":
                gone = await self._devices.end_all(session.user_id)
                return self._ended(json_response({"ended": len(gone)}), request, loaded, own=True)
            case _:
                raise BadRequest("invalid_query", 'The parameter all is "true", or is not there.')

    def _ended(self, response: Response, request: Request, loaded: Loaded[Any], *, own: bool) -> Response:
        cleared = self._sessions.cleared(request.headers.get("cookie", ""))
        return with_cookies(response, cleared if own else loaded.cookies)


def _row(device: Device, current: Session[Any]) -> dict[str, Any]:
    return {
        "id": device.sid,
        "current": device.sid == current.sid,
        "created_at": _written(device.created_at),
        "last_seen_at": _written(device.last_seen_at),
        "expires_at": _written(device.expires_at),
        "provider": device.provider,
        "client": device.client,
        "user_agent": device.user_agent,
    }


def _written(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
