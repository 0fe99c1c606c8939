"""The tables' history as a branch of Alembic's, labelled `sojourn`, that an application can include in its own.

Its place among the application's `version_locations` is `sojourn.stores.migrations:versions`.
"""

from __future__ import annotations

from sqlalchemy import MetaData

__all__ = ["sojourn_metadata"]


def sojourn_metadata(dialect: str) -> MetaData:
    """Every table that Sojourn keeps there, to stand beside the application's own in Alembic's `target_metadata`.

    `dialect` is SQLAlchemy's name of it, as in `connection.dialect.name`; raises `ValueError` for one without stores.
    """
    match dialect:
        case "sqlite":
            from sojourn.stores import schema

            return schema.metadata
        case "postgresql":
            from sojourn.stores import postgres_schema

            return postgres_schema.counters.metadata
        case _:
            raise ValueError(f"Sojourn keeps nothing in {dialect!r}")
