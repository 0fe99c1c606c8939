"""`sojourn doctor` and `sojourn lifecycle`: what is configured, and what can happen to a session."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

from sojourn.claims import worst_case_size
from sojourn.cli.output import AsJSON, say, tell
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config
from sojourn.config import AuthConfig
from sojourn.cookies import cookie_names
from sojourn.errors import ConfigError, SojournError
from sojourn.stores import kind_of, open_database

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
    """Check settings, secrets, base URL, database and cookie; exit code 1 when something needs mending."""
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
    return [*_secrets(config), _base_url(config), _database(config), *_cookie(config)]


def _secrets(config: AuthConfig[ServerClaims]) -> list[Finding]:
    newest = len(config.secrets[0])
    count = f"{len(config.secrets)} secret{'s' if len(config.secrets) > 1 else ''}, the newest of {newest} bytes"
    strong = newest >= _STRONG_SECRET
    fix = "" if strong else "Good for loopback only: `sojourn keys new` prints a strong one."
    return [Finding(check="secrets", ok=strong or config.base.loopback, seen=count, fix=fix)]


def _base_url(config: AuthConfig[ServerClaims]) -> Finding:
    kind = "https, so cookies are Secure" if config.base.secure else "plain http on a loopback host"
    return Finding(check="base_url", ok=True, seen=f"{config.base.base} ({kind})")


def _database(config: AuthConfig[ServerClaims]) -> Finding:
    if config.database is None:
        return Finding(check="database", ok=True, seen="none: no user records, sign-outs are forgotten at a restart")

    async def reach(url: str) -> None:
        stores = open_database(url)
        try:
            await stores.start()
            await stores.revocations.read()
        finally:
            await stores.aclose()

    try:
        asyncio.run(reach(config.database))
    except ConfigError as error:
        return Finding(check="database", ok=False, seen=error.seen, fix=error.fix)
    except SojournError as error:
        return Finding(check="database", ok=False, seen=str(error), fix=_DATABASE_FIXES[kind_of(config.database)])
    return Finding(check="database", ok=True, seen=f"{kind_of(config.database)}, answers")


def _cookie(config: AuthConfig[ServerClaims]) -> list[Finding]:
    names = cookie_names(
        config.compat,
        secure=config.base.secure,
        share_with=config.cookie_domain,
        max_chunks=config.session.max_chunks,
    )
    size = worst_case_size(config.claims)
    worst = "no fixed limit by its types" if size is None else f"{size} characters at worst"
    fits = f"{worst}; {names.budget} characters fit {config.session.max_chunks} cookies"
    return [
        Finding(check="cookie name", ok=True, seen=names.session),
        Finding(check="cookie size", ok=size is None or size <= names.budget, seen=fits),
    ]
