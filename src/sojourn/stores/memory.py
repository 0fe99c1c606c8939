"""The reference: what each store promises, in dictionaries, gone with the process.

No method waits between looking and writing, so each is one step to every other task of the event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from sojourn.errors import Conflict
from sojourn.models import Account, User
from sojourn.ports import Clock, Revocation, system_clock

__all__ = ["MemoryOnceStore", "MemoryRevocationLog", "MemoryUserStore"]

_SWEEP_FROM = 1000


class MemoryUserStore:
    """Users, accounts and password hashes in dictionaries."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._password_hashes: dict[str, str] = {}
        self._accounts: dict[tuple[str, str], Account] = {}
        self._by_email: dict[str, str] = {}
        self._by_username: dict[str, str] = {}

    async def get(self, user_id: str) -> User | None:
        return self._users.get(user_id)

    async def get_by_email(self, email: str) -> User | None:
        user_id = self._by_email.get(email)
        return None if user_id is None else self._users[user_id]

    async def get_by_account(self, provider: str, provider_account_id: str) -> User | None:
        account = self._accounts.get((provider, provider_account_id))
        return None if account is None else self._users[account.user_id]

    async def get_by_username(self, username: str) -> tuple[User, str | None] | None:
        user_id = self._by_username.get(username)
        return None if user_id is None else (self._users[user_id], self._password_hashes.get(user_id))

    async def create(self, user: User, account: Account | None = None, password_hash: str | None = None) -> User:
        """Insert the user and their first account, which becomes theirs whatever its `user_id` says."""
        if user.id in self._users:
            raise Conflict("id")
        self._check_free(user)
        if account is not None:
            account = replace(account, user_id=user.id)
            self._check_account(account)
        self._keep(user)
        if account is not None:
            self._accounts[account.provider, account.provider_account_id] = account
        if password_hash is not None:
            self._password_hashes[user.id] = password_hash
        return user

    async def link(self, account: Account) -> None:
        """Insert an account; raises `Conflict("account")` if it is taken, `Conflict("user")` if the user is gone."""
        if account.user_id not in self._users:
            raise Conflict("user")
        self._check_account(account)
        self._accounts[account.provider, account.provider_account_id] = account

    async def update(self, user: User) -> None:
        """Write name, email, verification, image and disabling; raises `Conflict("user")` or `Conflict("email")`."""
        old = self._users.get(user.id)
        if old is None:
            raise Conflict("user")
        changed = old.replace(
            name=user.name,
            email=user.email,
            email_verified_at=user.email_verified_at,
            image=user.image,
            disabled_at=user.disabled_at,
        )
        self._check_free(changed)
        if old.email is not None:
            del self._by_email[old.email]
        self._keep(changed)

    async def record_login(self, user_id: str, at: int) -> None:
        """Note when the user last signed in; a user who is gone is no error."""
        user = self._users.get(user_id)
        if user is not None:
            self._users[user_id] = user.replace(last_login_at=at)

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the hash; raises `Conflict("user")` if the user is gone."""
        if user_id not in self._users:
            raise Conflict("user")
        self._password_hashes[user_id] = password_hash

    async def keep_tokens(self, provider: str, provider_account_id: str, sealed_tokens: str) -> None:
        """Replace the account's sealed tokens; an account that is gone is no error."""
        account = self._accounts.get((provider, provider_account_id))
        if account is not None:
            self._accounts[provider, provider_account_id] = replace(account, sealed_tokens=sealed_tokens)

    async def list_accounts(self, user_id: str) -> Sequence[Account]:
        """The user's accounts, oldest first."""
        own = [account for account in self._accounts.values() if account.user_id == user_id]
        return sorted(own, key=lambda account: (account.created_at, account.provider, account.provider_account_id))

    def _check_free(self, user: User) -> None:
        if user.email is not None and self._by_email.get(user.email, user.id) != user.id:
            raise Conflict("email")
        if user.username is not None and self._by_username.get(user.username, user.id) != user.id:
            raise Conflict("username")

    def _check_account(self, account: Account) -> None:
        if (account.provider, account.provider_account_id) in self._accounts:
            raise Conflict("account")

    def _keep(self, user: User) -> None:
        self._users[user.id] = user
        if user.email is not None:
            self._by_email[user.email] = user.id
        if user.username is not None:
            self._by_username[user.username] = user.id


class MemoryOnceStore:
    """Spent keys in a dictionary, dropped soon after they may be forgotten."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._spent: dict[str, int] = {}
        self._expiring: list[tuple[int, str]] = []

    async def spend(self, key: str, forget_after: int) -> bool:
        now = self._clock()
        while self._expiring and self._expiring[0][0] < now:
            del self._spent[heapq.heappop(self._expiring)[1]]
        if key in self._spent:
            return False
        self._spent[key] = forget_after
        heapq.heappush(self._expiring, (forget_after, key))
        return True


class MemoryRevocationLog:
    """Revocations in a list; those that may be forgotten are swept out each time the list has doubled."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._position = 0
        self._entries: list[tuple[int, Revocation]] = []
        self._sweep_at = _SWEEP_FROM
        self._waiting: set[asyncio.Future[None]] = set()

    async def append(self, revocation: Revocation) -> None:
        if len(self._entries) >= self._sweep_at:
            now = self._clock()
            self._entries = [entry for entry in self._entries if entry[1].forget_after >= now]
            self._sweep_at = max(_SWEEP_FROM, 2 * len(self._entries))
        self._position += 1
        self._entries.append((self._position, revocation))
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def read(self, after: int = 0) -> tuple[int, Sequence[Revocation]]:
        first = bisect_right(self._entries, after, key=itemgetter(0))
        return max(after, self._position), [revocation for _, revocation in self._entries[first:]]

    async def wait(self, after: int, seconds: float) -> None:
        if self._position > after:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait({waiting}, timeout=seconds)
        finally:
            self._waiting.discard(waiting)
