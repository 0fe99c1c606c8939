"""`sojourn db`: the tables."""

from __future__ import annotations

import asyncio

from cyclopts import App

from sojourn.cli.output import AsJSON, tell
from sojourn.cli.settings import ConfigFile, load_config, the_database
from sojourn.stores import open_database

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
    tell({"database": database, "ok": True}, lambda: f"{database} is up to date.", as_json=as_json)
