"""`sojourn token`: tokens by hand, one a line; JSON lines out, each at once, so that a program can converse with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from sojourn.cli.output import AsJSON, say
from sojourn.cookies import cookie_names
from sojourn.errors import ConfigError, TokenError
from sojourn.ports import system_clock
from sojourn.refusals import explain
from sojourn.tokens.raw import open_token, seal_token
from sojourn.tokens.strict_json import read_object

__all__ = ["app"]

_VARIABLE = "SOJOURN_SECRETS"

Compat = Annotated[Literal["nextauth-v4", "authjs-v5"], Parameter(help="Whose tokens.")]
CookieName = Annotated[str | None, Parameter(help="v5: the session cookie's name; v4: a check cookie's name.")]
At = Annotated[int | None, Parameter(help="Judge at this moment, in epoch seconds; now without it.")]

app: App = App(name="token")


@app.command(name="open")
def open_(
    *, compat: Compat = "nextauth-v4", cookie_name: CookieName = None, at: At = None, as_json: AsJSON = False
) -> None:
    """Open one token a line of standard input; secrets come from SOJOURN_SECRETS, a JSON list, newest first."""
    secrets, salt = _secrets(), _salt(compat, cookie_name)

    def answer(line: bytes) -> dict[str, Any]:
        # What is not UTF-8 becomes a character that no token has.
        token = line.decode("utf-8", "replace")
        now = system_clock() if at is None else at
        return {"ok": True, "claims": open_token(token, secrets, compat=compat, salt=salt, now=now)}

    _converse(answer)


@app.command
def seal(
    *, compat: Compat = "nextauth-v4", cookie_name: CookieName = None, at: At = None, as_json: AsJSON = False
) -> None:
    """Seal one JSON claim set a line of standard input, under the newest of SOJOURN_SECRETS."""
    secrets, salt = _secrets(), _salt(compat, cookie_name)

    def answer(line: bytes) -> dict[str, Any]:
        try:
            claims = read_object(line)
        except ValueError as error:
            raise TokenError("claims", str(error)) from None
        now = system_clock() if at is None else at
        return {"token": seal_token(claims, secrets, compat=compat, salt=salt, now=now)}

    _converse(answer)


def _converse(answer: Callable[[bytes], dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        try:
            result = answer(line.removesuffix(b"\n"))
        except TokenError as error:
            text = explain(error.step)
            cause = f"{text.cause} ({error.detail})" if error.detail else text.cause
            result = {"ok": False, "code": error.code, "step": error.step, "cause": cause, "fix": text.fix}
        say(json.dumps(result))


def _salt(compat: str, cookie_name: str | None) -> str:
    if cookie_name is None:
        return "" if compat == "nextauth-v4" else cookie_names(compat, secure=False).session
    return cookie_name


def _secrets() -> list[str]:
    text = os.environ.get(_VARIABLE, "")
    fix = 'Set it to a JSON list of texts, newest first, like ["…"].'
    if not text:
        raise ConfigError(_VARIABLE, "nothing", fix)
    try:
        value = json.loads(text)
    except ValueError:
        raise ConfigError(_VARIABLE, "a text that is not JSON", fix) from None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ConfigError(_VARIABLE, "JSON that is not a list of texts", fix)
    return value
