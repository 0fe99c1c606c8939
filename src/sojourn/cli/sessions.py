"""`sojourn sessions`: who is signed in, listed, ended and tidied away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from sojourn.cli.output import AsJSON, counted, tell
from sojourn.cli.people import devices_in, find_user, with_stores
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config, the_database
from sojourn.config import AuthConfig
from sojourn.errors import ConfigError
from sojourn.models import Device
from sojourn.placement import records_in
from sojourn.stores import Stores

__all__ = ["app"]

_AT_ONCE = 1000
"""Records deleted in one step, so that no lock is held long."""

_UTC = "%Y-%m-%dT%H:%M:%SZ"

WhoseSessions = Annotated[str, Parameter(name="--user", help="Their id, address or username.")]

app: App = App(name="sessions")


@app.command(name="list")
def list_(*, user: WhoseSessions, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """List somebody's sessions, newest sign-in first; times are UTC."""
    settings = _with_records(load_config(config))

    async def ask(stores: Stores) -> tuple[str, Sequence[Device]]:
        user_id = await find_user(user, settings, stores)
        return user_id, await devices_in(settings, stores).list(user_id)

    user_id, devices = asyncio.run(with_stores(settings, ask))
    rows = [_row(device) for device in devices]
    tell({"user_id": user_id, "sessions": rows}, lambda: _table(rows) or "No sessions.", as_json=as_json)


@app.command
def revoke(
    sid: str | None = None,
    /,
    *,
    user: WhoseSessions | None = None,
    but: str | None = None,
    config: ConfigFile = None,
    as_json: AsJSON = False,
) -> None:
    """End one session, or all of somebody's: the next check refuses the cookies.

    Parameters
    ----------
    sid
        The session's id, as `sojourn sessions list` shows it.
    but
        With --user: the id of a session that stays.
    """
    if (sid is None) == (user is None):
        seen = "nothing" if sid is None else "a session and --user"
        raise ConfigError("SID", seen, "Give the id of one session, or --user for all of somebody's.")
    if but is not None and user is None:
        raise ConfigError("--but", "given without --user", "It names the session that stays when all others end.")
    for key, given in (("SID", sid), ("--but", but)):
        _check_id(key, given)
    settings = _with_records(load_config(config))

    async def end(stores: Stores) -> Sequence[str]:
        devices = devices_in(settings, stores)
        if sid is not None:
            return [sid] if await devices.end_named(sid) else []
        user_id = await find_user(user or "", settings, stores)
        if but is None:
            return await devices.end_all(user_id)
        if but not in {device.sid for device in await devices.list(user_id)}:
            raise ConfigError("--but", "no session of theirs", "Nothing was ended. `sojourn sessions list` has ids.")
        return await devices.end_others(user_id, but=but)

    ended = asyncio.run(with_stores(settings, end))
    text = f"{counted(len(ended), 'session')} ended."
    if sid is not None and not ended and settings.session.strategy == "jwt":
        text = "No record names it. If a token does, it is refused from now on."
    tell({"ended": len(ended), "sids": list(ended)}, lambda: text, as_json=as_json)


@app.command
def purge(*, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Delete the records that nobody needs any more, a thousand at a time."""
    settings = load_config(config)
    if records_in(settings) is None:
        tell({"purged": 0}, lambda: "Sessions live in their tokens: there is nothing to purge.", as_json=as_json)
        return
    _check_lasting(settings)

    async def tidy(stores: Stores) -> int:
        purged = 0
        while (batch := await stores.sessions.purge(limit=_AT_ONCE)) == _AT_ONCE:
            purged += batch
        return purged + batch

    purged = asyncio.run(with_stores(settings, tidy))
    by_itself = " Redis drops expired ones by itself." if records_in(settings) == "redis" else ""
    tell({"purged": purged}, lambda: f"{counted(purged, 'record')} purged.{by_itself}", as_json=as_json)


def _with_records(config: AuthConfig[ServerClaims]) -> AuthConfig[ServerClaims]:
    if records_in(config) is None:
        fix = (
            "Sessions live in their tokens, and nothing that lasts lists them: set a lasting database, or redis; or "
            "follow the `session_started` and `session_ended` events."
        )
        raise ConfigError("session.strategy", "'jwt'", fix)
    _check_lasting(config)
    return config


def _check_lasting(config: AuthConfig[ServerClaims]) -> None:
    if records_in(config) == "database":
        the_database(config)


def _check_id(key: str, given: str | None) -> None:
    # Whoever copies a whole cookie gives us its secret too, which must not be shown again.
    if given is not None and not (given.isascii() and given.replace("-", "").isalnum()):
        raise ConfigError(key, "a text that is no session's id", "`sojourn sessions list` shows the ids.")


def _row(device: Device) -> dict[str, Any]:
    return {
        "sid": device.sid,
        "signed_in_at": _written(device.created_at),
        "extended_at": _written(device.last_seen_at),
        "expires_at": _written(device.expires_at),
        "provider": device.provider,
        "client": device.client,
        "user_agent": device.user_agent,
    }


def _written(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(_UTC)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows under their names, in columns; what came from a browser cannot steer a terminal."""
    if not rows:
        return ""
    lines = [[name.removesuffix("_at").replace("_", " ") for name in rows[0]]]
    lines += [["".join(c for c in str(cell or "-") if c.isprintable()) for cell in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
