"""What several commands need of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sojourn import configfile
from sojourn.config import AuthConfig
from sojourn.errors import ConfigError
from sojourn.models import Claims, Lifetimes
from sojourn.placement import records_in
from sojourn.stores import Stores, is_lasting, open_stores

__all__ = ["ConfigFile", "ServerClaims", "load_config", "shared_with", "stores_of", "the_database"]

ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="TOML file; without one, the SOJOURN_… variables alone.")
]


class ServerClaims(Claims):
    """What the standalone server's sessions say beside the registered claims."""

    username: str | None = None
    is_sponsor: bool = False


def load_config(path: Path | None) -> AuthConfig[ServerClaims]:
    """The configuration of the standalone server; raises `ConfigError`."""
    return configfile.load(path, claims=ServerClaims)


def the_database(config: AuthConfig[ServerClaims]) -> str:
    """The database URL of a command that makes sense only with one that outlives the command."""
    if config.database is None:
        raise ConfigError("database", "nothing", 'Set database, like "sqlite:///sojourn.db".')
    if not is_lasting(config.database):
        raise ConfigError(
            "database", "a database that ends with this command", 'Set a lasting one, like "sqlite:///sojourn.db".'
        )
    return config.database


def stores_of(config: AuthConfig[ServerClaims]) -> Stores:
    """The stores as the server opens them; nothing is connected yet."""
    return open_stores(
        config.database,
        config.redis,
        sessions_in_redis=records_in(config) == "redis",
        shared_with=shared_with(config),
    )


def shared_with(config: AuthConfig[ServerClaims]) -> Lifetimes | None:
    """The lifetimes of sessions in the tables of an Auth.js adapter, if they are there."""
    return config.lifetimes if config.compat_tables else None
