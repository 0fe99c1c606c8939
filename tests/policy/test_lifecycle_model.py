"""Random walks of one browser against the real thing: whatever happens to its session is a row of the lifecycle table.

The walk keeps its own account of what must be true, and says which row that is; `Auth` has to do what the row says.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar
from unittest.mock import patch

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sojourn import Auth, Callbacks, ClaimsChange, Profile, RateLimit, SessionPolicy
from sojourn.claims import LIFETIME_MARGIN
from sojourn.errors import StoreUnavailable
from sojourn.policy.lifecycle import TABLE
from sojourn.providers import Credentials
from sojourn.stores import Stores, open_stores
from sojourn.testing import DrivenClock
from tests.support import SECRET, SESSION, Browser, MyClaims, body_of, make_auth

MAX_AGE, UPDATE_AGE, GRACE, ABSOLUTE, LEEWAY = 1000, 100, 50, 3000, 15
ROWS = {(row.state, row.event, row.guard): row for row in TABLE}
FIT = "CSRF pair and Origin fit"
SIGN_IN = "POST /signin or /callback/credentials"
LAPSES = [1, 30, 99, 100, 500, 999, 1000, 1020, 1049, 1064, 1065, 2999, 3000]
TROUBLES = ["none", "down", "disabled"]

# What this walk cannot meet: it has a password provider and no page, and its stores are in memory.
ELSEWHERE = {
    ("starting", "attempt counted", "allowed, provider chosen"),
    ("at_provider", "callback", "state and nonce fit, unspent"),
    ("at_provider", "callback", "spent, foreign or refused"),
    ("issuing", "claims callback", "session in Redis"),
} | {(row.state, row.event, row.guard) for row in TABLE if row.state in {"page", "hidden"}}
OF_TOKENS = {
    ("issuing", "claims callback", "session in its token"),
    ("request", "token read", "form, header, key, signature and claims fit"),
    ("request", "token read", "anything else"),
    ("opened", "session judged", "issued after now and leeway"),
    ("opened", "session judged", "ended by sign-out or revocation"),  # a stored session that ended is unknown
    ("grace", "session judged", "within grace, the database is down"),
    ("opened", "session judged", "update age reached, the database is down"),
}
OF_RECORDS = {
    ("issuing", "claims callback", "session in a database"),
    ("request", "record read", "id known, secret fits, user not known to be disabled"),
    ("request", "record read", "anything else"),
    ("request", "record read", "the store cannot answer"),
}


class Fragile:
    """A store that can be switched off."""

    def __init__(self, store: object, switch: Walk) -> None:
        self._store = store
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def asked(*arguments: Any, **named: Any) -> Any:
            if self._switch.down:
                raise StoreUnavailable("database", "switched off")
            return await found(*arguments, **named)

        return asked


class Held(msgspec.Struct):
    """What the cookie in the browser stands for, by our own account."""

    sid: str
    name: str
    auth_time: int
    issued_at: int
    expires_at: int
    ended: bool = False
    foreign: bool = False  # made under a key that is gone
    remembered: bool = False  # a token that this process opened: it is not looked at again when the clock is set back


def authorize(form: Mapping[str, str]) -> Profile | None:
    name = form.get("username", "")
    email = "ada@example.com" if name == "eve" else f"{name}@example.com"
    return Profile(id=name, name=name, email=email) if form.get("password") == "right" else None


class Walk(RuleBasedStateMachine):
    """One browser, one application, one clock."""

    strategy: ClassVar[str]
    seen: ClassVar[set[tuple[str, str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = DrivenClock()
        self.down = False
        self.large = False
        self.at = "signed_out"
        self.held: Held | None = None
        self.copy: tuple[str, Held] | None = None
        self.known: set[str] = set()
        self.disabled: set[str] = set()
        self.secrets = [SECRET]
        self.keys_made = 0
        raw = open_stores("memory:", clock=self.clock)
        names = ("users", "sessions", "revocations", "counters", "once")
        self.stores: Stores = msgspec.structs.replace(raw, **{n: Fragile(getattr(raw, n), self) for n in names})
        self.browser = Browser(self.started())

    def teardown(self) -> None:
        self.run(self.browser.auth.aclose())
        self.runner.close()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def started(self) -> Auth[MyClaims]:
        policy = SessionPolicy(
            strategy=self.strategy,
            max_age=f"{MAX_AGE}s",
            update_age=f"{UPDATE_AGE}s",
            grace_period=f"{GRACE}s",
            absolute_age=f"{ABSOLUTE}s",
        )
        with patch("sojourn.stores.open_stores", lambda *arguments, **named: self.stores):
            auth = make_auth(
                self.clock,
                secret=None,
                secrets=self.secrets,
                database="memory:",
                session=policy,
                providers=[Credentials(authorize=authorize)],
                rate_limit=RateLimit(sign_in="3/1h"),
                callbacks=Callbacks(claims=self.claims),
            )
        self.run(auth.start())
        return auth

    def claims(self, claims: MyClaims, change: ClaimsChange) -> MyClaims:
        if change.trigger == "update":
            return claims.replace(username=change.data)
        return claims.replace(username="x" * 200_000) if self.large else claims

    def step(self, event: str, guard: str = "", state: str | None = None) -> None:
        """One row; it must be in the table and begin where we are."""
        key = (state or self.at, event, guard)
        assert key in ROWS, f"no such row: {key}"
        type(self).seen.add(key)
        self.at = ROWS[key].next_state

    def arrived(self, *, kept: bool = False) -> None:
        """We are where the last row leads, and the browser is, too; `kept` cookies are of no use and stay."""
        assert self.at in {"signed_out", "signed_in", "grace"}
        if self.at == "signed_out":
            assert kept or SESSION not in self.browser.jar
            self.held = None if SESSION not in self.browser.jar else self.held
        else:
            assert SESSION in self.browser.jar

    @initialize()
    def somebody_is_known(self) -> None:
        self.sign_in("ada")

    # Signing in

    def post_password(self, name: str, password: str) -> int:
        status: int = self.run(self.browser.post("/callback/credentials", username=name, password=password)).status
        return status

    @precondition(lambda self: not self.down)
    @rule(name=st.sampled_from(["ada", "grace"]))
    def sign_in(self, name: str) -> None:
        if name in self.disabled:
            return
        old = self.browser.jar.get(SESSION)
        if self.at == "grace":
            self.at = "signed_in"
        self.step(SIGN_IN, FIT)
        self.step("attempt counted", "allowed, password fits")
        self.step("linking decided", "known user" if name in self.known else "first sign-in")
        self.step("claims callback", "session in its token" if self.strategy == "jwt" else "session in a database")
        assert self.post_password(name, "right") == 200
        assert self.browser.jar.get(SESSION) not in {None, old}
        self.known.add(name)
        if self.held is not None:
            self.held.ended = True
        loaded = self.run(self.browser.load())
        session, now = loaded.session, self.clock()
        assert (session.auth_time, session.issued_at, session.expires_at) == (now, now, now + MAX_AGE)
        assert self.held is None or session.sid != self.held.sid
        self.held = Held(session.sid, name, now, now, now + MAX_AGE)
        self.opened(self.held)
        self.arrived()

    @precondition(lambda self: not self.down and self.at == "signed_out")
    @rule(reason=st.sampled_from(["password", "taken", "disabled", "large", "no CSRF"]))
    def sign_in_refused(self, reason: str) -> None:
        self.browser.jar.pop(SESSION, None)
        self.held = None
        if reason == "no CSRF":
            self.step("POST without a fitting CSRF pair")
            form = {"username": "ada", "password": "right", "json": "true"}
            self.run(self.browser.send("POST", "/callback/credentials", form=form))
            self.arrived()
            return
        name = {"taken": "eve", "disabled": next(iter(sorted(self.disabled)), "")}.get(reason, "ada")
        if not name or (name in self.disabled and reason != "disabled"):
            return
        self.step(SIGN_IN, FIT)
        if reason == "password":
            self.step("attempt counted", "allowed, password does not fit")
        else:
            self.step("attempt counted", "allowed, password fits")
            if reason == "large":
                self.step("linking decided", "known user")
                self.step("claims callback", "claims over the byte budget")
            else:
                guards = {"taken": "address belongs to somebody else", "disabled": "user is disabled"}
                self.step("linking decided", guards[reason])
        self.large = reason == "large"
        self.post_password(name, "wrong" if reason == "password" else "right")
        self.large = False
        self.arrived()
        self.clock.advance("20m")  # what was counted is forgotten

    @precondition(lambda self: not self.down and self.at == "signed_out")
    @rule()
    def guess_too_often(self) -> None:
        self.browser.jar.pop(SESSION, None)
        self.held = None
        for _ in range(3):
            self.post_password("mallory", "wrong")
        self.step(SIGN_IN, FIT)
        self.step("attempt counted", "too many")
        assert self.post_password("mallory", "wrong") == 429
        self.arrived()
        self.clock.advance("1h")

    # Time, keys, people, the store

    @rule(seconds=st.sampled_from(LAPSES), drops=st.booleans())
    def time_passes(self, seconds: int, drops: bool) -> None:
        now = self.clock.advance(seconds)
        held = self.held
        if held is None or self.at == "signed_out":
            return
        if self.at == "signed_in" and now >= held.expires_at:
            self.step("exp passes")
        if self.at == "grace" and now >= held.expires_at + GRACE + LEEWAY and drops:
            self.step("grace passes", "no request came")
            del self.browser.jar[SESSION]
            self.arrived()

    @rule(seconds=st.sampled_from([15, 16]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.clock.advance(-seconds)
        if self.at == "grace" and self.held is not None and self.clock() < self.held.expires_at:
            self.at = "signed_in"

    @precondition(lambda self: not self.down)
    @rule(drops=st.booleans())
    def the_keys_change(self, drops: bool) -> None:
        """A restart with a new key first; the old one stays, or goes and takes its tokens along."""
        drops = drops or len(self.secrets) == 5  # no more are allowed
        self.keys_made += 1
        fresh = f"{self.keys_made}-".ljust(32, "k")
        self.secrets = [fresh] if drops else [fresh, *self.secrets]
        self.run(self.browser.auth.aclose())
        self.browser.auth = self.started()
        for held in filter(None, (self.held, self.copy and self.copy[1])):
            held.foreign |= drops
            held.remembered = False

    @rule()
    def the_store_goes_or_comes(self) -> None:
        self.down = not self.down

    @precondition(lambda self: not self.down and self.known)
    @rule(data=st.data())
    def a_user_is_disabled_or_enabled(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        self.able(name, name in self.disabled)

    def able(self, name: str, able: bool) -> None:
        """Enable or disable a user, as an operator does."""
        down, self.down = self.down, False
        user = self.run(self.stores.users.get_by_email(f"{name}@example.com"))
        self.run(self.stores.users.update(user.replace(disabled_at=None if able else self.clock())))
        (self.disabled.discard if able else self.disabled.add)(name)
        self.down = down

    # A request

    def judged(self, held: Held) -> tuple[str, str, str]:
        """What a request with this cookie must come to: the row's event and guard, and the step or what is done."""
        now = self.clock()
        if self.strategy == "database":
            if self.down:
                return "record read", "the store cannot answer", "503"
            if held.ended:
                return "record read", "anything else", "unknown"
        elif held.foreign:
            return "token read", "anything else", "key"
        if self.is_early(held):
            return "session judged", "issued after now and leeway", "issued_in_future"
        if now >= held.auth_time + ABSOLUTE:
            return "session judged", "absolute age reached", "absolute_age"
        if now >= held.expires_at + GRACE + LEEWAY:
            return "session judged", "past grace", "expired"
        if held.ended:
            return "session judged", "ended by sign-out or revocation", "ended"
        late = now >= held.expires_at
        if not late and now < held.issued_at + UPDATE_AGE:
            return "session judged", "younger than update age", "keep"
        guard = "within grace" if late else "update age reached"
        if self.down:
            return "session judged", f"{guard}, the database is down", "503" if late else "keep"
        if held.name in self.disabled:
            return "session judged", f"{guard}, user is disabled", "ended"
        return "session judged", guard, "refresh"

    def requested(self, held: Held) -> str:
        """Walk a request up to its verdict."""
        event, guard, done = self.judged(held)
        state = self.at
        if not guard.startswith("within grace"):
            self.at = "signed_in"
            self.step("request", "session cookie")
            if event == "session judged":
                if self.strategy == "jwt":
                    self.step("token read", "form, header, key, signature and claims fit")
                else:
                    self.step("record read", "id known, secret fits, user not known to be disabled")
        else:
            self.at = "grace"
        self.step(event, guard)
        if done == "503":
            self.at = state
        return done

    def extended(self, held: Held) -> None:
        now = self.clock()
        held.remembered = False
        held.issued_at, held.expires_at = now, min(now + MAX_AGE, held.auth_time + ABSOLUTE)

    @rule(seconds=st.sampled_from(LAPSES), trouble=st.sampled_from(TROUBLES))
    def come_back_later(self, seconds: int, trouble: str) -> None:
        self.time_passes(seconds, drops=False)
        held, down = self.held, self.down
        self.down = down or trouble == "down"
        disabling = held is not None and trouble == "disabled" and held.name not in self.disabled
        if held is not None and disabling:
            self.able(held.name, False)
        self.read(asks="nothing")
        self.down = down
        if held is not None and disabling:
            self.able(held.name, True)

    @rule(asks=st.sampled_from(["nothing", "user", "user of a database that just went down"]))
    def read(self, asks: str) -> None:
        held = self.held
        if held is None:
            self.step("request", "no session cookie")
            loaded = self.run(self.browser.load())
            assert (loaded.session, loaded.step, loaded.cookies) == (None, "missing", ())
            return
        if self.at == "signed_out":  # a cookie that stayed may become good again
            self.at = "signed_in"
        before = self.browser.jar[SESSION]
        done = self.requested(held)
        loaded = self.run(self.browser.load())
        match done:
            case "keep" | "refresh":
                assert loaded.session.sid == held.sid
                assert len(loaded.cookies) == (done == "refresh")
                if done == "refresh":
                    self.extended(held)
                else:
                    self.opened(held)
                assert loaded.session.expires_at == held.expires_at
                if asks != "nothing":
                    down, self.down = self.down, self.down or asks != "user"
                    self.handler_asks(loaded.session)
                    self.down = down
            case "503":
                assert loaded.session is None
                assert loaded.unavailable is not None
                assert self.browser.jar[SESSION] == before
            case step:
                held.ended |= step == "ended"  # who is disabled has to sign in again later
                assert (loaded.session, loaded.step, loaded.unavailable) == (None, step, None)
        self.arrived(kept=done in {"key", "issued_in_future"})

    def handler_asks(self, session: Any) -> None:
        if self.down:
            self.step("handler asks for the user", "the database is down")
            try:
                self.run(session.user())
            except StoreUnavailable:
                return
            raise AssertionError("the user was there without a database")
        self.step("handler asks for the user", "the row is there")
        assert self.run(session.user()).id == session.user_id

    @precondition(lambda self: not self.down and self.held is not None and self.at != "signed_out")
    @rule(name=st.sampled_from(["a", "b"]))
    def update(self, name: str) -> None:
        held = self.held
        assert held is not None
        done = self.requested(held)
        alive = done in {"keep", "refresh"}
        if alive and held.name in self.disabled:
            return  # told at the next request that extends
        if alive:
            self.step("POST /session", FIT)
            self.extended(held)
        data = {"csrfToken": self.run(self.browser.csrf()), "data": name}
        shown = body_of(self.run(self.browser.send("POST", "/session", data=data)))
        assert bool(shown) == alive
        self.arrived(kept=done in {"key", "issued_in_future"})

    # Signing out

    @rule()
    def sign_out(self) -> None:
        copy, held = self.browser.jar.get(SESSION), self.held
        opens = held is not None and self.judged(held)[0] == "session judged" and not self.over(held)
        if held is not None and self.down and self.owns(held):
            self.at = "signed_in"
            self.step("POST /signout", "the end cannot be made durable")
            assert self.run(self.browser.post("/signout")).status == 503
            assert self.browser.jar[SESSION] == copy
            if self.clock() >= held.expires_at:
                self.step("exp passes")
            return
        if held is None or not opens:
            self.at = "signed_out"
        elif self.at != "signed_out":
            self.at = "signed_in"
        if opens:
            self.at = "signed_in"
        self.step("POST /signout", FIT)
        assert self.run(self.browser.post("/signout")).status == 200
        assert SESSION not in self.browser.jar
        if held is not None and self.owns(held):
            held.ended = True
        if held is not None and copy is not None:
            self.copy = copy, held
        self.arrived()

    def owns(self, held: Held) -> bool:
        """Whether the cookie proves whose session it is, good or not: then that is ended."""
        if self.strategy == "database":
            return True
        over = self.clock() >= held.expires_at + GRACE + LEEWAY + LIFETIME_MARGIN
        return not (held.foreign or held.ended or over)

    def over(self, held: Held) -> bool:
        """Whether nobody can find a session in it any more."""
        now = self.clock()
        late = now >= min(held.auth_time + ABSOLUTE, held.expires_at + GRACE + LEEWAY)
        return held.ended or late or self.is_early(held)

    def is_early(self, held: Held) -> bool:
        """Whether a token says that it, or its session, begins later; a record's time is never later than ours."""
        ahead = max(held.issued_at, held.auth_time) > self.clock() + LEEWAY
        return self.strategy == "jwt" and ahead and (held.ended or not held.remembered)

    def opened(self, held: Held) -> None:
        """This process saw the token while it was good."""
        held.remembered |= self.strategy == "jwt" and (
            max(held.issued_at, held.auth_time) <= self.clock() < held.expires_at
        )

    @precondition(lambda self: self.at == "signed_out" and self.copy is not None and self.held is None)
    @rule()
    def the_copied_cookie_is_put_back(self) -> None:
        assert self.copy is not None
        self.browser.jar[SESSION], self.held = self.copy
        self.copy = None
        self.at = "signed_in"
        self.read(asks="nothing")


class TokenWalk(Walk):
    strategy = "jwt"
    seen: ClassVar[set[tuple[str, str, str]]] = set()


class RecordWalk(Walk):
    strategy = "database"
    seen: ClassVar[set[tuple[str, str, str]]] = set()


LONG = settings(max_examples=80, stateful_step_count=40, derandomize=True)


def unseen(machine: type[Walk]) -> set[tuple[str, str, str]]:
    """The rows that neither a walk at random nor a single step from a fresh session went along."""
    run_state_machine_as_test(machine, settings=LONG)
    for seconds in LAPSES:
        for trouble in TROUBLES:
            walk = machine()
            walk.sign_in("ada")
            walk.come_back_later(seconds, trouble)
            walk.teardown()
    walk = machine()
    walk.sign_in("ada")
    walk.the_keys_change(drops=False)
    walk.the_clock_is_set_back(16)
    walk.read(asks="nothing")
    walk.teardown()
    return set(ROWS) - machine.seen


def test_sessions_in_tokens_walk_along_the_table() -> None:
    assert unseen(TokenWalk) == ELSEWHERE | OF_RECORDS


def test_stored_sessions_walk_along_the_table() -> None:
    assert unseen(RecordWalk) == ELSEWHERE | OF_TOKENS
