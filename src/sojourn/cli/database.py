"""`sojourn db`: the tables."""

from __future__ import annotations

import asyncio

from cyclopts import App

from sojourn.cli.output import AsJSON, tell
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config, stores_of, the_database
from sojourn.config import AuthConfig
from sojourn.stores import kind_of
from sojourn.stores.upgrade import upgrade_tables

__all__ = ["app"]

app: App = App(name="db")


@app.command
def upgrade(*, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Make the tables, or bring them up to this version. Running it again changes nothing."""
    settings = load_config(config)
    database = the_database(settings)
    older = asyncio.run(_beside_theirs(settings) if settings.compat_tables else upgrade_tables(database))
    # A server's URL holds a password.
    shown = database if kind_of(database) == "sqlite" else kind_of(database)
    brought = "" if older is None else f", brought from schema version {older}"
    tell(
        {"database": shown, "ok": True, "upgraded_from": older},
        lambda: f"{shown} is up to date{brought}.",
        as_json=as_json,
    )


async def _beside_theirs(config: AuthConfig[ServerClaims]) -> None:
    """Make what Sojourn keeps beside the tables of an Auth.js adapter, which are nobody's to make here."""
    stores = stores_of(config)
    try:
        await stores.start()
    finally:
        await stores.aclose()
