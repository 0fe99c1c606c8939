"""Users and sessions in the tables of `@auth/pg-adapter`, shared with a Next.js application."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.errors import ConfigError, Conflict
from sojourn.models import Account, User
from sojourn.ports import Clock, SessionChange, SessionRecord, system_clock
from sojourn.stores.authjs_pool import AuthJSPool
from sojourn.stores.authjs_statements import MICROSECONDS
from sojourn.stores.authjs_tables import fits
from sojourn.stores.postgres import PostgresOnceStore, PostgresRevocationLog
from sojourn.stores.postgres_sessions import PostgresCounterStore
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.statements import storable

__all__ = ["AuthJSDatabase", "AuthJSSessionStore", "AuthJSUserStore", "sid_of"]

_SID_DIGITS: Final = 32
_RECORD_COLUMNS: Final = 3


def sid_of(token: str) -> str:
    """The name of the session that this token opens: 32 hex digits of its SHA-256, never part of the token itself."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:_SID_DIGITS]


class AuthJSDatabase:
    """One database and its stores: `users` and `sessions` in their tables; `counters`, `once` and `revocations` in
    ours, in the schema `sojourn`.

    `max_age` in seconds has to be the other side's too: their table says when a session ends, and when it was extended
    last is that much earlier. A record is needed for `kept` seconds beyond its end.
    """

    def __init__(
        self, url: str, *, max_age: int, kept: int = 0, clock: Clock = system_clock, pool_size: int = 10
    ) -> None:
        self._pool = AuthJSPool(url, size=pool_size)
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
        return _read_user(rows[0]) if rows else None

    async def _write(self, statement: Statement, values: Mapping[str, object]) -> tuple[str | None, Any]:
        ((what, found),) = await self._pool.fetch(statement, values)
        return what, found


class AuthJSSessionStore:
    """Their sessions. A session's secret is its token, which stands in the table as it is: the adapter looks for it.

    A check asks by the token (`find`, `insert_token`, `replace_token`, `delete_token`), the rest by the `sid`, which
    is made from the token. A record has no claims, which the strategy makes from the user's row, and its version is
    its end in microseconds. `auth_time` is when the session was extended last: that it began earlier stands nowhere.
    """

    def __init__(self, pool: AuthJSPool, clock: Clock, *, max_age: int, kept: int) -> None:
        self._pool = pool
        self._clock = clock
        self._max_age = max_age
        self._kept = kept

    async def find(self, token: str) -> tuple[SessionRecord, User] | None:
        """The session that the token opens, also past its end, and its user."""
        if not storable(token):
            return None
        return await self._found((await self._pool.statements()).find, token)

    async def insert_token(self, token: str, record: SessionRecord) -> None:
        """A new session of `record.user_id` until `record.expires_at`; raises `Conflict("user")` if they are gone."""
        ask = await self._pool.statements()
        values = {"token": token, "user_id": record.user_id, "expires_at": record.expires_at}
        if not fits(ask.user_id, record.user_id) or not await self._pool.fetch(ask.insert, values):
            raise Conflict("user")

    async def replace_token(self, token: str, change: SessionChange, *, expected_version: int) -> int:
        """Write the new end, and say its version.

        Raises `Conflict("session")` if the session is gone, or was extended by anybody.
        """
        ask = await self._pool.statements()
        values = {"token": token, "new_expires_at": change.expires_at, "expected_version": expected_version}
        if not storable(token) or not await self._pool.fetch(ask.replace, values):
            raise Conflict("session")
        return change.expires_at * MICROSECONDS

    async def delete_token(self, token: str) -> bool:
        """Whether there was one; durable when it returns."""
        ask = await self._pool.statements()
        return bool(storable(token) and await self._pool.fetch(ask.delete, {"token": token}))

    async def insert(self, record: SessionRecord) -> None:
        """Raises `ConfigError`: the table wants the token, which no record holds."""
        raise ConfigError(
            "compat_tables", "a session without its token cannot be stored", "Store it with insert_token()."
        )

    async def get(self, sid: str) -> SessionRecord | None:
        found = await self.get_with_user(sid)
        return None if found is None else found[0]

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        if not storable(sid):
            return None
        return await self._found((await self._pool.statements()).find_by_sid, sid)

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        """As `replace_token`."""
        ask = await self._pool.statements()
        values = {"sid": sid, "new_expires_at": change.expires_at, "expected_version": expected_version}
        if not storable(sid) or not await self._pool.fetch(ask.replace_by_sid, values):
            raise Conflict("session")

    async def delete(self, sid: str) -> bool:
        ask = await self._pool.statements()
        return bool(storable(sid) and await self._pool.fetch(ask.delete_by_sid, {"sid": sid}))

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        """The user's records that need not be forgotten yet, the latest end first."""
        ask = await self._pool.statements()
        if not fits(ask.session_user_id, user_id):
            return []
        values = {"user_id": user_id, "needed_from": self._clock() - self._kept}
        return [self._read(row) for row in await self._pool.fetch(ask.list_for_user, values)]

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        ask = await self._pool.statements()
        if not fits(ask.session_user_id, user_id):
            return []
        rows = await self._pool.fetch(ask.delete_for_user, {"user_id": user_id, "but": but or ""})
        return [_sid(row[0]) for row in rows]

    async def purge(self, *, limit: int = 1000) -> int:
        """Drop at most `limit` sessions past their end, whichever side began them; returns how many."""
        ask = await self._pool.statements()
        return len(await self._pool.fetch(ask.purge, {"needed_from": self._clock() - self._kept, "most": limit}))

    async def _found(self, statement: Statement, name: str) -> tuple[SessionRecord, User] | None:
        row = await self._pool.fetch_one(statement, name)
        if row is None:
            return None
        return self._read(row[:_RECORD_COLUMNS]), _read_user(row[_RECORD_COLUMNS:])

    def _read(self, row: Sequence[Any]) -> SessionRecord:
        secret_hash, user_id, version = row
        expires_at = version // MICROSECONDS
        # Where the other side lets sessions live longer, this one counts as extended now, not in the future.
        issued_at = min(expires_at - self._max_age, self._clock())
        return SessionRecord(
            _sid(secret_hash),
            user_id,
            secret_hash,
            b"",
            issued_at,
            issued_at,
            expires_at,
            expires_at + self._kept,
            version,
        )


def _sid(secret_hash: bytes) -> str:
    return secret_hash.hex()[:_SID_DIGITS]


def _read_user(row: Sequence[Any]) -> User:
    user_id, name, email, email_verified_at, image = row
    return User(id=user_id, name=name, email=email, email_verified_at=email_verified_at, image=image)


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
