"""Sessions as records: what the cookie holds, what the store holds, and what neither may do."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from sojourn import Claims, User
from sojourn.claims import ClaimsCodec
from sojourn.errors import ClaimsTooLarge, Conflict, TokenError
from sojourn.models import Lifetimes, Session
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation, SessionRecord
from sojourn.stores.memory import MemoryUserStore
from sojourn.stores.memory_sessions import MemorySessionStore
from sojourn.strategies import Arrival, Issued
from sojourn.strategies.database import MOST_CLAIMS, DatabaseStrategy
from sojourn.testing import DrivenClock

LIFETIMES = Lifetimes(max_age=43_200, update_age=3600, grace_period=900, absolute_age=86_400)


class MyClaims(Claims):
    username: str | None = None


class Counting(MemorySessionStore):
    """How often it was asked."""

    asked = 0

    async def get(self, sid: str) -> SessionRecord | None:
        self.asked += 1
        return await super().get(sid)

    async def get_with_user(self, sid: str) -> tuple[SessionRecord, User | None] | None:
        self.asked += 1
        return await super().get_with_user(sid)


class Desk:
    def __init__(self, *, with_user: bool = False, lifetimes: Lifetimes = LIFETIMES) -> None:
        self.clock = DrivenClock()
        self.users = MemoryUserStore()
        self.store = Counting(self.clock, self.users)
        self.ended = EndedSessions()
        self.strategy: DatabaseStrategy[MyClaims] = DatabaseStrategy(
            store=self.store,
            codec=ClaimsCodec(MyClaims),
            lifetimes=lifetimes,
            ended=self.ended,
            clock=self.clock,
            with_user=with_user,
        )

    async def start(self, user_id: str = "ada", arrival: Arrival | None = None) -> Issued[MyClaims]:
        if await self.users.get(user_id) is None:
            await self.users.create(User(id=user_id, name="Ada"))
        return await self.strategy.start(MyClaims(sub=user_id, username="ada"), arrival or Arrival())

    async def step(self, token: str) -> str:
        with pytest.raises(TokenError) as caught:
            await self.strategy.find(token)
        return caught.value.step

    async def record(self, issued: Issued[MyClaims]) -> SessionRecord:
        record = await self.store.get(issued.session.sid)
        assert record is not None
        return record


async def test_what_was_started_is_found_in_one_step() -> None:
    desk = Desk()
    issued = await desk.start()
    desk.clock.advance(60)
    session = await desk.strategy.find(issued.token)
    assert session == issued.session
    assert desk.store.asked == 1
    now = desk.clock() - 60
    assert session == Session(
        claims=MyClaims(sub="ada", username="ada", sid=session.sid, auth_time=now, iat=now, exp=now + 43_200),
        sid=session.sid,
        user_id="ada",
        issued_at=now,
        expires_at=now + 43_200,
        auth_time=now,
        version=1,
    )


async def test_the_store_holds_only_a_hash_of_the_secret_and_the_device() -> None:
    desk = Desk()
    issued = await desk.start(arrival=Arrival(provider="github", client="::1", user_agent="A\x07 browser" + "x" * 500))
    record = await desk.record(issued)
    sid, _, secret = issued.token.partition(".")
    assert (record.sid, len(secret)) == (sid, 43)
    assert record.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(msgspec.structs.asdict(record))
    assert secret not in repr(issued)
    assert (record.provider, record.client) == ("github", "::1")
    assert record.user_agent == ("A browser" + "x" * 500)[:399]
    assert record.forget_after == record.expires_at + 900 + 15 + 60


async def test_no_two_sessions_share_anything() -> None:
    desk = Desk()
    tokens = {(await desk.start()).token for _ in range(1000)}
    assert len({token.partition(".")[0] for token in tokens}) == 1000
    assert len({token.partition(".")[2] for token in tokens}) == 1000


async def test_the_secret_decides_and_not_the_id() -> None:
    desk = Desk()
    ada, grace = await desk.start("ada"), await desk.start("grace")
    for sid, secret in ((ada.token, grace.token), (grace.token, ada.token)):
        assert await desk.step(f"{sid.partition('.')[0]}.{secret.partition('.')[2]}") == "secret"
    sid, _, secret = ada.token.partition(".")
    for position in (0, 21, 42):
        other = "A" if secret[position] != "A" else "B"
        assert await desk.step(f"{sid}.{secret[:position]}{other}{secret[position + 1 :]}") == "secret"


@pytest.mark.parametrize(
    "edit",
    [
        lambda sid, secret: "",
        lambda sid, secret: ".",
        lambda sid, secret: sid,
        lambda sid, secret: secret,
        lambda sid, secret: f"{sid}.",
        lambda sid, secret: f".{secret}",
        lambda sid, secret: f"{sid}.{secret}.",
        lambda sid, secret: f"{sid}.{secret}=",
        lambda sid, secret: f"{sid}.{secret}\n",
        lambda sid, secret: f" {sid}.{secret}",
        lambda sid, secret: f"{sid.upper()}.{secret}",
        lambda sid, secret: f"{sid.replace('-', '')}.{secret}",
        lambda sid, secret: f"{sid}.{secret[:-1]}",
        lambda sid, secret: f"{sid}.{secret[:-1]}+",
        lambda sid, secret: f"{sid}.{secret[:-1]}é",
        lambda sid, secret: f"{{{sid}}}.{secret}",
        lambda sid, secret: f"{sid}:{secret}",
        lambda sid, secret: f"{sid}.{secret}" * 2,
        lambda sid, secret: "\0" * 80,
        lambda sid, secret: "a" * 100_000,
    ],
)
async def test_any_other_form_is_refused_without_asking_the_store(edit: object) -> None:
    desk = Desk()
    issued = await desk.start()
    sid, _, secret = issued.token.partition(".")
    assert callable(edit)
    assert await desk.step(edit(sid, secret)) == "form"
    assert desk.store.asked == 0


async def test_a_deleted_session_is_unknown_and_cannot_be_extended() -> None:
    desk = Desk()
    issued = await desk.start()
    await desk.store.delete(issued.session.sid)
    assert await desk.step(issued.token) == "unknown"
    with pytest.raises(Conflict):
        await desk.strategy.extend(issued.session, issued.token, expires_at=desk.clock() + 100)
    assert await desk.step(issued.token) == "unknown"


async def test_an_extension_moves_the_end_and_keeps_the_token() -> None:
    desk = Desk()
    issued = await desk.start()
    desk.clock.advance(3600)
    extended = await desk.strategy.extend(
        issued.session,
        issued.token,
        expires_at=desk.clock() + 43_200,
        claims=issued.session.claims.replace(username="lovelace", sid="other", auth_time=1),
    )
    assert extended.token == issued.token
    session = extended.session
    assert (session.issued_at, session.expires_at) == (desk.clock(), desk.clock() + 43_200)
    assert (session.sid, session.auth_time, session.version) == (issued.session.sid, issued.session.auth_time, 2)
    assert (session.claims.username, session.claims.sid) == ("lovelace", session.sid)
    assert session.claims.exp == session.expires_at
    assert await desk.strategy.find(issued.token) == session
    assert (await desk.record(issued)).forget_after == session.expires_at + 975
    assert desk.strategy.successor(issued.token) is None


async def test_of_two_extensions_of_one_reading_the_first_counts() -> None:
    desk = Desk()
    issued = await desk.start()
    await desk.strategy.extend(issued.session, issued.token, expires_at=desk.clock() + 50_000)
    with pytest.raises(Conflict):
        await desk.strategy.extend(issued.session, issued.token, expires_at=desk.clock() + 60_000)
    assert (await desk.strategy.find(issued.token)).expires_at == desk.clock() + 50_000


async def test_nothing_passes_the_absolute_age() -> None:
    desk = Desk()
    issued = await desk.start()
    extended = await desk.strategy.extend(issued.session, issued.token, expires_at=desk.clock() + 10**6)
    assert extended.session.expires_at == desk.clock() + 86_400
    desk.clock.advance(86_399)
    session = await desk.strategy.find(issued.token)
    desk.clock.advance(1)
    assert await desk.step(issued.token) == "absolute_age"
    with pytest.raises(TokenError) as caught:
        await desk.strategy.extend(session, issued.token, expires_at=desk.clock() + 100)
    assert caught.value.step == "absolute_age"


async def test_a_first_life_never_passes_the_absolute_age_either() -> None:
    desk = Desk(lifetimes=msgspec.structs.replace(LIFETIMES, absolute_age=43_200))
    assert (await desk.start()).session.expires_at == desk.clock() + 43_200


async def test_it_opens_through_its_grace_and_not_a_second_longer() -> None:
    desk = Desk()
    issued = await desk.start()
    desk.clock.advance(43_200 + 900 + 14)
    assert (await desk.strategy.find(issued.token)).expires_at < desk.clock()
    desk.clock.advance(1)
    assert await desk.step(issued.token) == "expired"


async def test_what_the_log_ended_is_ended_here_too() -> None:
    desk = Desk()
    issued = await desk.start()
    desk.ended.end(Revocation(kind="session", subject=issued.session.sid, at=desk.clock(), forget_after=2**40))
    assert await desk.step(issued.token) == "ended"


async def test_the_user_comes_in_the_same_step_when_asked_for() -> None:
    desk = Desk(with_user=True)
    issued = await desk.start()
    session = await desk.strategy.find(issued.token)
    assert desk.store.asked == 1
    assert await session.user() == await desk.users.get("ada")
    assert await desk.step(issued.token[:-1] + ("A" if issued.token[-1] != "A" else "B")) == "secret"
    await desk.users.update(User(id="ada", disabled_at=desk.clock()))
    assert await desk.step(issued.token) == "ended"
    await desk.store.delete(issued.session.sid)
    assert await desk.step(issued.token) == "unknown"


async def test_claims_that_do_not_fit_their_type_are_refused() -> None:
    desk = Desk()
    issued = await desk.start()
    record = await desk.record(issued)
    desk.store._records[record.sid] = msgspec.structs.replace(record, claims=b'{"sub": 7}')
    assert await desk.step(issued.token) == "claims"


async def test_claims_have_a_bound() -> None:
    desk = Desk()
    issued = await desk.start()
    long = "x" * MOST_CLAIMS
    with pytest.raises(ClaimsTooLarge):
        await desk.strategy.start(MyClaims(sub="ada", name=long), Arrival())
    claims = issued.session.claims.replace(name=long)
    with pytest.raises(ClaimsTooLarge):
        await desk.strategy.extend(issued.session, issued.token, expires_at=desk.clock() + 100, claims=claims)
    assert await desk.strategy.find(issued.token) == issued.session


async def test_nobody_starts_a_session_for_a_user_who_is_gone() -> None:
    desk = Desk()
    with pytest.raises(Conflict) as caught:
        await desk.strategy.start(MyClaims(sub="nobody"), Arrival())
    assert caught.value.what == "user"
