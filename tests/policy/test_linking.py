"""The whole table of linking: who gets in, and by what proof."""

from __future__ import annotations

from itertools import product

import pytest

from sojourn.models import Account, Profile, User
from sojourn.policy.linking import Create, Decision, Link, Refuse, SignIn, decide

ADA = User(id="1", email="ada@example.com")
ADA_VERIFIED = User(id="1", email="ada@example.com", email_verified_at=1_700_000_000)
ADA_DISABLED = User(id="1", email="ada@example.com", email_verified_at=1_700_000_000, disabled_at=1_700_000_001)
BOB = User(id="2", email="bob@example.com", email_verified_at=1_700_000_000)
ADAS_ACCOUNTS = (
    Account(provider="google", provider_account_id="g1", user_id="1"),
    Account(provider="credentials", provider_account_id="1", type="credentials", user_id="1"),
    Account(provider="google", provider_account_id="g2", user_id="1"),
)

# Does the provider say that the address is verified, is it trusted to say so, who has the address here.
ADDRESSES = list(product([True, False], [True, False], [None, ADA, ADA_VERIFIED, ADA_DISABLED]))


def settle(
    *,
    verified: bool = False,
    trusted: bool = False,
    owner: User | None = None,
    signed_in: User | None = None,
    email_owner: User | None = None,
    email: str | None = "ada@example.com",
) -> Decision:
    return decide(
        profile=Profile(id="7", email=email, email_verified=verified),
        provider_id="github",
        trust_email=trusted,
        owner=owner,
        signed_in=signed_in,
        email_owner=email_owner,
        email_owner_accounts=ADAS_ACCOUNTS if email_owner is not None else (),
    )


@pytest.mark.parametrize(("verified", "trusted", "email_owner"), ADDRESSES)
class TestWhateverTheAddress:
    """With a known account or a signed-in user the address decides nothing."""

    def test_a_known_account_signs_its_owner_in(self, verified: bool, trusted: bool, email_owner: User | None) -> None:
        decision = settle(owner=BOB, verified=verified, trusted=trusted, email_owner=email_owner)
        assert decision == SignIn(BOB)

    def test_so_it_does_for_the_owner_already_signed_in(
        self, verified: bool, trusted: bool, email_owner: User | None
    ) -> None:
        decision = settle(owner=BOB, signed_in=BOB, verified=verified, trusted=trusted, email_owner=email_owner)
        assert decision == SignIn(BOB)

    def test_another_users_account_is_refused(self, verified: bool, trusted: bool, email_owner: User | None) -> None:
        decision = settle(owner=BOB, signed_in=ADA, verified=verified, trusted=trusted, email_owner=email_owner)
        assert decision == Refuse("account_of_other_user", "this github account belongs to another user")

    def test_a_disabled_owner_is_refused(self, verified: bool, trusted: bool, email_owner: User | None) -> None:
        for signed_in in (None, ADA_DISABLED):
            decision = settle(
                owner=ADA_DISABLED, signed_in=signed_in, verified=verified, trusted=trusted, email_owner=email_owner
            )
            assert decision == Refuse("disabled", "this user is disabled")

    def test_a_new_account_is_linked_to_who_is_signed_in(
        self, verified: bool, trusted: bool, email_owner: User | None
    ) -> None:
        decision = settle(signed_in=BOB, verified=verified, trusted=trusted, email_owner=email_owner)
        assert decision == Link(BOB, "signed_in")

    def test_but_not_to_a_disabled_user(self, verified: bool, trusted: bool, email_owner: User | None) -> None:
        decision = settle(signed_in=ADA_DISABLED, verified=verified, trusted=trusted, email_owner=email_owner)
        assert decision == Refuse("disabled", "this user is disabled")


EIGHT_WAYS = [
    # verified by the provider, provider trusted, verified here: what it leads to
    (True, True, True, Link(ADA_VERIFIED, "verified_email")),
    (True, True, False, "the user who has the address never verified it here"),
    (True, False, True, "github is not trusted to vouch for addresses (trust_email)"),
    (True, False, False, "github is not trusted to vouch for addresses (trust_email)"),
    (False, True, True, "github did not verify the address"),
    (False, True, False, "github did not verify the address"),
    (False, False, True, "github is not trusted to vouch for addresses (trust_email)"),
    (False, False, False, "github is not trusted to vouch for addresses (trust_email)"),
]


@pytest.mark.parametrize(("verified", "trusted", "verified_here", "expected"), EIGHT_WAYS)
def test_an_address_links_only_with_all_three_proofs(
    verified: bool, trusted: bool, verified_here: bool, expected: Decision | str
) -> None:
    email_owner = ADA_VERIFIED if verified_here else ADA
    decision = settle(verified=verified, trusted=trusted, email_owner=email_owner)
    if isinstance(expected, str):
        expected = Refuse("email_taken", expected, methods=("google", "credentials"))
    assert decision == expected


@pytest.mark.parametrize(("verified", "trusted"), list(product([True, False], repeat=2)))
def test_a_free_address_or_none_makes_a_user(verified: bool, trusted: bool) -> None:
    assert settle(verified=verified, trusted=trusted) == Create()
    assert settle(verified=verified, trusted=trusted, email=None) == Create()


def test_no_address_links_to_nobody() -> None:
    assert settle(verified=True, trusted=True, email=None, email_owner=ADA_VERIFIED) == Create()


def test_a_disabled_user_is_told_so_only_with_proof_of_the_address() -> None:
    assert settle(verified=True, trusted=True, email_owner=ADA_DISABLED) == Refuse("disabled", "this user is disabled")
    unproven = settle(verified=False, trusted=True, email_owner=ADA_DISABLED)
    assert isinstance(unproven, Refuse)
    assert unproven.step == "email_taken"


@pytest.mark.parametrize("untrue", ["true", "false", 1, [True]])
def test_only_the_boolean_true_verifies(untrue: object) -> None:
    profile = Profile(id="7", email="ada@example.com", email_verified=untrue)  # type: ignore[arg-type]
    decision = decide(
        profile=profile,
        provider_id="github",
        trust_email=True,
        owner=None,
        signed_in=None,
        email_owner=ADA_VERIFIED,
        email_owner_accounts=ADAS_ACCOUNTS,
    )
    assert isinstance(decision, Refuse)
