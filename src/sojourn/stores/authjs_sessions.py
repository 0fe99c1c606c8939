"""Sessions in the table of `@auth/pg-adapter`, shared with a Next.js application."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.errors import ConfigError, Conflict
from sojourn.models import User
from sojourn.ports import Clock, SessionChange, SessionRecord
from sojourn.stores.authjs_pool import AuthJSPool
from sojourn.stores.authjs_statements import MICROSECONDS
from sojourn.stores.authjs_tables import fits
from sojourn.stores.postgres_statements import Statement
from sojourn.stores.statements import storable

__all__ = ["AuthJSSessionStore", "read_user", "sid_of"]

_SID_DIGITS: Final = 32
_RECORD_COLUMNS: Final = 3


def sid_of(token: str) -> str:
    """The name of the session that this token opens: 32 hex digits of its SHA-256, never part of the token itself."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:_SID_DIGITS]


# The end of the year 9999, the last that a date can be made of.
_LATEST: Final = 253_402_300_799


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
        """Write the new end; the new version. Raises `Conflict("session")` if the session is gone, or was extended by
        anybody."""
        ask = await self._pool.statements()
        return await self._replace(ask.replace, {"token": token}, change, expected_version)

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
        await self._replace(ask.replace_by_sid, {"sid": sid}, change, expected_version)

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

    async def _replace(
        self, statement: Statement, names: Mapping[str, str], change: SessionChange, expected_version: int
    ) -> int:
        values = {**names, "new_expires_at": change.expires_at, "expected_version": expected_version}
        rows = await self._pool.fetch(statement, values) if all(map(storable, names.values())) else []
        if not rows:
            raise Conflict("session")
        version: int = rows[0][0]
        return version

    async def _found(self, statement: Statement, name: str) -> tuple[SessionRecord, User] | None:
        row = await self._pool.fetch_one(statement, name)
        if row is None:
            return None
        return self._read(row[:_RECORD_COLUMNS]), read_user(row[_RECORD_COLUMNS:])

    def _read(self, row: Sequence[Any]) -> SessionRecord:
        secret_hash, user_id, version = row
        expires_at = min(version // MICROSECONDS, _LATEST)
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


def read_user(row: Sequence[Any]) -> User:
    """A row of their columns, as the statements select them."""
    user_id, name, email, email_verified_at, image = row
    return User(id=user_id, name=name, email=email, email_verified_at=email_verified_at, image=image)
