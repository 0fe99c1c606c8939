"""Passwords are hashed off the event loop, within bounds, and in one time for whoever is asked about."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sojourn import passwords
from sojourn.errors import BadRequest, Conflict, StoreUnavailable
from sojourn.models import Profile, User
from sojourn.passwords import OWASP, RFC_9106, Argon2Profile, PasswordHasher, check_password, insecure_testing
from sojourn.stores.memory import MemoryUserStore

CHEAP = Argon2Profile(memory=16, iterations=1, lanes=1)

ADA = User(
    id="1", username="ada", name="Ada", email="ada@example.com", email_verified_at=1_700_000_000, image="https://i"
)
BOB = User(id="2", username="bob", email="bob@example.com")
EVE = User(id="3", username="eve", disabled_at=1_700_000_000)
NAMELESS = User(id="4", email="nameless@example.com")
PASSWORD = "correct horse"


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(CHEAP, workers=2)


@pytest.fixture
async def users(hasher: PasswordHasher) -> MemoryUserStore:
    users = MemoryUserStore()
    await users.create(ADA, password_hash=await hasher.hash(PASSWORD))
    await users.create(BOB)
    await users.create(EVE, password_hash=await hasher.hash(PASSWORD))
    await users.create(NAMELESS)
    return users


class Gate:
    """Stands in for the work of verifying: holds every thread that comes until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.inside = 0
        monkeypatch.setattr(passwords, "_matches", self)

    def __call__(self, secret: bytes, phc: str) -> bool:
        self.inside += 1
        assert self.open.wait(10)
        return True


async def _reach(hasher: PasswordHasher, taken: int) -> None:
    await _until(lambda: hasher._taken == taken)


