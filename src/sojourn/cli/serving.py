"""`sojourn serve` and `sojourn demo`."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from sojourn.cli.output import AsJSON, say
from sojourn.cli.settings import ConfigFile, load_config
from sojourn.errors import ConfigError

__all__ = ["demo", "serve"]

AccessLog = Annotated[bool, Parameter(help="One line per request on standard error, without queries.")]

_LOOPBACK = "127.0.0.1"
_PROVIDER_PATH = "/provider"
_CLIENT_ID = "sojourn-demo"


def serve(
    *,
    config: ConfigFile = None,
    host: str = _LOOPBACK,
    port: int = 8000,
    access_log: AccessLog = True,
    as_json: AsJSON = False,
) -> None:
    """Run the standalone server: the endpoints, `GET /me` and `GET /healthz`.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 takes a free one.
    """
    from sojourn import server
    from sojourn.auth import Auth

    auth = Auth.from_config(load_config(config))
    ready = _announcing(as_json)
    with server.bind(host, port) as listening:
        server.serve(server.build_app(auth), listening, prepare=auth.start, ready=ready, access_log=access_log)


def demo(
    *,
    port: int = 8000,
    database: str | None = None,
    max_age: str = "12h",
    update_age: str = "1h",
    grace_period: str = "15m",
    absolute_age: str = "30d",
    compat: Literal["nextauth-v4", "authjs-v5"] = "nextauth-v4",
    access_log: AccessLog = False,
    as_json: AsJSON = False,
) -> None:
    """Run the demo on this machine: one page that shows a session live, with a password and an OpenID provider.

    To see a refresh within a minute: `sojourn demo --max-age 60s --update-age 20s --grace-period 20s`.

    Parameters
    ----------
    port
        The port to listen on; a free one is taken if somebody else has it.
    database
        Where users are kept, like sqlite:///demo.db; a temporary file without it.
    max_age
        How long a token lives.
    update_age
        How old a token gets before a read extends it.
    grace_period
        How long an expired token is still refreshed.
    absolute_age
        When one has to sign in again, whatever happened in between.
    compat
        Cookie names and token format: NextAuth v4's or Auth.js v5's.
    """
    from starlette.routing import Mount

    from sojourn import server
    from sojourn.auth import Auth
    from sojourn.callbacks import Callbacks
    from sojourn.cli.users import add_user
    from sojourn.config import SessionPolicy
    from sojourn.demo.app import DemoSettings, demo_app
    from sojourn.demo.claims import DEMO_EMAIL, DEMO_NAME, DEMO_PASSWORD, DEMO_USERNAME, DemoClaims, fill_claims
    from sojourn.demo.identity_provider import DevelopmentProvider
    from sojourn.providers import OIDC, Credentials

    client_secret = secrets.token_urlsafe(32)
    with _bind_or_free(port) as listening, TemporaryDirectory(prefix="sojourn-demo-") as folder:
        origin = f"http://{_LOOPBACK}:{listening.getsockname()[1]}"
        issuer = origin + _PROVIDER_PATH
        url = database or f"sqlite:///{folder}/demo.db"
        auth = Auth(
            secret=secrets.token_urlsafe(32),
            base_url=origin,
            providers=[
                Credentials(),
                OIDC(
                    id="development",
                    name="Development ID",
                    issuer=issuer,
                    client_id=_CLIENT_ID,
                    client_secret=client_secret,
                ),
            ],
            database=url,
            session=SessionPolicy(
                leeway="0s",  # one clock here: the page's bar and the server agree to the second
                max_age=max_age,
                update_age=update_age,
                grace_period=grace_period,
                absolute_age=absolute_age,
            ),
            claims=DemoClaims,
            callbacks=Callbacks(claims=fill_claims),
            compat=compat,
            site_name="Sojourn demo",
        )
        provider = DevelopmentProvider(
            issuer=issuer,
            client_id=_CLIENT_ID,
            client_secret=client_secret,
            redirect_uris=[f"{auth.base_url}/callback/development"],
        )
        try:
            asyncio.run(add_user(url, DEMO_USERNAME, DEMO_EMAIL, DEMO_PASSWORD, name=DEMO_NAME, email_verified=True))
        except ConfigError as error:
            if database is None or error.key not in ("username", "email"):
                raise  # in a database that was given, the demo's person may be from the last time
        announce = _announcing(as_json)

        def ready(address: str) -> None:
            announce(address)
            if not as_json:
                say(f"Sign in as {DEMO_USERNAME} with the password {DEMO_PASSWORD}. Ctrl+C ends the demo.")

        app = demo_app(auth, DemoSettings(more_routes=[Mount(_PROVIDER_PATH, provider.app)]))
        server.serve(app, listening, prepare=auth.start, ready=ready, access_log=access_log)


def _bind_or_free(port: int) -> socket.socket:
    from sojourn import server

    try:
        return server.bind(_LOOPBACK, port)
    except ConfigError as error:
        sys.stderr.write(f"sojourn: {error.seen}; taking a free port instead.\n")
        return server.bind(_LOOPBACK, 0)


def _announcing(as_json: bool) -> Callable[[str], None]:
    """The one line that says when requests are accepted."""
    if as_json:
        return lambda url: say(msgspec.json.encode({"ready": url}).decode())
    return lambda url: say(f"sojourn ready on {url}")
