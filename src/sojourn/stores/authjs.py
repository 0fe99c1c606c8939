"""Users and sessions in the tables of `@auth/pg-adapter`, shared with a Next.js application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.errors import ConfigError, Conflict
from sojourn.models import Account, User
from sojourn.ports import Clock, system_clock
from sojourn.stores.authjs_pool import AuthJSPool
from sojourn.stores.authjs_sessions import AuthJSSessionStore, read_user
from sojourn.stores.authjs_tables import fits
from sojourn.stores.postgres import PostgresOnceStore, PostgresRevocationLog
from sojourn.stores.postgres_sessions import PostgresCounterStore
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.postgres_terms import Driver
from sojourn.stores.statements import storable

__all__ = ["AuthJSDatabase", "AuthJSUserStore"]


class AuthJSDatabase:
    """One database and its stores: `users` and `sessions` in their tables; `counters`, `once` and `revocations` in
    ours, in the schema `sojourn`.

    `max_age` in seconds has to be the other side's too: their table says when a session ends, and when it was extended
    last is that much earlier. A record is needed for `kept` seconds beyond its end. Without a `driver` it is asyncpg.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age: int,
        kept: int = 0,
        clock: Clock = system_clock,
        pool_size: int = 10,
        driver: Driver | None = None,
    ) -> None:
        self._pool = AuthJSPool(url, size=pool_size, driver=driver)
        self.users: AuthJSUserStore = AuthJSUserStore(self._pool)
        self.sessions: AuthJSSessionStore = AuthJSSessionStore(self._pool, clock, max_age=max_age, kept=kept)
        self.counters: PostgresCounterStore = PostgresCounterStore(self._pool, clock)
        self.once: PostgresOnceStore = PostgresOnceStore(self._pool, clock)
        self.revocations: PostgresRevocationLog = PostgresRevocationLog(self._pool, clock)

    async def connect(self) -> None:
        """Look for their tables and make ours; theirs are never made or altered.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it cannot now.
        """
        await self._pool.connect()

    async def aclose(self) -> None:
        """Finish what was asked and close the connections."""
        self.revocations.close()
        await self._pool.aclose()


class AuthJSUserStore:
    """Their users and accounts. A user has no username, password, disabling, or times of their own there."""

    def __init__(self, pool: AuthJSPool) -> None:
        self._pool = pool

    async def get(self, user_id: str) -> User | None:
        ask = await self._pool.statements()
        return await self._one(ask.get, {"user_id": user_id}) if fits(ask.user_id, user_id) else None

    async def get_by_email(self, email: str) -> User | None:
        """By the address in lower case: theirs stand in whatever case a provider told them."""
        return await self._one((await self._pool.statements()).get_by_email, {"address": email})

    async def get_by_account(self, provider: str, provider_account_id: str) -> User | None:
        ask = await self._pool.statements()
        return await self._one(ask.get_by_account, {"provider": provider, "account_id": provider_account_id})

    async def get_by_username(self, username: str) -> tuple[User, str | None] | None:
        """Nobody: there is no column for it."""
        return None

    async def create(self, user: User, account: Account | None = None, password_hash: str | None = None) -> User:
        """Insert the user and their first account; the server gives the id, which the user returned has.

        What has no column is dropped. Raises `ConfigError` for a password, sealed tokens or a disabled user.
        """
        if password_hash is not None:
            raise _no_passwords()
        _check_user(user)
        ask = await self._pool.statements()
        if account is None:
            what, user_id = await self._write(ask.create, _user_values(user))
        else:
            what, user_id = await self._write(ask.create_with_account, _user_values(user) | _account_values(account))
        if what is not None:
            raise Conflict(what)
        return User(
            id=user_id,
            name=user.name,
            email=user.email,
            email_verified_at=user.email_verified_at,
            image=user.image,
        )

    async def link(self, account: Account) -> None:
        """Insert an account; raises `Conflict("account")` if it is taken, `Conflict("user")` if the user is gone."""
        values = _account_values(account) | {"user_id": account.user_id}
        ask = await self._pool.statements()
        if not fits(ask.user_id, account.user_id):
            raise Conflict("user")
        what, owner = await self._write(ask.link, values)
        if what is not None or owner is None:
            raise Conflict(what or "user")

    async def update(self, user: User) -> None:
        """Write name, email, verification and image; raises `Conflict("user")` or `Conflict("email")`, and
        `ConfigError` for a disabled user."""
        _check_user(user)
        ask = await self._pool.statements()
        if not fits(ask.user_id, user.id):
            raise Conflict("user")
        what, found = await self._write(ask.update, _user_values(user) | {"user_id": user.id})
        if what is not None or found is None:
            raise Conflict(what or "user")

    async def record_login(self, user_id: str, at: int) -> None:
        """Nothing: there is no column for it."""

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Raises `ConfigError`."""
        raise _no_passwords()

    async def keep_tokens(self, provider: str, provider_account_id: str, sealed_tokens: str) -> None:
        """Raises `ConfigError`: their columns hold tokens as they are, and what is sealed nobody there can read."""
        raise _no_sealed_tokens()

    async def list_accounts(self, user_id: str) -> Sequence[Account]:
        """The user's accounts, oldest first; when they were made is not known."""
        ask = await self._pool.statements()
        if not fits(ask.account_user_id, user_id):
            return []
        rows = await self._pool.fetch(ask.list_accounts, {"user_id": user_id})
        return [
            Account(provider=provider, provider_account_id=account_id, type=kind, user_id=owner, scope=scope)
            for provider, account_id, kind, owner, scope in rows
        ]

    async def _one(self, statement: Statement, names: Mapping[str, str]) -> User | None:
        if not all(map(storable, names.values())):
            return None
        rows = await self._pool.fetch(statement, names)
        return read_user(rows[0]) if rows else None

    async def _write(self, statement: Statement, values: Mapping[str, object]) -> tuple[str | None, Any]:
        ((what, found),) = await self._pool.fetch(statement, values)
        return what, found


def _user_values(user: User) -> dict[str, object]:
    return {
        "name": user.name,
        "email": user.email,
        "email_verified_at": user.email_verified_at,
        "image": user.image,
    }


def _account_values(account: Account) -> dict[str, object]:
    if account.sealed_tokens is not None:
        raise _no_sealed_tokens()
    return {
        "provider": account.provider,
        "account_id": account.provider_account_id,
        "type": account.type,
        "scope": account.scope,
    }


def _no_column(what: str, fix: str) -> ConfigError:
    return ConfigError("compat_tables", f"the tables of Auth.js have no column for {what}", fix)


def _no_passwords() -> ConfigError:
    return _no_column(
        "passwords", "Check them yourself, with Credentials(authorize=…), or keep users in Sojourn's own tables."
    )


def _no_sealed_tokens() -> ConfigError:
    return _no_column("encrypted tokens of providers", "Leave keep_tokens off, or keep users in Sojourn's own tables.")


def _check_user(user: User) -> None:
    if user.disabled_at is not None:
        raise _no_column(
            "disabled users", "Refuse them in the sign_in callback, or keep users in Sojourn's own tables."
        )
