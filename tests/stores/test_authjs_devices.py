"""Sessions of both sides in an Auth.js adapter's table: listed and ended here; and tokens beside such tables."""

from __future__ import annotations

import pytest

from sojourn import ConfigError, SessionPolicy
from tests.devices_page import delete, ids, listed, signed_out
from tests.stores.test_authjs_story import Shared, shared
from tests.support import SESSION, Browser, body_of

__all__ = ["shared"]


async def test_sessions_that_began_there_are_listed_and_end_here(shared: Shared) -> None:
    laptop, phone = Browser(shared.auth), Browser(shared.auth)
    await laptop.sign_in()
    user_id = await shared.sql.fetchval("SELECT id FROM users")
    phone.jar[SESSION] = token = await shared.theirs(user_id)
    rows = await listed(laptop)
    assert [row["current"] for row in rows].count(True) == 1
    assert token not in str(rows)
    (other,) = (row["id"] for row in rows if not row["current"])
    assert (await delete(laptop, f"/{other}")).status == 204
    assert await signed_out(phone)
    phone.jar[SESSION] = await shared.theirs(user_id)
    grace = Browser(shared.auth)
    await grace.sign_in("grace")
    (foreign,) = await ids(grace)
    assert (await delete(laptop, f"/{foreign}")).status == 404
    assert body_of(await delete(laptop)) == {"ended": 1}
    assert body_of(await delete(laptop, "?all=true")) == {"ended": 1}
    assert await ids(grace) == {foreign}
    assert await shared.sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_tokens_beside_their_tables_are_in_no_list(shared: Shared) -> None:
    auth = shared.process(session=SessionPolicy())
    await auth.start()
    browser = Browser(auth)
    assert (await browser.sign_in()).status == 200
    user_id = (await browser.load()).session.user_id
    assert (await browser.send("GET", "/sessions")).status == 404
    with pytest.raises(ConfigError):
        await auth.sessions(user_id)
    await auth.end_sessions(user_id)
    assert await signed_out(browser)
    await auth.aclose()
