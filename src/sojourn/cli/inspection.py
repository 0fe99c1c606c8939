"""`sojourn doctor` and `sojourn lifecycle`: what is configured, and what can happen to a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass

from sojourn.claims import worst_case_size
from sojourn.cli.output import AsJSON, say, tell
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config, shared_with
from sojourn.config import AuthConfig
from sojourn.cookies import cookie_names
from sojourn.errors import ConfigError, SojournError
from sojourn.identifiers import session_id
from sojourn.placement import records_in
from sojourn.stores import Stores, is_lasting, kind_of, open_stores

__all__ = ["Finding", "doctor", "examine", "lifecycle"]

_STRONG_SECRET = 32  # bytes
_DATABASE_FIXES = {
    "sqlite": "Make the file readable and writable for this user.",
    "postgresql": "Start the server, and let this machine reach it.",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: is it good, what was seen, and the fix if it is not."""

    check: str
    ok: bool
    seen: str
    fix: str = ""


def lifecycle(*, as_json: AsJSON = False) -> None:
    """Print what can happen to a session as a Mermaid state diagram, drawn from the table that the rules follow."""
    from sojourn.policy.lifecycle import mermaid

    drawing = mermaid()
    tell({"mermaid": drawing}, lambda: drawing.rstrip("\n"), as_json=as_json)


def doctor(*, config: ConfigFile = None, as_json: AsJSON = False) -> int:
    """Check secrets, base URL, stores, where sessions live and the cookie; exit code 1 if something needs mending."""
    try:
        findings = examine(load_config(config))
    except ConfigError as error:
        findings = [Finding(check=error.key, ok=False, seen=error.seen, fix=error.fix)]
    healthy = all(finding.ok for finding in findings)
    if as_json:
        tell({"ok": healthy, "findings": [asdict(finding) for finding in findings]}, str, as_json=True)
        return 0 if healthy else 1
    for finding in findings:
        say(
            f"{'ok  ' if finding.ok else 'MEND'} {finding.check}: {finding.seen}"
            + (f"  -> {finding.fix}" if finding.fix else "")
        )
    return 0 if healthy else 1


def examine(config: AuthConfig[ServerClaims]) -> list[Finding]:
    """Everything that can be told without serving a request."""
    return [
        *_secrets(config),
        _base_url(config),
        *_database(config),
        *_redis(config),
        _sessions(config),
        *_cookie(config),
    ]


def _secrets(config: AuthConfig[ServerClaims]) -> list[Finding]:
    newest = len(config.secrets[0])
    count = f"{len(config.secrets)} secret{'s' if len(config.secrets) > 1 else ''}, the newest of {newest} bytes"
    strong = newest >= _STRONG_SECRET
    fix = "" if strong else "Good for loopback only: `sojourn keys new` prints a strong one."
    return [Finding(check="secrets", ok=strong or config.base.loopback, seen=count, fix=fix)]


def _base_url(config: AuthConfig[ServerClaims]) -> Finding:
    kind = "https, so cookies are Secure" if config.base.secure else "plain http on a loopback host"
    return Finding(check="base_url", ok=True, seen=f"{config.base.base} ({kind})")


def _database(config: AuthConfig[ServerClaims]) -> list[Finding]:
    if config.database is None:
        lost = "" if config.redis is not None else ", sign-outs are forgotten at a restart"
        return [Finding(check="database", ok=True, seen=f"none: no user records{lost}")]
    kind = kind_of(config.database)
    return [
        _asked(
            "database",
            kind,
            _DATABASE_FIXES.get(kind, ""),
            lambda: open_stores(config.database, shared_with=shared_with(config)),
        )
    ]


def _redis(config: AuthConfig[ServerClaims]) -> list[Finding]:
    if config.redis is None:
        return []
    fix = "Start the server, and let this machine reach it."
    return [_asked("redis", "redis", fix, lambda: open_stores(None, config.redis, sessions_in_redis=True))]


def _asked(check: str, kind: str, fix: str, open_: Callable[[], Stores]) -> Finding:
    """Whether a store can be opened and reads what every request may ask of it."""

    async def reach() -> None:
        stores = open_()
        try:
            await stores.start()
            await stores.revocations.read()
            await stores.sessions.get(session_id("doctor", 0))
        finally:
            await stores.aclose()

    try:
        asyncio.run(reach())
    except ConfigError as error:
        return Finding(check=check, ok=False, seen=error.seen, fix=error.fix)
    except SojournError as error:
        return Finding(check=check, ok=False, seen=str(error), fix=fix)
    return Finding(check=check, ok=True, seen=f"{kind}, answers")


def _listed(config: AuthConfig[ServerClaims]) -> str:
    place = records_in(config)
    return f", and {'Redis' if place == 'redis' else 'the database'} lists them" if place else ""


def _sessions(config: AuthConfig[ServerClaims]) -> Finding:
    if config.session.strategy == "jwt":
        return Finding(check="sessions", ok=True, seen=f"in their tokens; a check asks no store{_listed(config)}")
    if config.session.store == "redis":
        return Finding(check="sessions", ok=True, seen="records in Redis, asked at each check")
    database = config.database or ""
    if is_lasting(database):
        with_user = ", with the user's row" if config.session.with_user else ""
        return Finding(
            check="sessions", ok=True, seen=f"records in {kind_of(database)}, asked at each check{with_user}"
        )
    return Finding(
        check="sessions",
        ok=config.base.loopback,
        seen="records in memory: a restart signs everybody out, and no other process knows them",
        fix='Good for trying out only: set a lasting database, like "sqlite:///sojourn.db".',
    )


def _cookie(config: AuthConfig[ServerClaims]) -> list[Finding]:
    names = cookie_names(
        config.compat,
        secure=config.base.secure,
        share_with=config.cookie_domain,
        max_chunks=config.session.max_chunks,
    )
    name = Finding(check="cookie name", ok=True, seen=names.session)
    if config.session.strategy == "database":
        what = "43 characters: a secret" if config.compat_tables else "80 characters: the session's id and a secret"
        return [name, Finding(check="cookie size", ok=True, seen=what)]
    size = worst_case_size(config.claims)
    worst = "no fixed limit by its types" if size is None else f"{size} characters at worst"
    fits = f"{worst}; {names.budget} characters fit {config.session.max_chunks} cookies"
    return [
        name,
        Finding(check="cookie size", ok=size is None or size <= names.budget, seen=fits),
    ]
