"""`sojourn db upgrade`: tables made, or brought from an earlier release to this one."""

from __future__ import annotations

from anyio import to_thread

from sojourn.errors import ConfigError
from sojourn.stores import kind_of, open_database

__all__ = ["upgrade_tables"]


async def upgrade_tables(url: str) -> int | None:
    """Make the tables, or bring them to this release's version; answers the version that they had, None where nothing
    had to be brought.

    All or nothing, and whoever does the same at once waits. Raises `ConfigError` for tables of a newer release, and if
    older ones need Alembic, which is not installed; `StoreUnavailable` if the database cannot answer now.
    """
    stores = open_database(url)
    from sojourn.stores.schema import OlderTables  # open_database has said what is missing

    try:
        try:
            await stores.start()
        except OlderTables as error:
            await to_thread.run_sync(_migrate, url)
            await stores.start()
            return error.version
        return None
    finally:
        await stores.aclose()


def _migrate(url: str) -> None:
    try:
        from sojourn.stores.migrations import running
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "alembic":
            raise
        raise ConfigError("database", "alembic is not installed", "Install sojourn[migrations].") from error
    scheme, _, rest = url.partition(":")
    if kind_of(url) == "sqlite":
        running.migrate_sqlite(url.removeprefix("sqlite:///"))
    elif scheme.endswith("+psycopg"):
        running.migrate_postgres_over_psycopg(f"postgresql:{rest}")
    else:
        running.migrate_postgres_over_asyncpg(f"postgresql:{rest}")
