"""Users, spent keys and revocations in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec

from sojourn.errors import Conflict, StoreUnavailable
from sojourn.models import Account, User
from sojourn.ports import Clock, Revocation, system_clock
from sojourn.stores import postgres_statements as ask
from sojourn.stores.postgres_channel import PostgresChannel
from sojourn.stores.postgres_sessions import PostgresCounterStore, PostgresSessionStore
from sojourn.stores.postgres_statements import PAGE, Statement
from sojourn.stores.postgres_terms import Pool
from sojourn.stores.statements import CHANGEABLE, read_account, read_revocation, read_user, storable

__all__ = ["PostgresDatabase"]


class PostgresDatabase:
    """One database and its stores: `users`, `sessions`, `counters`, `once`, `revocations`.

    At most `pool_size` connections of asyncpg's, or those of another driver's `pool`. A call connects by itself when
    needed, so that the database may come back without a restart. Each waits at most one second for a connection and
    two for the answer.
    """

    def __init__(self, url: str, *, clock: Clock = system_clock, pool_size: int = 10, pool: Pool | None = None) -> None:
        if pool is None:
            from sojourn.stores.postgres_pool import PostgresPool

            pool = PostgresPool(url, size=pool_size)
        self._pool: Pool = pool
        self.users: PostgresUserStore = PostgresUserStore(pool)
        self.sessions: PostgresSessionStore = PostgresSessionStore(pool, clock)
        self.counters: PostgresCounterStore = PostgresCounterStore(pool, clock)
        self.once: PostgresOnceStore = PostgresOnceStore(pool, clock)
        self.revocations: PostgresRevocationLog = PostgresRevocationLog(pool, clock)

    async def connect(self) -> None:
        """Make the tables.

        Raises `ConfigError` if that can never work as set, `StoreUnavailable` if it cannot now.
        """
        await self._pool.connect()

    async def aclose(self) -> None:
        """Finish what was asked and close the connections."""
        self.revocations.close()
        await self._pool.aclose()


class PostgresUserStore:
    """Users, accounts and password hashes in two tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, user_id: str) -> User | None:
        return await self._one(ask.GET, {"user_id": user_id})

    async def get_by_email(self, email: str) -> User | None:
        return await self._one(ask.GET_BY_EMAIL, {"address": email})

    async def get_by_account(self, provider: str, provider_account_id: str) -> User | None:
        return await self._one(ask.GET_BY_ACCOUNT, {"provider": provider, "account_id": provider_account_id})

    async def get_by_username(self, username: str) -> tuple[User, str | None] | None:
        rows = await self._find(ask.GET_BY_USERNAME, {"name": username})
        return (read_user(rows[0][:-1]), rows[0][-1]) if rows else None

    async def create(self, user: User, account: Account | None = None, password_hash: str | None = None) -> User:
        """Insert the user and their first account, which becomes theirs whatever its `user_id` says."""
        own = {**asdict(user), "password_hash": password_hash}
        if account is None:
            await self._pool.fetch(ask.INSERT_USER, own)
        else:
            both = asdict(replace(account, user_id=user.id)) | {f"user_{name}": value for name, value in own.items()}
            await self._pool.fetch(ask.CREATE_WITH_ACCOUNT, both)
        return user

    async def link(self, account: Account) -> None:
        """Insert an account; raises `Conflict("account")` if it is taken, `Conflict("user")` if the user is gone."""
        await self._pool.fetch(ask.INSERT_ACCOUNT, asdict(account))

    async def update(self, user: User) -> None:
        """Write name, email, verification, image and disabling; raises `Conflict("user")` or `Conflict("email")`."""
        changes = {f"new_{name}": getattr(user, name) for name in CHANGEABLE}
        await self._change_one(ask.UPDATE, {**changes, "user_id": user.id})

    async def record_login(self, user_id: str, at: int) -> None:
        """Note when the user last signed in; a user who is gone is no error."""
        await self._pool.fetch(ask.RECORD_LOGIN, {"user_id": user_id, "new_last_login_at": at})

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the hash; raises `Conflict("user")` if the user is gone."""
        await self._change_one(ask.SET_PASSWORD_HASH, {"user_id": user_id, "new_password_hash": password_hash})

    async def keep_tokens(self, provider: str, provider_account_id: str, sealed_tokens: str) -> None:
        """Replace the account's sealed tokens; an account that is gone is no error."""
        names = {"provider": provider, "account_id": provider_account_id, "new_sealed_tokens": sealed_tokens}
        await self._pool.fetch(ask.KEEP_TOKENS, names)

    async def list_accounts(self, user_id: str) -> Sequence[Account]:
        """The user's accounts, oldest first."""
        return [read_account(row) for row in await self._find(ask.LIST_ACCOUNTS, {"owner": user_id})]

    async def _find(self, statement: Statement, names: Mapping[str, str]) -> Sequence[Any]:
        if not all(map(storable, names.values())):
            return []
        return await self._pool.fetch(statement, names)

    async def _one(self, statement: Statement, names: Mapping[str, str]) -> User | None:
        rows = await self._find(statement, names)
        return read_user(rows[0]) if rows else None

    async def _change_one(self, statement: Statement, parameters: Mapping[str, object]) -> None:
        if not await self._pool.fetch(statement, parameters):
            raise Conflict("user")


class PostgresOnceStore:
    """Spent keys in a table; each spending also forgets a few that are past their time."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def spend(self, key: str, forget_after: int) -> bool:
        rows = await self._pool.fetch(ask.SPEND, {"key": key, "forget_after": forget_after, "now": self._clock()})
        return bool(rows)


class PostgresRevocationLog:
    """Revocations in a table, numbered in the order of their commits; each also forgets a few past their time."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._channel = PostgresChannel(pool)

    async def append(self, revocation: Revocation) -> None:
        if not await self._pool.fetch(ask.APPEND, {**msgspec.structs.asdict(revocation), "now": self._clock()}):
            raise StoreUnavailable("database", "the row of sojourn_counters is gone")

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        """Everything after this position, fetched in pages so that no statement outlasts its time."""
        found: list[Revocation] = []
        while True:
            rows = await self._pool.fetch(ask.READ, {"after": after})
            found += [read_revocation(row[1:]) for row in rows]
            after = rows[-1][0] if rows else after
            if len(rows) < PAGE:
                return after, found

    async def wait(self, after: int, seconds: float) -> None:
        await self._channel.wait(after, seconds)

    def close(self) -> None:
        """Listen no longer."""
        self._channel.close()
