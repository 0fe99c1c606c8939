"""Passwords: Argon2id (RFC 9106) in a bounded pool of threads, and the sign-in against the users table.

A password is hashed as the UTF-8 of its NFC form, so that composed and decomposed spellings of one text are one
password; nothing else is folded (SP 800-63B-4 3.1.1.2).
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import anyio
import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from sojourn.errors import BadRequest, Conflict, StoreUnavailable
from sojourn.identifiers import normalise_email, normalise_username
from sojourn.models import Profile, User
from sojourn.ports import UserStore

__all__ = ["OWASP", "RFC_9106", "Argon2Profile", "PasswordHasher", "check_password", "insecure_testing"]

ResultT = TypeVar("ResultT")

logger: logging.Logger = logging.getLogger("sojourn")

_MAX_BYTES: Final = 4096
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_PHC: Final = re.compile(r"\$argon2id\$v=19\$m=\d{1,10},t=\d{1,10},p=\d{1,8}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


class Argon2Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one hash costs: memory in KiB, passes over it, lanes."""

    memory: int
    iterations: int
    lanes: int

    @property
    def prefix(self) -> str:
        """How every PHC string of this profile begins."""
        return f"$argon2id$v=19$m={self.memory},t={self.iterations},p={self.lanes}$"


OWASP: Final = Argon2Profile(memory=19 * 1024, iterations=2, lanes=1)
"""The default: the OWASP Password Storage Cheat Sheet's minimum of 19 MiB and two passes."""

RFC_9106: Final = Argon2Profile(memory=64 * 1024, iterations=3, lanes=4)
"""RFC 9106 section 4, the second recommended option: for machines with 64 MiB to spare for each sign-in."""

insecure_testing: Final = Argon2Profile(memory=8, iterations=1, lanes=1)
"""For tests alone: as cheap as Argon2id gets."""


class PasswordHasher:
    """Hashes and verifies in at most `workers` threads (the cores, unless set), so that the event loop goes on.

    At most `queue` further callers wait; whoever comes then is told at once: `StoreUnavailable("passwords")`.
    """

    def __init__(self, profile: Argon2Profile = OWASP, *, workers: int | None = None, queue: int = 32) -> None:
        if profile is insecure_testing:
            logger.warning("passwords are hashed with insecure_testing: whoever sees a hash can guess its password")
        self._profile = profile
        workers = _cores() if workers is None else workers
        self._limiter = anyio.CapacityLimiter(workers)
        self._places = workers + queue
        self._taken = 0
        # Nobody knows a password for it, and it costs what a real one costs.
        self._dummy = profile.prefix + "$".join(_unpadded(os.urandom(size)) for size in (_SALT_BYTES, _HASH_BYTES))

    async def hash(self, password: str) -> str:
        """A PHC string with a fresh salt.

        Raises `BadRequest("invalid_password")` for a password that could never be entered: empty, with a NUL, not
        Unicode, longer than 4096 bytes.
        """
        secret = _secret(password)
        if secret is None:
            raise BadRequest("invalid_password", "a password is 1 to 4096 bytes of UTF-8 without NUL")
        return await self._run(lambda: self._derive(secret))

    async def verify(self, password: object, phc: str | None) -> bool:
        """Whether the password made this hash. None, for somebody who has none, is false after the same time.

        What could never be a password is false at once, whoever it is for.
        """
        secret = _secret(password)
        if secret is None:
            return False
        known = phc is not None and _PHC.fullmatch(phc) is not None
        against = phc if phc is not None and known else self._dummy
        return await self._run(lambda: _matches(secret, against)) and known

    def needs_rehash(self, phc: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return not phc.startswith(self._profile.prefix)

    def _derive(self, secret: bytes) -> str:
        argon2 = Argon2id(
            salt=os.urandom(_SALT_BYTES),
            length=_HASH_BYTES,
            iterations=self._profile.iterations,
            lanes=self._profile.lanes,
            memory_cost=self._profile.memory,
        )
        return argon2.derive_phc_encoded(secret)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._taken >= self._places:
            raise StoreUnavailable("passwords", "too many sign-ins at once", retry_after=1)
        self._taken += 1
        try:
            # Not abandoned when the caller is cancelled: the thread is busy until the hash is done, and must count.
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        except MemoryError as error:
            raise StoreUnavailable("passwords", "not enough memory to hash") from error
        finally:
            self._taken -= 1


async def check_password(users: UserStore, hasher: PasswordHasher, form: Mapping[str, object]) -> Profile | None:
    """Who the fields `username` (a username or an address) and `password` prove somebody to be, by the users table.

    Unknown user, wrong password, no password and disabled user are one None after one time. A hash of another cost is
    replaced on success.
    """
    name = form.get("username")
    user, phc = await _find(users, name) if isinstance(name, str) else (None, None)
    proven = await hasher.verify(form.get("password"), phc)
    if not proven or user is None or phc is None or user.disabled_at is not None:
        return None
    if hasher.needs_rehash(phc) and not await _rehash(users, hasher, user, str(form.get("password"))):
        return None
    return Profile(
        id=user.id,
        name=user.name,
        email=user.email,
        image=user.image,
        email_verified=user.email_verified_at is not None,
        username=user.username,
    )


async def _find(users: UserStore, name: str) -> tuple[User | None, str | None]:
    username = normalise_username(name)
    address = normalise_email(name)
    if address is not None:
        user = await users.get_by_email(address)
        username = None if user is None else user.username
    # Asked also when there is nobody to ask for: known and unknown addresses take the same number of steps.
    found = await users.get_by_username(username or "")
    return (None, None) if found is None else found


async def _rehash(users: UserStore, hasher: PasswordHasher, user: User, password: str) -> bool:
    """False if the user is gone; a store or pool that cannot do it now costs nobody their sign-in."""
    try:
        await users.set_password_hash(user.id, await hasher.hash(password))
    except StoreUnavailable as error:
        logger.warning("a password hash stays at its old cost: %s", error)
    except Conflict:
        return False
    return True


def _secret(password: object) -> bytes | None:
    if not isinstance(password, str) or not password or len(password) > _MAX_BYTES or "\0" in password:
        return None
    try:
        given = password.encode()
    except UnicodeEncodeError:
        return None
    return unicodedata.normalize("NFC", password).encode() if len(given) <= _MAX_BYTES else None


def _matches(secret: bytes, phc: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(secret, phc)
    except (InvalidKey, ValueError):
        return False
    return True


def _unpadded(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
