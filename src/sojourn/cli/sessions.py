"""`sojourn sessions`: the records of those who are signed in, listed, ended and tidied away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter

from sojourn.cli.output import AsJSON, tell
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config, stores_of, the_database
from sojourn.config import AuthConfig
from sojourn.errors import ConfigError
from sojourn.identifiers import normalise_email, normalise_username
from sojourn.ports import SessionRecord, UserStore
from sojourn.stores import Stores, is_lasting

__all__ = ["app"]

_AT_ONCE = 1000
"""Records deleted in one step, so that no lock is held long."""

_UTC = "%Y-%m-%dT%H:%M:%SZ"

T = TypeVar("T")
WhoseSessions = Annotated[str, Parameter(name="--user", help="Their id, address or username.")]

app: App = App(name="sessions")


@app.command(name="list")
def list_(*, user: WhoseSessions, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """List somebody's sessions, newest sign-in first; times are UTC."""
    settings = _with_records(load_config(config))

    async def ask(stores: Stores) -> tuple[str, Sequence[SessionRecord]]:
        user_id = await _find_user(user, settings, stores)
        return user_id, await stores.sessions.list_for_user(user_id)

    user_id, records = asyncio.run(_with_stores(settings, ask))
    rows = [_row(record) for record in records]
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
    """End one session, or all of somebody's: the records are deleted, and the next check refuses the cookies.

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
        if user is not None:
            user_id = await _find_user(user, settings, stores)
            if but is not None and but not in {record.sid for record in await stores.sessions.list_for_user(user_id)}:
                raise ConfigError(
                    "--but", "no session of theirs", "Nothing was ended. `sojourn sessions list` has ids."
                )
            return await stores.sessions.delete_for_user(user_id, but=but)
        return [sid] if sid is not None and await stores.sessions.delete(sid) else []

    ended = asyncio.run(_with_stores(settings, end))
    tell(
        {"ended": len(ended), "sids": list(ended)}, lambda: f"{_counted(len(ended), 'session')} ended.", as_json=as_json
    )


@app.command
def purge(*, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Delete the records that nobody needs any more, a thousand at a time."""
    settings = load_config(config)
    if settings.session.strategy == "jwt":
        tell({"purged": 0}, lambda: "Sessions live in their tokens: there is nothing to purge.", as_json=as_json)
        return
    _check_lasting(settings)

    async def tidy(stores: Stores) -> int:
        purged = 0
        while (batch := await stores.sessions.purge(limit=_AT_ONCE)) == _AT_ONCE:
            purged += batch
        return purged + batch

    purged = asyncio.run(_with_stores(settings, tidy))
    by_itself = " Redis drops expired ones by itself." if settings.session.store == "redis" else ""
    tell({"purged": purged}, lambda: f"{_counted(purged, 'record')} purged.{by_itself}", as_json=as_json)


def _with_records(config: AuthConfig[ServerClaims]) -> AuthConfig[ServerClaims]:
    if config.session.strategy == "jwt":
        fix = (
            "Sessions live in their tokens, and nobody keeps a list: follow the `session_started` and `session_ended` "
            'events, or set strategy = "database".'
        )
        raise ConfigError("session.strategy", "'jwt'", fix)
    _check_lasting(config)
    return config


def _check_lasting(config: AuthConfig[ServerClaims]) -> None:
    if config.session.store != "redis":
        the_database(config)


def _check_id(key: str, given: str | None) -> None:
    # Whoever copies a whole cookie gives us its secret too, which must not be shown again.
    if given is not None and not (given.isascii() and given.replace("-", "").isalnum()):
        raise ConfigError(key, "a text that is no session's id", "`sojourn sessions list` shows the ids.")


async def _with_stores(config: AuthConfig[ServerClaims], ask: Callable[[Stores], Awaitable[T]]) -> T:
    stores = stores_of(config)
    try:
        await stores.start()
        return await ask(stores)
    finally:
        await stores.aclose()


async def _find_user(given: str, config: AuthConfig[ServerClaims], stores: Stores) -> str:
    """The id of the user meant; where no database has users, what is given is the id."""
    if not given or not given.isprintable():
        raise ConfigError("--user", repr(given), "Give their id, address or username.")
    if config.database is None or not is_lasting(config.database):
        return given
    found = await _known(given, stores.users)
    # A store without users keeps the sessions of somebody whose record is gone.
    if found is None and not await stores.sessions.list_for_user(given):
        raise ConfigError("--user", f"{given!r} is unknown", "Give their id, address or username.")
    return found or given


async def _known(given: str, users: UserStore) -> str | None:
    if (by_id := await users.get(given)) is not None:
        return by_id.id
    address, username = normalise_email(given), normalise_username(given)
    if address is not None and (by_email := await users.get_by_email(address)) is not None:
        return by_email.id
    if username is not None and (by_username := await users.get_by_username(username)) is not None:
        return by_username[0].id
    return None


def _row(record: SessionRecord) -> dict[str, Any]:
    return {
        "sid": record.sid,
        "signed_in_at": _written(record.auth_time),
        "extended_at": _written(record.issued_at),
        "expires_at": _written(record.expires_at),
        "provider": record.provider,
        "client": record.client,
        "user_agent": record.user_agent,
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


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