async def _until(happened: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not happened():
            await checkpoint()


async def test_a_hash_verifies_its_password_and_no_other(hasher: PasswordHasher) -> None:
    phc = await hasher.hash(PASSWORD)
    assert phc.startswith("$argon2id$v=19$m=16,t=1,p=1$")
    assert await hasher.verify(PASSWORD, phc)
    for other in ("Correct horse", "correct horse ", "correct hors", PASSWORD * 2):
        assert not await hasher.verify(other, phc)


async def test_every_hash_has_its_own_salt(hasher: PasswordHasher) -> None:
    assert await hasher.hash(PASSWORD) != await hasher.hash(PASSWORD)


async def test_hashes_made_elsewhere_verify(hasher: PasswordHasher) -> None:
    """The reference implementation's own vector (phc-winner-argon2, test.c)."""
    phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
    assert await hasher.verify("password", phc)
    assert not await hasher.verify("passwore", phc)


async def test_the_named_profiles_are_what_their_sources_say() -> None:
    assert (await PasswordHasher().hash("x")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert OWASP.prefix == "$argon2id$v=19$m=19456,t=2,p=1$"
    assert RFC_9106.prefix == "$argon2id$v=19$m=65536,t=3,p=4$"


def test_the_testing_profile_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sojourn"):
        PasswordHasher(CHEAP)
        assert not caplog.records
        PasswordHasher(insecure_testing)
    assert "insecure_testing" in caplog.text


async def test_composed_and_decomposed_spellings_are_one_password(hasher: PasswordHasher) -> None:
    phc = await hasher.hash("café")
    assert await hasher.verify("cafe\u0301", phc)
    assert not await hasher.verify("ｃａｆé", phc)


@pytest.mark.parametrize(
    "password", ["", "a\0b", "a\ud800", "a" * 4097, "é" * 2049, None, 7, True, ["a"], {"a": "b"}, b"a"], ids=repr
)
async def test_what_cannot_be_a_password_is_a_plain_failure(hasher: PasswordHasher, password: object) -> None:
    assert not await hasher.verify(password, await hasher.hash("a"))
    assert not await hasher.verify(password, None)
    with pytest.raises(BadRequest) as refused:
        await hasher.hash(password)  # type: ignore[arg-type]
    assert refused.value.code == "invalid_password"


async def test_the_longest_password_is_used_whole(hasher: PasswordHasher) -> None:
    longest = "é" * 2048
    phc = await hasher.hash(longest)
    assert await hasher.verify(longest, phc)
    assert not await hasher.verify("é" * 2047 + "ê", phc)


@pytest.mark.parametrize(
    "phc",
    ["", "x", "$2b$12$abc", "$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$", "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$AAAA"],
)
async def test_a_damaged_hash_opens_nothing(hasher: PasswordHasher, phc: str) -> None:
    assert not await hasher.verify(PASSWORD, phc)


async def test_a_hash_of_another_cost_wants_a_new_one(hasher: PasswordHasher) -> None:
    phc = await hasher.hash(PASSWORD)
    assert not hasher.needs_rehash(phc)
    assert PasswordHasher(OWASP).needs_rehash(phc)
    assert PasswordHasher(Argon2Profile(memory=16, iterations=1, lanes=2)).needs_rehash(phc)


async def test_the_event_loop_goes_on_while_threads_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, hasher = Gate(monkeypatch), PasswordHasher(CHEAP, workers=2)
    done: list[bool] = []

    async def verify() -> None:
        done.append(await hasher.verify(PASSWORD, None))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(verify)
        await _reach(hasher, 5)
        await _until(lambda: gate.inside >= 2)
        for _ in range(100):
            await checkpoint()
        assert gate.inside == 2, "no more threads than workers"
        assert not done
        gate.open.set()
    assert len(done) == 5


async def test_whoever_finds_the_queue_full_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, hasher = Gate(monkeypatch), PasswordHasher(CHEAP, workers=1, queue=2)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(hasher.verify, PASSWORD, None)
        await _reach(hasher, 3)
        with pytest.raises(StoreUnavailable) as full:
            await hasher.verify(PASSWORD, None)
        assert full.value.store == "passwords"
        with pytest.raises(StoreUnavailable):
            await hasher.hash(PASSWORD)
        assert not await hasher.verify("", None)
        gate.open.set()
    assert hasher._taken == 0
    assert not await hasher.verify(PASSWORD, None)


def test_by_default_as_many_threads_as_cores_and_32_waiting() -> None:
    hasher = PasswordHasher()
    assert hasher._limiter.total_tokens == passwords._cores() >= 1
    assert hasher._places == passwords._cores() + 32


async def test_a_caller_who_leaves_the_queue_frees_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, hasher = Gate(monkeypatch), PasswordHasher(CHEAP, workers=1, queue=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hasher.verify, PASSWORD, None)
        await _reach(hasher, 1)
        async with anyio.create_task_group() as leaving:
            leaving.start_soon(hasher.verify, PASSWORD, None)
            await _reach(hasher, 2)
            leaving.cancel_scope.cancel()
        assert hasher._taken == 1
        gate.open.set()
    assert hasher._taken == 0


async def test_too_little_memory_is_unavailable(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(secret: bytes, phc: str) -> bool:
        raise MemoryError

    monkeypatch.setattr(passwords, "_matches", fail)
    with pytest.raises(StoreUnavailable):
        await hasher.verify(PASSWORD, None)


async def test_no_weaker_salt_when_the_random_source_fails(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(size: int) -> bytes:
        raise OSError("no random bytes")

    monkeypatch.setattr("os.urandom", fail)
    with pytest.raises(OSError, match="no random bytes"):
        await hasher.hash(PASSWORD)


ADAS_PROFILE = Profile(
    id="1", name="Ada", email="ada@example.com", image="https://i", email_verified=True, username="ada"
)


@pytest.mark.parametrize("name", ["ada", " ADA", "ada@example.com", "Ada@Example.COM "])
async def test_a_name_or_an_address_and_the_password_prove_a_user(
    users: MemoryUserStore, hasher: PasswordHasher, name: str
) -> None:
    assert await check_password(users, hasher, {"username": name, "password": PASSWORD}) == ADAS_PROFILE


async def test_an_address_counts_as_verified_only_when_it_is(users: MemoryUserStore, hasher: PasswordHasher) -> None:
    await users.set_password_hash(BOB.id, await hasher.hash(PASSWORD))
    profile = await check_password(users, hasher, {"username": "bob", "password": PASSWORD})
    assert profile is not None
    assert profile.email_verified is False


REFUSED: Mapping[str, Mapping[str, object]] = {
    "wrong password": {"username": "ada", "password": "wrong"},
    "wrong password, by address": {"username": "ada@example.com", "password": "wrong"},
    "unknown name": {"username": "nobody", "password": PASSWORD},
    "unknown address": {"username": "nobody@example.com", "password": PASSWORD},
    "no name possible": {"username": "a b", "password": PASSWORD},
    "no password set": {"username": "bob", "password": PASSWORD},
    "no password set, by address": {"username": "bob@example.com", "password": PASSWORD},
    "no username": {"username": "nameless@example.com", "password": PASSWORD},
    "disabled": {"username": "eve", "password": PASSWORD},
    "name missing": {"password": PASSWORD},
    "name a list": {"username": ["ada"], "password": PASSWORD},
    "name a boolean": {"username": True, "password": PASSWORD},
}


@pytest.mark.parametrize("case", REFUSED)
async def test_every_refusal_is_one_none_after_one_hash_of_one_cost(
    users: MemoryUserStore, hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    costs: list[str] = []
    matches = passwords._matches

    def watched(secret: bytes, phc: str) -> bool:
        costs.append(phc.rpartition("$")[0].rpartition("$")[0] + "$")
        return matches(secret, phc)

    monkeypatch.setattr(passwords, "_matches", watched)
    assert await check_password(users, hasher, REFUSED[case]) is None
    assert costs == [CHEAP.prefix]


@pytest.mark.parametrize("password", ["", None, 7, True, ["correct horse"], {"a": "b"}, "a\0", "a" * 5000], ids=repr)
@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_a_password_of_another_type_is_a_plain_failure(
    users: MemoryUserStore, hasher: PasswordHasher, name: str, password: object
) -> None:
    assert await check_password(users, hasher, {"username": name, "password": password}) is None
    assert await check_password(users, hasher, {"username": name}) is None


async def test_a_good_sign_in_renews_a_hash_of_another_cost(users: MemoryUserStore, hasher: PasswordHasher) -> None:
    dearer = PasswordHasher(Argon2Profile(memory=32, iterations=1, lanes=1))
    assert await check_password(users, dearer, {"username": "ada", "password": "wrong"}) is None
    assert not hasher.needs_rehash(await _hash_of(users, "ada"))
    assert await check_password(users, dearer, {"username": "ada", "password": PASSWORD}) == ADAS_PROFILE
    renewed = await _hash_of(users, "ada")
    assert not dearer.needs_rehash(renewed)
    assert await dearer.verify(PASSWORD, renewed)
    assert await check_password(users, dearer, {"username": "ada", "password": PASSWORD}) == ADAS_PROFILE
    assert await _hash_of(users, "ada") == renewed


async def test_a_hash_that_cannot_be_renewed_costs_nobody_their_sign_in(
    users: MemoryUserStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unavailable(user_id: str, password_hash: str) -> None:
        raise StoreUnavailable("database", "disk full")

    monkeypatch.setattr(users, "set_password_hash", unavailable)
    dearer = PasswordHasher(Argon2Profile(memory=32, iterations=1, lanes=1))
    assert await check_password(users, dearer, {"username": "ada", "password": PASSWORD}) == ADAS_PROFILE
    assert "disk full" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_user_deleted_meanwhile_does_not_come_in(
    users: MemoryUserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(user_id: str, password_hash: str) -> None:
        raise Conflict("user")

    monkeypatch.setattr(users, "set_password_hash", gone)
    dearer = PasswordHasher(Argon2Profile(memory=32, iterations=1, lanes=1))
    assert await check_password(users, dearer, {"username": "ada", "password": PASSWORD}) is None


async def _hash_of(users: MemoryUserStore, username: str) -> str:
    found = await users.get_by_username(username)
    assert found is not None
    assert found[1] is not None
    return found[1]
