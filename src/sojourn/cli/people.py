"""What commands about people share: who is meant, and the sessions that they have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sojourn.cli.settings import ServerClaims, stores_of
from sojourn.config import AuthConfig
from sojourn.errors import ConfigError
from sojourn.events import Dispatcher
from sojourn.flows.devices import Devices
from sojourn.identifiers import normalise_email, normalise_username
from sojourn.models import User
from sojourn.placement import devices_of, revoker_of
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import UserStore, system_clock
from sojourn.stores import Stores, is_lasting

__all__ = ["devices_in", "find_user", "known_user", "with_stores"]

T = TypeVar("T")


async def with_stores(config: AuthConfig[ServerClaims], ask: Callable[[Stores], Awaitable[T]]) -> T:
    """What `ask` finds in the stores of the server, opened for that alone."""
    stores = stores_of(config)
    try:
        await stores.start()
        return await ask(stores)
    finally:
        await stores.aclose()


def devices_in(config: AuthConfig[ServerClaims], stores: Stores) -> Devices:
    """Everybody's sessions; what ends here is over for the running servers too."""
    ended = EndedSessions()
    revoker = revoker_of(config, stores, ended=ended, clock=system_clock, emit=Dispatcher())
    return devices_of(config, stores, revoker, ended=ended, clock=system_clock)


async def find_user(given: str, config: AuthConfig[ServerClaims], stores: Stores) -> str:
    """The id of the user meant; where no database has users, what is given is the id."""
    if not given or not given.isprintable():
        raise ConfigError("--user", repr(given), "Give their id, address or username.")
    if config.database is None or not is_lasting(config.database):
        return given
    found = await known_user(given, stores.users)
    # A store without users keeps the sessions of somebody whose record is gone.
    if found is None and not await stores.sessions.list_for_user(given):
        raise ConfigError("--user", f"{given!r} is unknown", "Give their id, address or username.")
    return found.id if found is not None else given


async def known_user(given: str, users: UserStore) -> User | None:
    """Who has this id, address or username."""
    if (by_id := await users.get(given)) is not None:
        return by_id
    address, username = normalise_email(given), normalise_username(given)
    if address is not None and (by_email := await users.get_by_email(address)) is not None:
        return by_email
    if username is not None and (by_username := await users.get_by_username(username)) is not None:
        return by_username[0]
    return None
