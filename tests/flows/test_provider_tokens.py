"""What a provider hands out is kept when it is asked for, encrypted, and belongs to one account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sojourn import ConfigError
from sojourn.oauth.token_endpoint import ProviderTokens
from sojourn.oauth.transport import HTTPTransport
from sojourn.providers import OIDC
from sojourn.stores.memory import MemoryUserStore
from sojourn.testing import DrivenClock
from tests.hostile_provider import CLIENT_ID, CLIENT_SECRET, HostileProvider
from tests.refusals.sites import NO_AUTHORITIES, begin, finish
from tests.support import SECRET, Browser, make_auth

OTHER_SECRET = "m3Vq8yRk1Zt5Wc9Jx2Lp7Ns4Hd6Gf0Ba"


class Site:
    def __init__(self, op: HostileProvider, *, keep: bool = True, **settings: Any) -> None:
        self.op = op
        self.clock = DrivenClock(op.now)
        provider = OIDC(id="op", issuer=op.base, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, keep_tokens=keep)
        self._settings: dict[str, Any] = {
            "providers": [provider],
            "transport": HTTPTransport(tls=NO_AUTHORITIES),
            "database": "memory:",
            **settings,
        }
        self.auth = make_auth(self.clock, **self._settings)

    async def sign_in(self) -> str:
        """Through the provider; the user's id."""
        browser = Browser(self.auth)
        await finish(browser, await begin(browser, self.op))
        user_id: str = (await browser.load()).session.user_id
        return user_id

    def users(self) -> MemoryUserStore:
        users: Any = self.auth._stores.users
        assert isinstance(users, MemoryUserStore)
        return users

    def with_secrets(self, *secrets: str) -> None:
        """A restart with other secrets, over the same records."""
        users = self.users()
        self.auth = make_auth(self.clock, **self._settings, secret=None, secrets=list(secrets))
        self.auth._users = users


async def test_they_are_read_again_and_lie_encrypted() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        user_id = await site.sign_in()
        tokens = await site.auth.provider_tokens(user_id, "op")
        assert tokens is not None
        assert tokens.access_token
        (account,) = await site.users().list_accounts(user_id)
        assert account.sealed_tokens is not None
        assert tokens.access_token not in account.sealed_tokens
        assert account.sealed_tokens not in repr(account)
        assert tokens.access_token not in repr(tokens)
        assert await site.auth.provider_tokens(user_id, "other") is None
        assert await site.auth.provider_tokens("nobody", "op") is None


async def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op, keep=False)
        user_id = await site.sign_in()
        assert await site.auth.provider_tokens(user_id, "op") is None
        assert (await site.users().list_accounts(user_id))[0].sealed_tokens is None


async def test_without_a_database_there_is_no_place_for_them() -> None:
    async with HostileProvider(1_700_000_000) as op:
        with pytest.raises(ConfigError) as refused:
            Site(op, database=None)
        assert refused.value.key == "providers[0].keep_tokens"
        site = Site(op, database=None, keep=False)
        assert await site.auth.provider_tokens(await site.sign_in(), "op") is None


async def test_each_sign_in_renews_them_and_a_refresh_token_stays() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        vault = site.auth._vault
        assert vault is not None
        user_id = await site.sign_in()
        (account,) = await site.users().list_accounts(user_id)
        await vault.keep(ProviderTokens(access_token="a", refresh_token="long-lived"), account, user_id)
        await vault.keep(ProviderTokens(access_token="b"), account, user_id)
        assert await site.auth.provider_tokens(user_id, "op") == ProviderTokens(
            access_token="b", refresh_token="long-lived"
        )
        await site.sign_in()
        tokens = await site.auth.provider_tokens(user_id, "op")
        assert tokens is not None
        assert tokens.access_token != "b"


async def test_a_row_that_is_moved_to_another_account_opens_nothing() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        user_id = await site.sign_in()
        (account,) = await site.users().list_accounts(user_id)
        users = site.users()
        assert account.sealed_tokens is not None
        await users.link(replace(account, provider_account_id="stolen"))
        key = "op", "stolen"
        users._accounts = {key: users._accounts[key]}
        assert await site.auth.provider_tokens(user_id, "op") is None


@pytest.mark.parametrize("sealed", ["", "junk", "a.b.c.d.e", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..x.y.z"])
async def test_what_cannot_be_opened_is_none(sealed: str) -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        user_id = await site.sign_in()
        (account,) = await site.users().list_accounts(user_id)
        await site.users().keep_tokens(account.provider, account.provider_account_id, sealed)
        assert await site.auth.provider_tokens(user_id, "op") is None


async def test_a_session_token_cannot_pass_for_them() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        user_id = await site.sign_in()
        (account,) = await site.users().list_accounts(user_id)
        token = site.auth.issue({"sub": user_id})
        await site.users().keep_tokens(account.provider, account.provider_account_id, token)
        assert await site.auth.provider_tokens(user_id, "op") is None


async def test_they_open_while_their_secret_is_listed() -> None:
    async with HostileProvider(1_700_000_000) as op:
        site = Site(op)
        user_id = await site.sign_in()
        site.with_secrets(OTHER_SECRET, SECRET)
        assert await site.auth.provider_tokens(user_id, "op") is not None
        site.with_secrets(OTHER_SECRET)
        assert await site.auth.provider_tokens(user_id, "op") is None
