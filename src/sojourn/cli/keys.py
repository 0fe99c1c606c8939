"""`sojourn keys`: a new secret today; rotation with proof of disuse comes later."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode

from cyclopts import App

from sojourn.cli.output import AsJSON, Ignored, not_yet, tell

__all__ = ["app"]

app: App = App(name="keys")
_BY_HAND = "Put the new secret first in `secrets` and keep the old one until `max_age` and `grace_period` have passed."


@app.command
def new(*, as_json: AsJSON = False) -> None:
    """Print a new secret: 32 random bytes as text."""
    secret = urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    tell({"secret": secret}, lambda: secret, as_json=as_json)


@app.command
def rotate(*_: Ignored, as_json: AsJSON = False) -> None:
    """Take a new secret into use (not in this version)."""
    not_yet("keys rotate", _BY_HAND, as_json=as_json)


@app.command
def retire(*_: Ignored, as_json: AsJSON = False) -> None:
    """Drop a secret that nobody uses any more (not in this version)."""
    not_yet("keys retire", _BY_HAND, as_json=as_json)


@app.command(name="list")
def list_(*_: Ignored, as_json: AsJSON = False) -> None:
    """List the secrets in use (not in this version)."""
    not_yet(
        "keys list", "`sojourn doctor` says how many secrets there are and how strong the newest is.", as_json=as_json
    )
