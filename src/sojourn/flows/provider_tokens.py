"""What providers hand out, kept encrypted: who reads the table reads no token (invariant 8)."""

from __future__ import annotations

from typing import Final

import msgspec

from sojourn.errors import TokenError
from sojourn.models import Account
from sojourn.oauth.token_endpoint import ProviderTokens
from sojourn.ports import UserStore
from sojourn.tokens import TokenFormat

__all__ = ["SEAL_PURPOSE", "TokenVault"]

SEAL_PURPOSE: Final = "sojourn.provider-tokens"
"""What the key is derived for; nothing else is sealed with it."""


class _Sealed(msgspec.Struct, frozen=True):
    """What lies in the seal: the tokens, and whose they are, so that no row can pass for another."""

    provider: str
    provider_account_id: str
    tokens: ProviderTokens


_read: Final = msgspec.json.Decoder(_Sealed).decode
_write: Final = msgspec.json.Encoder().encode


class TokenVault:
    """Seals a provider's tokens for an account's row, and opens them again."""

    def __init__(self, seal_with: TokenFormat, users: UserStore) -> None:
        self._format = seal_with
        self._users = users

    async def keep(self, tokens: ProviderTokens, account: Account, user_id: str) -> None:
        """Write them beside the user's account; a refresh token that is not handed out again stays as it was.

        Raises `StoreUnavailable`.
        """
        if tokens.refresh_token is None:
            for kept in await self._users.list_accounts(user_id):
                if _name(kept) == _name(account) and (older := self.open(kept)) is not None:
                    tokens = msgspec.structs.replace(tokens, refresh_token=older.refresh_token)
        sealed = self._format.seal(_write(_Sealed(*_name(account), tokens)))
        await self._users.keep_tokens(*_name(account), sealed)

    def open(self, account: Account) -> ProviderTokens | None:
        """The tokens of this row; None if there are none, or none that a secret of this server opens."""
        if account.sealed_tokens is None:
            return None
        try:
            sealed = _read(self._format.open(account.sealed_tokens))
        except (TokenError, msgspec.DecodeError):
            return None
        return sealed.tokens if (sealed.provider, sealed.provider_account_id) == _name(account) else None

    async def of(self, user_id: str, provider: str) -> ProviderTokens | None:
        """What this provider handed out for a user; None if nothing is kept. Raises `StoreUnavailable`."""
        accounts = await self._users.list_accounts(user_id)
        kept = [tokens for account in accounts if account.provider == provider and (tokens := self.open(account))]
        return kept[-1] if kept else None


def _name(account: Account) -> tuple[str, str]:
    return account.provider, account.provider_account_id
