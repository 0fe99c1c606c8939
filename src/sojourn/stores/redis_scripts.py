"""The steps that Redis takes as one, in its own language.

Each script looks at every key before it writes any. On a Cluster that is moving keys, or on a server that is full, it
so fails before it has done anything.

A session is one string: a format byte, version, `issued_at`, `expires_at` and `forget_after` (big-endian), the lengths
of the next two, the user's id, what never changes (MessagePack), and the claims. Beside it, each user has a sorted set
of their sessions by `forget_after`, which goes when the last of them goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sojourn.stores.redis_link import Words

__all__ = [
    "APPEND",
    "DELETE",
    "DELETE_FOR_USER",
    "GIVE_BACK",
    "INSERT",
    "LIST_FOR_USER",
    "REPLACE",
    "SOURCES",
    "TAKE",
    "Script",
]

# A session's times and version are bytes 2 to 29; two lengths follow, then the user's id.
_INDEX: Final = """
local function index_of(prefix, session)
    return prefix .. string.sub(session, 34, 33 + struct.unpack('>H', session, 30))
end
local function keep(index, until_, sid, ttl)
    redis.call('ZADD', index, until_, sid)
    if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
"""


class Script(msgspec.Struct, frozen=True):
    """A script and its digest; a server that does not know the digest yet is sent the whole."""

    source: str
    digest: bytes

    def words(self, keys: Sequence[bytes], *arguments: bytes | str | int) -> Words:
        return (b"EVALSHA", self.digest, len(keys), *keys, *arguments)


def _script(source: str) -> Script:
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest().encode())


# session, index; the string, ttl, forget_after, sid, now, prefix of sessions. 0 if it exists.
INSERT: Final = _script(
    _INDEX
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local gone = {}
for _, sid in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[5], 'LIMIT', 0, 10)) do
    if redis.call('EXISTS', ARGV[6] .. sid) == 0 then table.insert(gone, sid) end
end
keep(KEYS[2], ARGV[3], ARGV[4], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for _, sid in ipairs(gone) do redis.call('ZREM', KEYS[2], sid) end
return 1
"""
)

# session; the version it must have, version and times of the new one, claims, ttl, prefix of indexes, sid,
# forget_after. 0 if it is gone or has another version.
REPLACE: Final = _script(
    _INDEX
    + """
local old = redis.call('GET', KEYS[1])
if not old or string.sub(old, 2, 5) ~= ARGV[1] then return 0 end
local user, fixed = struct.unpack('>HH', old, 30)
keep(index_of(ARGV[5], old), ARGV[7], ARGV[6], ARGV[4])
local kept = string.sub(old, 30, 33 + user + fixed)
redis.call('SET', KEYS[1], string.sub(old, 1, 1) .. ARGV[2] .. kept .. ARGV[3], 'PX', ARGV[4])
return 1
"""
)

# session; prefix of indexes, sid. How many there were. An index that is on its way to another server forgets later.
DELETE: Final = _script(
    _INDEX
    + """
local old = redis.call('GET', KEYS[1])
if not old then
    -- An earlier deletion may not have reached a replica yet: who waits for this write waits for that one.
    redis.call('SET', KEYS[1], '', 'PX', 1)
    redis.call('DEL', KEYS[1])
    return 0
end
redis.pcall('ZREM', index_of(ARGV[1], old), ARGV[2])
return redis.call('DEL', KEYS[1])
"""
)

# index; prefix of sessions. Ids and strings in turn.
LIST_FOR_USER: Final = _script("""
local found, gone = {}, {}
for _, sid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local session = redis.call('GET', ARGV[1] .. sid)
    if session then
        table.insert(found, sid)
        table.insert(found, session)
    else
        table.insert(gone, sid)
    end
end
for _, sid in ipairs(gone) do redis.call('ZREM', KEYS[1], sid) end
return found
""")

# index; prefix of sessions, the sid to keep or nothing. The ids that are gone now.
DELETE_FOR_USER: Final = _script("""
local found, gone = {}, {}
for _, sid in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if sid ~= ARGV[2] then
        table.insert(redis.call('EXISTS', ARGV[1] .. sid) == 1 and found or gone, sid)
    end
end
for _, sid in ipairs(found) do redis.call('DEL', ARGV[1] .. sid) end
for _, sid in ipairs(found) do redis.call('ZREM', KEYS[1], sid) end
for _, sid in ipairs(gone) do redis.call('ZREM', KEYS[1], sid) end
return found
""")

# key; now, step and period in microseconds. Seconds to wait, 0 if there was room. As policy/rate_limit.py.
TAKE: Final = _script("""
local now, latest = tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[3])
local recovered = tonumber(redis.call('GET', KEYS[1]) or '0')
if recovered > latest or recovered < now then recovered = now end
local after = recovered + tonumber(ARGV[2])
if after > latest then return math.ceil((after - latest) / 1000000) end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return 0
""")

# key; step in microseconds.
GIVE_BACK: Final = _script("""
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECRBY', KEYS[1], ARGV[1]) end
return 0
""")

# position, stream, positions by forget_after; now, kind, subject, at, forget_after. Positions follow the
# server's clock: one that it lost together with its memory is not given out again.
APPEND: Final = _script("""
local time = redis.call('TIME')
local position = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, time[1] * 1000000 + time[2])
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 4)
redis.call('EXISTS', KEYS[2])
local text = string.format('%.0f', position)
redis.call('SET', KEYS[1], text)
redis.call('XADD', KEYS[2], text .. '-0', 'kind', ARGV[2], 'subject', ARGV[3], 'at', ARGV[4], 'forget_after', ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[5], text)
for _, old in ipairs(due) do
    redis.call('XDEL', KEYS[2], old .. '-0')
    redis.call('ZREM', KEYS[3], old)
end
return text
""")

SOURCES: Final[Mapping[object, str]] = {
    script.digest: script.source
    for script in (INSERT, REPLACE, DELETE, LIST_FOR_USER, DELETE_FOR_USER, TAKE, GIVE_BACK, APPEND)
}
