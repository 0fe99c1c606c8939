"""Sessions in Redis: one key each, and one for each user that lists theirs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from sojourn.errors import Conflict, StoreUnavailable
from sojourn.models import User
from sojourn.ports import Clock, SessionChange, SessionRecord
from sojourn.stores.redis_client import Command, RedisClient
from sojourn.stores.redis_keys import encoded, owner_tag, session_tag, tagged
from sojourn.stores.redis_scripts import DELETE, DELETE_FOR_USER, INSERT, LIST_FOR_USER, REPLACE

__all__ = ["RedisSessionStore"]

_FORMAT: Final = 1
# See redis_scripts.py, which reads and writes the same.
_HEAD: Final = struct.Struct(">BIqqqHH")
_VERSION: Final = struct.Struct(">I")
_CHANGED: Final = struct.Struct(">Iqqq")
_MARGIN: Final = 1
"""Seconds that a key outlives its `forget_after`."""

_Fixed = tuple[bytes, int, str | None, str | None, str | None]
_decode = msgspec.msgpack.Decoder(_Fixed).decode
_encode = msgspec.msgpack.Encoder().encode


def time_to_live(forget_after: int, now: int) -> int:
    """In milliseconds, as the clock that was passed in counts them."""
    return max(1, (forget_after + _MARGIN - now) * 1000)


class RedisSessionStore:
    """Sessions that go by themselves; `purge` has nothing to do. Users are kept elsewhere."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def insert(self, record: SessionRecord) -> None:
        """Raises `Conflict("session")` if the id exists, `ValueError` if it is not one for this user."""
        tag = session_tag(record.sid)
        if tag is None or tag != owner_tag(record.user_id):
            raise ValueError("a session's id that is not made by identifiers.session_id for its user")
        keys = (tagged(tag, "s", record.sid), tagged(tag, "u", record.user_id))
        now = self._clock()
        ttl = time_to_live(record.forget_after, now)
        words = INSERT.words(keys, _pack(record), ttl, record.forget_after, record.sid, now, tagged(tag, "s", ""))
        if not await self._client.run(Command(tag.encode(), words, lasting=True, whole=True)):
            raise Conflict("session")

    async def get(self, sid: str) -> SessionRecord | None:
        tag = session_tag(sid)
        if tag is None:
            return None
        words = (b"GET", tagged(tag, "s", sid))
        found = await self._client.run(Command(tag.encode(), words, repeatable=True))
        return None if found is None else _read(sid, found)

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        """The record and None: users are kept elsewhere."""
        record = await self.get(sid)
        return None if record is None else (record, None)

    async def replace(self, sid: str, change: SessionChange, *, expected_version: int) -> None:
        tag = session_tag(sid)
        if tag is None or not 0 < expected_version < 1 << 32:
            raise Conflict("session")
        words = REPLACE.words(
            (tagged(tag, "s", sid),),
            _VERSION.pack(expected_version),
            _CHANGED.pack(expected_version + 1, change.issued_at, change.expires_at, change.forget_after),
            change.claims,
            time_to_live(change.forget_after, self._clock()),
            tagged(tag, "u", ""),
            sid,
            change.forget_after,
        )
        if not await self._client.run(Command(tag.encode(), words, lasting=True, whole=True)):
            raise Conflict("session")

    async def delete(self, sid: str) -> bool:
        tag = session_tag(sid)
        if tag is None:
            return False
        words = DELETE.words((tagged(tag, "s", sid),), tagged(tag, "u", ""), sid)
        return bool(await self._client.run(Command(tag.encode(), words, lasting=True)))

    async def list_for_user(self, user_id: str) -> Sequence[SessionRecord]:
        tag = owner_tag(user_id)
        words = LIST_FOR_USER.words((tagged(tag, "u", user_id),), tagged(tag, "s", ""))
        told = await self._client.run(Command(tag.encode(), words, repeatable=True, whole=True))
        now = self._clock()
        own = [_read(sid.decode(), found) for sid, found in zip(told[::2], told[1::2], strict=True)]
        living = [record for record in own if record.forget_after >= now]
        return sorted(living, key=attrgetter("auth_time", "sid"), reverse=True)

    async def delete_for_user(self, user_id: str, *, but: str | None = None) -> Sequence[str]:
        tag = owner_tag(user_id)
        words = DELETE_FOR_USER.words((tagged(tag, "u", user_id),), tagged(tag, "s", ""), encoded(but or ""))
        told = await self._client.run(Command(tag.encode(), words, lasting=True, whole=True))
        return [sid.decode() for sid in told]

    async def purge(self, *, limit: int = 1000) -> int:
        """Keys go by themselves."""
        return 0


def _pack(record: SessionRecord) -> bytes:
    user = encoded(record.user_id)
    fixed = _encode((record.secret_hash, record.auth_time, record.provider, record.client, record.user_agent))
    head = _HEAD.pack(
        _FORMAT,
        record.version,
        record.issued_at,
        record.expires_at,
        record.forget_after,
        len(user),
        len(fixed),
    )
    return b"".join((head, user, fixed, record.claims))


def _read(sid: str, found: Any) -> SessionRecord:
    """Raises `StoreUnavailable` for what is no session: somebody else wrote it."""
    try:
        form, version, issued_at, expires_at, forget_after, users, fixes = _HEAD.unpack_from(found)
        if form != _FORMAT:
            raise ValueError
        user_until = _HEAD.size + users
        claims_from = user_until + fixes
        secret_hash, auth_time, provider, client, user_agent = _decode(found[user_until:claims_from])
        return SessionRecord(
            sid,
            found[_HEAD.size : user_until].decode("utf-8", "surrogatepass"),
            secret_hash,
            found[claims_from:],
            auth_time,
            issued_at,
            expires_at,
            forget_after,
            version,
            provider,
            client,
            user_agent,
        )
    except (struct.error, TypeError, ValueError, msgspec.MsgspecError):
        raise StoreUnavailable("redis", "what is kept for a session is none") from None
