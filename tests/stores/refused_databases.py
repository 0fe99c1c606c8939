"""Databases that can never be used."""

from __future__ import annotations

import pytest

from sojourn.errors import ConfigError
from sojourn.stores.postgres import PostgresDatabase
from tests.stores.sqlite_faults import unavailable

__all__ = ["refusal_of"]


async def refusal_of(database: PostgresDatabase) -> ConfigError:
    """Why it can never be used; no secret and no address is part of it, and calls are unavailable."""
    with pytest.raises(ConfigError) as caught:
        await database.connect()
    assert caught.value.key == "database"
    assert caught.value.__cause__ is None
    assert "://" not in caught.value.seen
    assert "s3cret" not in str(caught.value) + await unavailable(database.users.get("1"))
    await database.aclose()
    return caught.value
