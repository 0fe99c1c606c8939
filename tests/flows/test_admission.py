from __future__ import annotations

import pytest

from sojourn import Account, Auth, Profile
from sojourn.errors import SignInRefused
from sojourn.events import AccountLinked, Event
from sojourn.flows.admission import Admitted, Proof
from sojourn.testing import DrivenClock
from tests.support import SESSION, MyClaims, make_auth


def proof(
    provider: str,
    identity: str,
    email: str | None = None,
    *,
    verified: bool = False,
    trusted: bool = False,
    **claims: object,
) -> Proof:
    profile = Profile(id=identity, name=identity, email=email, email_verified=verified)
    account = Account(provider=provider, provider_account_id=identity, type="oidc")
    return Proof(profile=profile, account=account, trust_email=trusted, claims=claims)


async def admit(auth: Auth[MyClaims], given: Proof, cookie: str = "") -> Admitted[MyClaims]:
    header = f"{SESSION}={cookie}" if cookie else ""
    return await auth._endpoints._arrivals._admission.admit(given, cookie_header=header, client=None)


def token_of(admitted: Admitted[MyClaims]) -> str:
    return next(cookie.value for cookie in admitted.cookies if cookie.name == SESSION)


async def test_the_same_account_is_the_same_user() -> None:
    auth = make_auth(database="memory:")
    first = await admit(auth, proof("google", "1", "ada@example.com"))
    second = await admit(auth, proof("google", "1", "other@example.com"))
    assert first.new_user is True
    assert second.new_user is False
    assert first.session is not None
    assert second.session is not None
    assert first.session.user_id == second.session.user_id
    assert first.session.sid != second.session.sid


async def test_an_address_links_only_when_both_sides_verified_it() -> None:
    events: list[Event] = []
    auth = make_auth(events=events, database="memory:")
    first = await admit(auth, proof("google", "1", "ada@example.com", verified=True, trusted=True))
    second = await admit(auth, proof("op", "2", "ada@example.com", verified=True, trusted=True))
    assert first.session is not None
    assert second.session is not None
    assert second.session.user_id == first.session.user_id
    assert [event.reason for event in events if isinstance(event, AccountLinked)] == ["verified_email"]


@pytest.mark.parametrize(
    ("first_verified", "second_verified", "trusted"),
    [(False, True, True), (True, False, True), (True, True, False), (False, False, True)],
)
async def test_otherwise_it_is_refused_with_the_method_to_use(
    first_verified: bool, second_verified: bool, trusted: bool
) -> None:
    auth = make_auth(database="memory:")
    await admit(auth, proof("google", "1", "ada@example.com", verified=first_verified, trusted=True))
    with pytest.raises(SignInRefused) as caught:
        await admit(auth, proof("op", "2", "ada@example.com", verified=second_verified, trusted=trusted))
    assert caught.value.code == "OAuthAccountNotLinked"
    assert dict(caught.value.params)["methods"] == "google"
    assert await auth._stores.users.get_by_account("op", "2") is None


async def test_somebody_signed_in_adds_the_account_to_their_own() -> None:
    events: list[Event] = []
    auth = make_auth(events=events, database="memory:")
    first = await admit(auth, proof("google", "1", "ada@example.com"))
    second = await admit(auth, proof("op", "2", "else@example.com"), cookie=token_of(first))
    assert first.session is not None
    assert second.session is not None
    assert second.session.user_id == first.session.user_id
    assert [event.reason for event in events if isinstance(event, AccountLinked)] == ["signed_in"]


async def test_an_account_of_somebody_else_is_not_taken_over_while_signed_in() -> None:
    auth = make_auth(database="memory:")
    ada = await admit(auth, proof("google", "1", "ada@example.com"))
    await admit(auth, proof("op", "2", "grace@example.com"))
    with pytest.raises(SignInRefused) as caught:
        await admit(auth, proof("op", "2", "grace@example.com"), cookie=token_of(ada))
    assert caught.value.code == "OAuthAccountNotLinked"


async def test_an_expired_session_does_not_count_as_signed_in() -> None:
    clock = DrivenClock()
    auth = make_auth(clock, database="memory:")
    ada = await admit(auth, proof("google", "1", "ada@example.com"))
    clock.advance("13h")
    other = await admit(auth, proof("op", "2", "grace@example.com"), cookie=token_of(ada))
    assert other.new_user is True


async def test_a_disabled_user_is_refused() -> None:
    clock = DrivenClock()
    auth = make_auth(clock, database="memory:")
    await admit(auth, proof("google", "1", "ada@example.com"))
    users = auth._stores.users
    user = await users.get_by_account("google", "1")
    assert user is not None
    await users.update(user.replace(disabled_at=clock()))
    with pytest.raises(SignInRefused) as caught:
        await admit(auth, proof("google", "1", "ada@example.com"))
    assert (caught.value.code, caught.value.step) == ("AccessDenied", "disabled")


async def test_what_a_provider_knows_beyond_the_profile_fills_claims_of_that_name_only() -> None:
    auth = make_auth(database="memory:")
    admitted = await admit(auth, proof("github", "1", is_sponsor=True, unknown="x"))
    assert admitted.session is not None
    assert admitted.session.claims.is_sponsor is True


async def test_without_a_database_two_providers_never_share_a_subject() -> None:
    auth = make_auth()
    subjects = {(await admit(auth, proof(name, "1"))).session.user_id for name in ("google", "op")}  # type: ignore[union-attr]
    assert subjects == {"google|1", "op|1"}
