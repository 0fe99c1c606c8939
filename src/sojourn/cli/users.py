"""`sojourn users`: people who sign in with a password, and who may sign in at all."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import App, Parameter

from sojourn.cli.output import AsJSON, counted, tell
from sojourn.cli.people import devices_in, known_user, with_stores
from sojourn.cli.settings import ConfigFile, ServerClaims, load_config, the_database
from sojourn.config import AuthConfig
from sojourn.errors import ConfigError, Conflict
from sojourn.identifiers import normalise_email, normalise_username, uuid7
from sojourn.models import Account, User
from sojourn.passwords import PasswordHasher
from sojourn.ports import system_clock
from sojourn.stores import Stores, open_database

__all__ = ["add_user", "app"]

_LONGEST_PASSWORD = 1024  # bytes
_SHORTEST_PASSWORD = 8  # characters (NIST SP 800-63B 3.1.1)

app: App = App(name="users")
Known = Annotated[str, Parameter(help="Their username, address or id.")]
FromStdin = Annotated[bool, Parameter(negative="", help="Read the password from standard input.")]


@app.command
def add(
    name: str,
    *,
    email: str,
    password_stdin: FromStdin = False,
    email_verified: Annotated[bool, Parameter(negative="", help="The address is known to be theirs.")] = False,
    config: ConfigFile = None,
    as_json: AsJSON = False,
) -> None:
    """Add somebody to the users table.

    Parameters
    ----------
    name
        The username to sign in with.
    email
        Their address; they can sign in with it as well.
    """
    database = the_database(load_config(config))
    user = asyncio.run(
        add_user(database, name, email, read_password(given=password_stdin), email_verified=email_verified)
    )
    tell(
        {"id": user.id, "username": user.username, "email": user.email},
        lambda: f"Added {user.username} <{user.email}> as {user.id}.",
        as_json=as_json,
    )


@app.command
def password(
    name: Known, *, password_stdin: FromStdin = False, config: ConfigFile = None, as_json: AsJSON = False
) -> None:
    """Give somebody a new password and end all their sessions: whoever knew the old one is out."""
    settings = _with_users(config)
    text = read_password(given=password_stdin)
    _check_length(text)

    async def change(stores: Stores) -> tuple[User, int]:
        user = await _somebody(name, stores)
        if user.username is None:
            fix = "Who signs in through a provider has no password here; `sojourn users add` makes who has."
            raise ConfigError("NAME", "somebody without a username", fix)
        # The new password first: nobody can then come back with the old one.
        await stores.users.set_password_hash(user.id, await PasswordHasher().hash(text))
        return user, len(await devices_in(settings, stores).end_all(user.id, "password_changed"))

    _tell_of(*asyncio.run(with_stores(settings, change)), "has a new password", as_json=as_json)


@app.command
def disable(name: Known, *, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Let somebody sign in no more, and end all their sessions."""
    settings = _with_users(config)

    async def change(stores: Stores) -> tuple[User, int]:
        user = await _somebody(name, stores)
        if user.disabled_at is None:
            await stores.users.update(user.replace(disabled_at=system_clock()))
        return user, len(await devices_in(settings, stores).end_all(user.id, "disabled"))

    _tell_of(*asyncio.run(with_stores(settings, change)), "is disabled", as_json=as_json)


@app.command
def enable(name: Known, *, config: ConfigFile = None, as_json: AsJSON = False) -> None:
    """Let somebody who was disabled sign in again."""

    async def change(stores: Stores) -> User:
        user = await _somebody(name, stores)
        await stores.users.update(user.replace(disabled_at=None))
        return user

    user = asyncio.run(with_stores(_with_users(config), change))
    tell({"id": user.id, "enabled": True}, lambda: f"{_called(user)} may sign in.", as_json=as_json)


def _with_users(config: ConfigFile) -> AuthConfig[ServerClaims]:
    settings = load_config(config)
    the_database(settings)
    return settings


async def _somebody(name: str, stores: Stores) -> User:
    user = await known_user(name, stores.users) if name.isprintable() else None
    if user is None:
        raise ConfigError("NAME", f"{name!r} is unknown", "Give their username, address or id.")
    return user


def _tell_of(user: User, ended: int, what: str, *, as_json: bool) -> None:
    said = {"id": user.id, "ended": ended}
    tell(said, lambda: f"{_called(user)} {what}. {counted(ended, 'session')} ended.", as_json=as_json)


def _called(user: User) -> str:
    return user.username or user.email or user.id


def read_password(*, given: bool) -> str:
    """One line of standard input, or what is typed at a terminal without showing."""
    if not given:
        if not sys.stdin.isatty():
            raise ConfigError("--password-stdin", "not given", "Pipe the password in and give --password-stdin.")
        import getpass

        return getpass.getpass("Password: ")
    data = sys.stdin.buffer.readline(_LONGEST_PASSWORD + 2)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError("--password-stdin", "bytes that are not UTF-8", "Pipe in UTF-8 text.") from None


def _check_length(password: str) -> None:
    if len(password) < _SHORTEST_PASSWORD or len(password.encode()) > _LONGEST_PASSWORD:
        raise ConfigError("password", f"{len(password)} characters", "Use 8 characters or more, at most 1024 bytes.")


async def add_user(
    database: str, username: str, email: str, password: str, *, name: str | None = None, email_verified: bool = False
) -> User:
    """Insert the user with a hashed password; raises `ConfigError` for a name, address or password that cannot be used.

    `name` is what people call them: the username as it was written, unless given.
    """
    known_as, address = normalise_username(username), normalise_email(email)
    if known_as is None:
        raise ConfigError(
            "NAME", repr(username), "Choose a name without @, blanks or controls, at most 255 characters."
        )
    if address is None:
        raise ConfigError("--email", repr(email), "Give one plain address, like ada@example.org.")
    _check_length(password)
    now = system_clock()
    user = User(
        id=str(uuid7(now)),
        username=known_as,
        name=name or username,
        email=address,
        email_verified_at=now if email_verified else None,
        created_at=now,
    )
    account = Account(
        provider="credentials", provider_account_id=user.id, type="credentials", user_id=user.id, created_at=now
    )
    password_hash = await PasswordHasher().hash(password)
    stores = open_database(database)
    await stores.start()
    try:
        return await stores.users.create(user, account, password_hash)
    except Conflict as error:
        seen = email if error.what == "email" else username
        raise ConfigError(error.what, f"{seen!r} belongs to somebody already", "Choose another.") from error
    finally:
        await stores.aclose()
