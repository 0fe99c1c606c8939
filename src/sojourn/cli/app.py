"""The tree of commands: each group in a module of its own, imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App, CycloptsError

from sojourn.cli.output import fail
from sojourn.errors import ClaimsTooLarge, ConfigError, SojournError

__all__ = ["app", "run"]

app: App = App(
    name="sojourn", help="Session management for Python web applications, compatible with NextAuth on the wire."
)
app.command("sojourn.cli.serving:serve", help="Run the standalone server: the endpoints, `GET /me` and `GET /healthz`.")
app.command(
    "sojourn.cli.serving:demo",
    help="Run the demo: one page that shows a session live, with a password and an OpenID provider. To see a refresh "
    "within a minute: sojourn demo --max-age 60s --update-age 20s --grace-period 20s.",
)
app.command("sojourn.cli.users:app", name="users", help="People in the users table.")
app.command("sojourn.cli.sessions:app", name="sessions", help="Who is signed in.")
app.command("sojourn.cli.keys:app", name="keys", help="Secrets.")
app.command("sojourn.cli.database:app", name="db", help="The tables.")
app.command("sojourn.cli.tokens:app", name="token", help="Open and seal session tokens by hand.")
app.command("sojourn.cli.inspection:lifecycle", help="Print the life of a session as a Mermaid diagram.")
app.command("sojourn.cli.inspection:doctor", help="Check the settings before users do.")


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. A mistake is one line on standard error and exit code 2, never a traceback."""
    as_json = "--json" in arguments
    try:
        code = app(arguments, print_error=False, exit_on_error=False, result_action="return_value")
    except ConfigError as error:
        fail(error.key, error.seen, error.fix, as_json=as_json)
    except ClaimsTooLarge as error:
        fail("claims", str(error), "Keep fewer or shorter claims.", as_json=as_json)
    except SojournError as error:
        fail("sojourn", str(error), "See `sojourn doctor`.", as_json=as_json)
    except CycloptsError as error:
        fail("arguments", " ".join(str(error).split()).rstrip("."), "See `sojourn --help`.", as_json=as_json)
    return code if isinstance(code, int) else 0
