"""Sessions in tokens: issued, verified, remembered, extended, refused, always by the clock that is given."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sojourn.claims import ClaimsCodec
from sojourn.errors import ClaimsTooLarge, TokenError
from sojourn.keys import Keyring
from sojourn.models import Claims, Lifetimes, Session
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation, SessionStore
from sojourn.stores.memory_sessions import MemorySessionStore
from sojourn.strategies import Arrival, JWTStrategy
from sojourn.strategies import jwt as strategies
from sojourn.testing import DrivenClock
from sojourn.tokens import AuthJSV5, NextAuthV4, SignedJWT, TokenFormat

NOW = 1_800_000_000
LIFETIMES = Lifetimes(max_age=43_200, update_age=3600, grace_period=900, absolute_age=86_400)
FOREVER = 2**40


class MyClaims(Claims):
    username: str | None = None
    is_sponsor: bool = False


class Lists(Claims):
    roles: list[str] = msgspec.field(default_factory=list)


class Desk:
    """A strategy, its clock and what ended, and how often a token was really opened."""

    def __init__(
        self,
        *,
        claims_type: type[Any] = MyClaims,
        token_format: TokenFormat | None = None,
        lifetimes: Lifetimes = LIFETIMES,
        budget: int = 19_000,
        records: SessionStore | None = None,
    ) -> None:
        self.clock = DrivenClock(NOW)
        self.ended = EndedSessions()
        self.format = token_format or NextAuthV4(Keyring(["secret"]))
        self.name = self.format.name
        self.opened = 0
        self.strategy: JWTStrategy[Any] = JWTStrategy(
            token_format=self,
            codec=ClaimsCodec(claims_type),
            lifetimes=lifetimes,
            ended=self.ended,
            clock=self.clock,
            budget=budget,
            records=records,
        )

    def open(self, token: str) -> bytes:
        self.opened += 1
        return self.format.open(token)

    def seal(self, payload: bytes, entropy: bytes | None = None) -> str:
        return self.format.seal(payload, entropy)

    def made_elsewhere(self, **claims: Any) -> str:
        return self.format.seal(json.dumps(claims).encode())

    def end(self, kind: str, subject: str, at: int = NOW) -> None:
        self.ended.end(Revocation(kind=kind, subject=subject, at=at, forget_after=FOREVER))

    def refused(self, token: str, *, opening: bool = False) -> TokenError:
        with pytest.raises(TokenError) as error:
            (self.strategy.open if opening else self.strategy.verify)(token)
        return error.value


FORMATS: list[TokenFormat] = [
    NextAuthV4(Keyring(["secret"])),
    AuthJSV5(Keyring(["secret"]), salt="authjs.session-token"),
    SignedJWT("HS256", Keyring(["secret"]), issuer="https://a.example", audience="https://a.example"),
]


@pytest.mark.parametrize("token_format", FORMATS, ids=lambda token_format: token_format.name)
def test_what_is_issued_verifies(token_format: TokenFormat) -> None:
    desk = Desk(token_format=token_format)
    issued = desk.strategy.issue(MyClaims(sub="1", name="Ada", is_sponsor=True, iat=5, exp=5, jti="x"))
    session = issued.session
    assert desk.strategy.verify(issued.token) == session == desk.strategy.open(issued.token)
    assert session.claims.is_sponsor
    assert (session.user_id, session.issued_at, session.expires_at, session.auth_time) == ("1", NOW, NOW + 43_200, NOW)
    assert session.sid == session.claims.sid
    assert len(session.sid) == len(session.claims.jti) == 32
    assert session.sid != session.claims.jti


def test_every_issue_is_a_new_session_unless_one_is_named() -> None:
    desk = Desk()
    first, second = (desk.strategy.issue(MyClaims(sub="1", sid="theirs")).session for _ in range(2))
    assert len({first.sid, second.sid, first.claims.jti, second.claims.jti, "theirs"}) == 5
    assert desk.strategy.issue(MyClaims(sub="1"), sid="mine").session.sid == "mine"


def test_a_token_never_outlives_the_absolute_age() -> None:
    desk = Desk()
    late = desk.strategy.issue(MyClaims(sub="1"), auth_time=NOW - 86_000).session
    assert (late.auth_time, late.expires_at) == (NOW - 86_000, NOW + 400)
    with pytest.raises(TokenError, match="absolute_age"):
        desk.strategy.issue(MyClaims(sub="1"), auth_time=NOW - 86_400)


def test_the_budget_is_in_characters_of_the_token() -> None:
    desk = Desk(budget=500)
    assert len(desk.strategy.issue(MyClaims(sub="1")).token) < 500
    with pytest.raises(ClaimsTooLarge) as error:
        desk.strategy.issue(MyClaims(sub="1", name="x" * 300))
    assert error.value.size > error.value.budget == 500


# expiry


def test_leeway_carries_a_token_past_exp_and_grace_opens_it() -> None:
    desk = Desk()
    token = desk.strategy.issue(MyClaims(sub="1")).token
    for warm in (False, True):
        if warm:
            desk.clock.set(NOW)
            desk.strategy.verify(token)
        desk.clock.set(NOW + 43_200 + 14)
        assert desk.strategy.verify(token).user_id == "1"
        desk.clock.set(NOW + 43_200 + 15)
        assert desk.refused(token).step == "expired"
        assert desk.strategy.open(token).user_id == "1"
        desk.clock.set(NOW + 43_200 + 15 + 899)
        assert desk.strategy.open(token).user_id == "1"
        desk.clock.advance(1)
        error = desk.refused(token, opening=True)
        assert (error.step, error.detail, error.code) == ("expired", "915 s ago", "session_expired")


def test_the_absolute_age_has_no_leeway_and_no_grace() -> None:
    desk = Desk()
    token = desk.strategy.issue(MyClaims(sub="1"), auth_time=NOW - 86_000).token
    desk.clock.set(NOW + 399)
    assert desk.strategy.verify(token).user_id == "1"
    desk.clock.set(NOW + 400)
    assert desk.refused(token).step == "absolute_age"
    assert desk.refused(token, opening=True).step == "absolute_age"


def test_a_token_whose_exp_passes_the_absolute_age() -> None:
    """As after a change of settings, or from another maker."""
    desk = Desk()
    token = desk.made_elsewhere(sub="1", sid="s", jti="j", iat=NOW, auth_time=NOW - 86_000, exp=NOW + 3600)
    assert desk.strategy.verify(token).user_id == "1"
    desk.clock.set(NOW + 400)
    assert desk.refused(token).step == "absolute_age"


@pytest.mark.parametrize(
    ("claims", "step", "detail"),
    [
        ({"exp": NOW + 43_200 + 3600}, None, ""),
        ({"exp": NOW + 43_200 + 3601}, "lifetime", "46801 s ahead"),
        ({"iat": NOW + 15}, None, ""),
        ({"iat": NOW + 90}, "issued_in_future", "90 s ahead of this server's clock"),
        ({"auth_time": NOW + 16}, "issued_in_future", "16 s ahead"),
        ({"nbf": NOW + 15}, None, ""),
        ({"nbf": NOW + 16}, "not_yet_valid", "16 s ahead"),
        ({"iat": NOW - 1, "exp": NOW - 2}, "lifetime", "-2 s ahead"),
        ({"exp": NOW - 15}, "expired", "15 s ago"),
        ({"jti": "", "sid": ""}, "claims", "neither sid nor jti"),
        ({"sub": 1}, "claims", "Expected `str`"),
    ],
)
def test_times_of_tokens_made_elsewhere(claims: dict[str, Any], step: str | None, detail: str) -> None:
    desk = Desk()
    token = desk.made_elsewhere(**({"sub": "1", "iat": NOW - 100, "exp": NOW + 60, "jti": "j"} | claims))
    for _ in range(2):
        if step is None:
            assert desk.strategy.verify(token).user_id == "1"
        else:
            error = desk.refused(token)
            assert error.step == step
            assert detail in error.detail


def test_a_token_of_next_auth_is_known_by_its_jti() -> None:
    desk = Desk()
    token = desk.made_elsewhere(name=None, email="a@b.c", picture=None, sub="1", iat=NOW - 5, exp=NOW + 60, jti="j")
    session = desk.strategy.verify(token)
    assert (session.sid, session.auth_time, session.issued_at) == ("j", NOW - 5, NOW - 5)
    desk.end("session", "j")
    assert desk.refused(token).step == "ended"


# ending


@pytest.mark.parametrize(("kind", "subject"), [("session", "mine"), ("user", "1")])
@pytest.mark.parametrize("warm", [False, True])
def test_what_ended_is_refused_remembered_or_not(kind: str, subject: str, warm: bool) -> None:
    desk = Desk()
    token = desk.strategy.issue(MyClaims(sub="1"), sid="mine").token
    if warm:
        desk.strategy.verify(token)
    desk.end(kind, subject)
    for opening in (False, True):
        error = desk.refused(token, opening=opening)
        assert (error.step, error.code) == ("ended", "session_ended")


def test_nothing_is_issued_or_extended_for_an_ended_session() -> None:
    desk = Desk()
    issued = desk.strategy.issue(MyClaims(sub="1"), sid="mine")
    desk.end("session", "mine")
    with pytest.raises(TokenError, match="ended"):
        desk.strategy.issue(MyClaims(sub="1"), sid="mine")
    with pytest.raises(TokenError, match="ended"):
        desk.strategy.refresh(issued.session, issued.token, expires_at=NOW + 50_000)


def test_signing_in_again_in_the_second_of_a_cut_off() -> None:
    desk = Desk()
    before = desk.strategy.issue(MyClaims(sub="1")).token
    desk.end("user", "1", at=NOW)
    again = desk.strategy.issue(MyClaims(sub="1"))
    assert desk.refused(before).step == "ended"
    assert desk.strategy.verify(again.token).issued_at == NOW + 1
    desk.end("user", "1", at=NOW + 1)
    with pytest.raises(TokenError, match="ended"):
        desk.strategy.issue(MyClaims(sub="1"))
    assert desk.strategy.issue(MyClaims(sub="2")).session.issued_at == NOW


async def test_no_extension_leaves_a_cut_off_behind() -> None:
    """Another process, which has not heard of it yet, extends the session in a later second."""
    desk, elsewhere = Desk(), Desk()
    begun = desk.strategy.issue(MyClaims(sub="1"))
    desk.end("user", "1", at=NOW + 5)
    elsewhere.clock.advance(10)
    extended = elsewhere.strategy.refresh(begun.session, begun.token, expires_at=NOW + 43_210)
    desk.clock.advance(10)
    assert extended.session.issued_at > NOW + 5
    assert desk.refused(extended.token).step == "ended"
    claims = extended.session.claims
    with pytest.raises(TokenError, match="ended"):
        desk.strategy.issue(claims, auth_time=claims.auth_time, sid=claims.sid)
    with pytest.raises(TokenError, match="ended"):
        desk.strategy.issue(claims, auth_time=claims.auth_time)


# listing


async def test_a_listed_session_has_one_record_that_opens_nothing() -> None:
    records = MemorySessionStore()
    desk = Desk(records=records)
    arrival = Arrival(provider="op", client="192.0.2.7", user_agent="Phone\n\u202e" + "x" * 500)
    issued = await desk.strategy.start(MyClaims(sub="1"), arrival)
    session = desk.strategy.verify(issued.token)
    record = await records.get(session.sid)
    assert record is not None
    assert (record.user_id, record.auth_time, record.issued_at) == ("1", NOW, NOW)
    assert (record.expires_at, record.claims) == (NOW + 86_400, b"{}")
    assert record.forget_after > record.expires_at + LIFETIMES.grace_period
    assert (record.provider, record.client) == ("op", "192.0.2.7")
    assert record.user_agent == ("Phone" + "x" * 500)[:398]
    other = await records.get((await desk.strategy.start(MyClaims(sub="1"), arrival)).session.sid)
    assert other is not None
    assert len(record.secret_hash) == 32
    assert record.secret_hash != other.secret_hash
    desk.clock.advance(4000)
    await desk.strategy.extend(session, issued.token, expires_at=NOW + 50_000)
    assert await records.get(session.sid) == record


async def test_without_a_list_nothing_is_written_and_issued_tokens_are_in_none() -> None:
    records = MemorySessionStore()
    assert (await Desk().strategy.start(MyClaims(sub="1"), Arrival())).session.sid
    Desk(records=records).strategy.issue(MyClaims(sub="1"))
    assert await records.list_for_user("1") == []


async def test_a_listed_session_begins_after_the_cut_off_of_its_second() -> None:
    records = MemorySessionStore()
    desk = Desk(records=records)
    desk.end("user", "1", at=NOW)
    issued = await desk.strategy.start(MyClaims(sub="1"), Arrival())
    (record,) = await records.list_for_user("1")
    assert (record.sid, record.auth_time) == (issued.session.sid, NOW + 1)
    desk.end("user", "1", at=NOW + 1)
    with pytest.raises(TokenError, match="ended"):
        await desk.strategy.start(MyClaims(sub="1"), Arrival())
    assert len(await records.list_for_user("1")) == 1


# remembering


def test_a_seen_token_is_not_opened_again() -> None:
    desk = Desk()
    token = desk.strategy.issue(MyClaims(sub="1")).token
    sessions = [desk.strategy.verify(token) for _ in range(5)]
    assert desk.opened == 1
    assert all(session is sessions[0] for session in sessions)
    with pytest.raises(AttributeError):
        sessions[0].sid = "x"  # type: ignore[misc]


def test_two_tokens_of_equal_claims_are_two_entries() -> None:
    desk = Desk()
    first, second = (desk.strategy.issue(MyClaims(sub="1")).token for _ in range(2))
    assert desk.strategy.verify(first).sid != desk.strategy.verify(second).sid


def test_claims_that_can_change_are_never_shared() -> None:
    desk = Desk(claims_type=Lists)
    token = desk.strategy.issue(Lists(sub="1", roles=["user"])).token
    desk.strategy.verify(token).claims.roles.append("admin")
    assert desk.strategy.verify(token).claims.roles == ["user"]
    assert desk.opened == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "_SEEN", 3)
    desk = Desk()
    issued = [desk.strategy.issue(MyClaims(sub=str(number))) for number in range(10)]
    for each in issued:
        desk.strategy.verify(each.token)
        assert len(desk.strategy._seen) <= 3
        desk.clock.advance(1)
        desk.strategy.refresh(each.session, each.token, expires_at=NOW + 44_000)
        assert len(desk.strategy._successors) <= 3
    assert desk.strategy.verify(issued[0].token) == issued[0].session


def test_long_tokens_are_not_remembered() -> None:
    desk = Desk()
    token = desk.strategy.issue(MyClaims(sub="1", name="x" * 2000)).token
    desk.strategy.verify(token)
    desk.strategy.verify(token)
    assert desk.opened == 2


def test_a_refused_token_is_not_remembered() -> None:
    desk = Desk()
    token = desk.made_elsewhere(sub="1", iat=NOW, exp=NOW + 60, jti="j", nbf=NOW + 60)
    assert desk.refused(token).step == "not_yet_valid"
    desk.clock.set(NOW + 50)
    assert desk.strategy.verify(token).user_id == "1"


# extending


def test_refresh_keeps_session_and_start() -> None:
    desk = Desk()
    issued = desk.strategy.issue(MyClaims(sub="1", name="Ada"))
    desk.clock.set(NOW + 4000)
    made = desk.strategy.refresh(issued.session, issued.token, expires_at=NOW + 47_200)
    old, new = issued.session, made.session
    assert (new.sid, new.auth_time, new.claims.name) == (old.sid, NOW, "Ada")
    assert (new.issued_at, new.expires_at) == (NOW + 4000, NOW + 47_200)
    assert new.claims.jti != old.claims.jti
    assert desk.strategy.verify(made.token) == new


def test_refresh_takes_changed_claims_and_caps_at_the_absolute_age() -> None:
    desk = Desk()
    issued = desk.strategy.issue(MyClaims(sub="1"))
    changed = desk.strategy.refresh(
        issued.session,
        issued.token,
        expires_at=FOREVER,
        claims=issued.session.claims.replace(is_sponsor=True, sid="x", jti="x"),
    )
    assert changed.session.claims.is_sponsor
    assert changed.session.sid == issued.session.sid
    assert changed.session.expires_at == NOW + 86_400
    desk.clock.set(NOW + 86_400)
    with pytest.raises(TokenError, match="absolute_age"):
        desk.strategy.refresh(issued.session, issued.token, expires_at=FOREVER)


def test_refresh_keeps_what_no_field_names() -> None:
    desk = Desk()
    token = desk.made_elsewhere(role="x", sub="1", iat=NOW - 5, exp=NOW + 60, jti="j", deep={"a": [1]})
    session: Session[Any] = desk.strategy.verify(token)
    made = desk.strategy.refresh(session, token, expires_at=NOW + 600)
    members = json.loads(desk.format.open(made.token))
    assert (members["role"], members["deep"], members["sid"], members["auth_time"]) == ("x", {"a": [1]}, "j", NOW - 5)
    assert members["jti"] != "j"


def test_one_old_token_has_one_successor_for_a_while() -> None:
    desk = Desk()
    issued = desk.strategy.issue(MyClaims(sub="1"))
    assert desk.strategy.successor(issued.token) is None
    made = desk.strategy.refresh(issued.session, issued.token, expires_at=NOW + 50_000)
    desk.clock.set(NOW + 9)
    assert desk.strategy.successor(issued.token) is made
    desk.clock.set(NOW + 10)
    assert desk.strategy.successor(issued.token) is None
    desk.clock.set(NOW)
    desk.end("session", issued.session.sid)
    assert desk.strategy.successor(issued.token) is None
