"""`sojourn sessions`: listing and ending sessions needs records of them, which the JWT strategy does not keep."""

from __future__ import annotations

from cyclopts import App

from sojourn.cli.output import AsJSON, Ignored, not_yet

__all__ = ["app"]

app: App = App(name="sessions")


@app.command(name="list")
def list_(*_: Ignored, as_json: AsJSON = False) -> None:
    """List sessions (not in this version)."""
    not_yet(
        "sessions list",
        "Sessions live in their tokens: follow the `session_started` and `session_ended` events.",
        as_json=as_json,
    )


@app.command
def revoke(*_: Ignored, as_json: AsJSON = False) -> None:
    """End sessions (not in this version)."""
    not_yet(
        "sessions revoke", "Signing out ends a session at once; a new first secret, alone, ends all.", as_json=as_json
    )
