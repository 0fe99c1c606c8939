"""Sessions in the table of Auth.js: found by their token, ended for good, extended by one at a time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable

import asyncpg
import pytest

from sojourn.errors import ConfigError, Conflict
from sojourn.models import Account, User
from sojourn.ports import SessionChange, SessionRecord
from sojourn.stores.authjs import AuthJSDatabase
from sojourn.stores.authjs_sessions import AuthJSSessionStore, sid_of
from sojourn.testing import DrivenClock
from tests.stores import authjs_ddl
from tests.stores.authjs_fixtures import KEPT, MAX_AGE, clock, database, layout, their_url

TOKEN = "g-NvXdLJ8e0GJr2bq2b0H5iG2p0c9mPpTjY1RrXq5Zk"


__all__ = ["clock", "database", "layout", "their_url"]


@pytest.fixture
def sessions(database: AuthJSDatabase) -> AuthJSSessionStore:
    return database.sessions


@pytest.fixture
async def ada(database: AuthJSDatabase) -> User:
    return await database.users.create(User(id="x", name="Ada", email="ada@example.com"))


def begun(token: str, user: User, now: int) -> SessionRecord:
    """The record of a session that begins now, as it will be read."""
    secret_hash = hashlib.sha256(token.encode()).digest()
    ends = now + MAX_AGE
    return SessionRecord(
        sid_of(token), user.id, secret_hash, b"", now, now, ends, ends + KEPT, version=ends * 1_000_000
    )


def later(record: SessionRecord, seconds: int = 60) -> SessionChange:
    return SessionChange(
        claims=b"",
        issued_at=record.issued_at + seconds,
        expires_at=record.expires_at + seconds,
        forget_after=record.forget_after + seconds,
    )


async def conflict(attempt: Awaitable[object]) -> str | None:
    try:
        await attempt
    except Conflict as error:
        return error.what
    return None


async def test_a_session_is_found_by_its_token_and_by_its_name(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock, their_url: str
) -> None:
    record = begun(TOKEN, ada, clock())
    await sessions.insert_token(TOKEN, record)
    assert await sessions.find(TOKEN) == (record, ada)
    assert await sessions.get(record.sid) == record
    assert await sessions.get_with_user(record.sid) == (record, ada)
    assert list(await sessions.list_for_user(ada.id)) == [record]
    (row,) = await authjs_ddl.rows(
        their_url, 'SELECT "sessionToken", "userId"::text, EXTRACT(epoch FROM expires)::bigint AS expires FROM sessions'
    )
    assert row == {"sessionToken": TOKEN, "userId": ada.id, "expires": record.expires_at}


async def test_a_name_tells_nothing_of_the_token(sessions: AuthJSSessionStore, ada: User, clock: DrivenClock) -> None:
    await sessions.insert_token(TOKEN, begun(TOKEN, ada, clock()))
    found = await sessions.find(TOKEN)
    assert found is not None
    assert found[0].sid == hashlib.sha256(TOKEN.encode()).hexdigest()[:32]
    assert TOKEN not in json.dumps([str(found), repr(found)])
    assert await sessions.find(found[0].sid) is None


async def test_a_name_is_the_same_here_and_in_the_database(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock
) -> None:
    """Whatever tokens the other side makes."""
    for token in (TOKEN, "9f3c0f6e-2f0a-4c44-9d1b-0d8a7a0a0c11", r"\x00", r"a\b\\c", "é\u2603", "'"):
        await sessions.insert_token(token, begun(token, ada, clock()))
        found = await sessions.get(sid_of(token))
        assert found == begun(token, ada, clock())
        assert await sessions.delete(sid_of(token)) is True


async def test_a_record_without_its_token_is_refused(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock
) -> None:
    with pytest.raises(ConfigError, match="without its token"):
        await sessions.insert(begun(TOKEN, ada, clock()))


async def test_whose_user_is_gone_there_is_no_session(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock, their_url: str
) -> None:
    await sessions.insert_token(TOKEN, begun(TOKEN, ada, clock()))
    await authjs_ddl.run(their_url, "DELETE FROM users")
    assert await sessions.find(TOKEN) is None
    for nobody in (ada, ada.replace(id="nobody"), ada.replace(id="\0")):
        assert await conflict(sessions.insert_token("other", begun("other", nobody, clock()))) == "user"
    assert len(await authjs_ddl.rows(their_url, "SELECT FROM sessions")) == 1


async def test_who_is_being_deleted_gets_nothing_more(
    database: AuthJSDatabase, ada: User, clock: DrivenClock, their_url: str
) -> None:
    """The adapter deletes a user first and then what is theirs; no foreign key would find what comes between."""
    account = Account(provider="op", provider_account_id="1", user_id=ada.id)
    other = await asyncpg.connect(their_url)
    try:
        async with other.transaction():
            await other.execute("DELETE FROM users")
            attempts = [
                asyncio.create_task(conflict(database.sessions.insert_token(TOKEN, begun(TOKEN, ada, clock())))),
                asyncio.create_task(conflict(database.users.link(account))),
            ]
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            async with asyncio.timeout(10):
                while await other.fetchval(waiting) < len(attempts):
                    pass
        assert await asyncio.gather(*attempts) == ["user", "user"]
    finally:
        await other.close()
    assert await authjs_ddl.rows(their_url, "SELECT FROM sessions") == []
    assert await authjs_ddl.rows(their_url, "SELECT FROM accounts") == []


async def test_a_change_needs_the_version_it_read(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock, their_url: str
) -> None:
    # As JavaScript writes it, with milliseconds.
    await authjs_ddl.run(
        their_url,
        'INSERT INTO sessions ("userId", expires, "sessionToken") '
        f"SELECT id, to_timestamp({clock() + MAX_AGE}.789), '{TOKEN}' FROM users",
    )
    found = await sessions.find(TOKEN)
    assert found is not None
    record = found[0]
    assert (record.issued_at, record.expires_at) == (clock(), clock() + MAX_AGE)
    for wrong in (0, 1, record.expires_at, record.version - 1, record.version + 1, record.expires_at * 1_000_000):
        assert await conflict(sessions.replace_token(TOKEN, later(record), expected_version=wrong)) == "session"
    version = await sessions.replace_token(TOKEN, later(record), expected_version=record.version)
    changed = await sessions.get(record.sid)
    assert changed is not None
    assert changed.version == version
    assert (changed.issued_at, changed.expires_at) == (record.issued_at, record.expires_at + 60)  # not in the future
    assert changed.version > record.version
    assert await conflict(sessions.replace_token(TOKEN, later(record), expected_version=record.version)) == "session"
    await sessions.replace(record.sid, later(changed), expected_version=changed.version)
    assert await conflict(sessions.replace(record.sid, later(changed), expected_version=changed.version)) == "session"


async def test_of_parallel_changes_one_wins(sessions: AuthJSSessionStore, ada: User, clock: DrivenClock) -> None:
    record = begun(TOKEN, ada, clock())
    await sessions.insert_token(TOKEN, record)
    told = await asyncio.gather(
        *(
            conflict(sessions.replace_token(TOKEN, later(record, second), expected_version=record.version))
            for second in range(1, 21)
        )
    )
    assert told.count(None) == 1
    found = await sessions.find(TOKEN)
    assert found is not None
    assert found[0].expires_at == record.expires_at + 1 + told.index(None)


async def test_nothing_brings_an_ended_session_back(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock, their_url: str
) -> None:
    for number in range(20):
        token = f"{TOKEN}{number}"
        record = begun(token, ada, clock())
        await sessions.insert_token(token, record)
        deleted, *_others = await asyncio.gather(
            sessions.delete_token(token),
            *(
                conflict(sessions.replace_token(token, later(record, second), expected_version=record.version))
                for second in range(1, 11)
            ),
        )
        assert deleted is True
        assert await sessions.find(token) is None
        assert await sessions.delete_token(token) is False
        assert (
            await conflict(sessions.replace_token(token, later(record), expected_version=record.version)) == "session"
        )
    assert await authjs_ddl.rows(their_url, "SELECT FROM sessions") == []


async def test_of_parallel_deletions_one_finds_the_session(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock
) -> None:
    await sessions.insert_token(TOKEN, begun(TOKEN, ada, clock()))
    sid = sid_of(TOKEN)
    told = await asyncio.gather(
        *(sessions.delete(sid) for _ in range(5)), *(sessions.delete_token(TOKEN) for _ in "12")
    )
    assert told.count(True) == 1


async def test_a_users_sessions_are_listed_and_ended_together(
    database: AuthJSDatabase, ada: User, clock: DrivenClock
) -> None:
    bob = await database.users.create(User(id="x"))
    sessions, records = database.sessions, []
    for token in ("one", "two", "three"):
        clock.advance(1)
        records.append(begun(token, ada, clock()))
        await sessions.insert_token(token, records[-1])
    others = begun("bob's", bob, clock())
    await sessions.insert_token("bob's", others)
    assert list(await sessions.list_for_user(ada.id)) == records[::-1]
    assert set(await sessions.delete_for_user(ada.id, but=records[1].sid)) == {records[0].sid, records[2].sid}
    assert list(await sessions.list_for_user(ada.id)) == [records[1]]
    assert list(await sessions.delete_for_user(ada.id)) == [records[1].sid]
    assert await sessions.find("two") is None
    assert list(await sessions.list_for_user(bob.id)) == [others]


async def test_what_nobody_needs_goes_in_batches(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock, their_url: str
) -> None:
    for number in range(7):
        await sessions.insert_token(f"old-{number}", begun(f"old-{number}", ada, clock()))
    clock.advance(MAX_AGE + KEPT)
    await sessions.insert_token("young", begun("young", ada, clock()))
    assert len(await sessions.list_for_user(ada.id)) == 8
    assert await sessions.purge() == 0
    found = await sessions.find("old-1")
    assert found is not None  # past its end, which only policy judges
    clock.advance(1)
    assert [record.sid for record in await sessions.list_for_user(ada.id)] == [sid_of("young")]
    assert [await sessions.purge(limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert await authjs_ddl.rows(their_url, 'SELECT "sessionToken" FROM sessions') == [{"sessionToken": "young"}]


async def test_where_sessions_live_longer_on_the_other_side_none_lies_in_the_future(
    sessions: AuthJSSessionStore, ada: User, clock: DrivenClock
) -> None:
    long = begun(TOKEN, ada, clock() + 30 * 86_400)
    await sessions.insert_token(TOKEN, long)
    found = await sessions.find(TOKEN)
    assert found is not None
    assert (found[0].issued_at, found[0].auth_time) == (clock(), clock())
    assert found[0].expires_at == long.expires_at


async def test_hostile_names_find_nothing(sessions: AuthJSSessionStore) -> None:
    for name in (
        "",
        "\0",
        "\ud800",
        "a" * 5000,
        "' OR 1=1 --",
        "%",
        "9999999999",
        "99999999999999999999",
        "018bcfe5:é",
        "\r\n",
    ):
        assert await sessions.find(name) is None
        assert await sessions.get(name) is None
        assert await sessions.get_with_user(name) is None
        assert await sessions.delete(name) is False
        assert await sessions.delete_token(name) is False
        assert list(await sessions.list_for_user(name)) == []
        assert list(await sessions.delete_for_user(name)) == []
        change = SessionChange(claims=b"", issued_at=0, expires_at=1, forget_after=2)
        assert await conflict(sessions.replace(name, change, expected_version=1)) == "session"
        assert await conflict(sessions.replace_token(name, change, expected_version=1)) == "session"
