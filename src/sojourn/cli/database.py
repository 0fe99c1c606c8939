"""`sojourn db`: the tables."""

from __future__ import annotations

import asyncio

from cyclopts import App

from sojourn.cli.output import AsJSON, tell
from sojourn.cli.settings import ConfigFile, load_config, the_database
from sojourn.stores import kind_of, open_database

__all__ = ["app"]

app: App = App(name="db")


@app.command
def upgrade(*, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Make the tables, or bring them up to this version. Running it again changes nothing."""
    database = the_database(load_config(config))

    async def run() -> None:
        stores = open_database(database)
        try:
            await stores.start()
        finally:
            await stores.aclose()

    asyncio.run(run())
    # A server's URL holds a password.
    shown = database if kind_of(database) == "sqlite" else kind_of(database)
    tell({"database": shown, "ok": True}, lambda: f"{shown} is up to date.", as_json=as_json)
