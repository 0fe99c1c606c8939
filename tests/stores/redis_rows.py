"""What a Redis really holds, read by redis-py and taken apart here, so that the store's own reading is checked too."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sojourn.testing import DrivenClock

_HEAD = struct.Struct(">BIqqqHH")
_MARGIN = 1


async def read_rows(redis: Any, table: str, clock: DrivenClock) -> Sequence[Mapping[str, Any]]:
    """The rows of a table; without those that the server has dropped by the time of the driven clock."""
    match table:
        case "sessions":
            return [await _session(redis, key) async for key in redis.scan_iter("sojourn:*:s:*")]
        case "spent":
            found = [await _spent(redis, key) async for key in redis.scan_iter("sojourn:*:o:*")]
            return [row for row in found if row["forget_after"] + _MARGIN > clock()]
        case "revocations":
            entries = await redis.xrange("sojourn:{log}:entries")
            assert await redis.zcard("sojourn:{log}:forget") == len(entries)
            return [_entry(fields) for _, fields in entries]
        case _:
            raise AssertionError(table)


async def _session(redis: Any, key: bytes) -> Mapping[str, Any]:
    assert await redis.pttl(key) > 0
    tag, _, sid = key.decode().removeprefix("sojourn:{").partition("}:s:")
    value = await redis.get(key)
    form, version, issued_at, expires_at, forget_after, users, fixes = _HEAD.unpack_from(value)
    assert form == 1
    rest = value[_HEAD.size :]
    user_id = rest[:users].decode()
    index = f"sojourn:{{{tag}}}:u:{user_id}"
    assert await redis.zscore(index, sid) == forget_after
    assert await redis.pttl(index) >= await redis.pttl(key) - 1000
    secret_hash, auth_time, provider, client, user_agent = msgspec.msgpack.decode(rest[users : users + fixes])
    return {
        "sid": sid,
        "user_id": user_id,
        "secret_hash": secret_hash,
        "claims": rest[users + fixes :],
        "auth_time": auth_time,
        "issued_at": issued_at,
        "expires_at": expires_at,
        "forget_after": forget_after,
        "version": version,
        "provider": provider,
        "client": client,
        "user_agent": user_agent,
    }


async def _spent(redis: Any, key: bytes) -> Mapping[str, Any]:
    assert await redis.pttl(key) > 0
    return {"key": key.decode().partition("}:o:")[2], "forget_after": int(await redis.get(key))}


def _entry(fields: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    row = {name.decode(): value.decode() for name, value in fields.items()}
    return {**row, "at": int(row["at"]), "forget_after": int(row["forget_after"])}
