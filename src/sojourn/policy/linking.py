"""Whose session a proven profile opens: sign in, link, create, or refuse and say which way in to use instead.

An address alone is a claim, not a proof: it links only if the provider verified it and is trusted to, and if the local
user proved it too. Otherwise whoever registers a foreign address anywhere would own its user here (ASVS 6.8.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sojourn.models import Account, Profile, User

__all__ = ["Create", "Decision", "Link", "Refuse", "SignIn", "decide"]


class SignIn(msgspec.Struct, frozen=True):
    """The account is known and this is its owner."""

    user: User


class Link(msgspec.Struct, frozen=True):
    """Add the account to this user. `reason`: `signed_in` or `verified_email`."""

    user: User
    reason: str


class Create(msgspec.Struct, frozen=True):
    """Nobody yet: make the user and the account."""


class Refuse(msgspec.Struct, frozen=True):
    """No session. `step`: `account_of_other_user`, `email_taken` or `disabled`.

    `methods` are the ids of the providers by which the address's user can sign in, and link from there.
    """

    step: str
    detail: str
    methods: tuple[str, ...] = ()


Decision = SignIn | Link | Create | Refuse


def decide(
    *,
    profile: Profile,
    provider_id: str,
    trust_email: bool,
    owner: User | None,
    signed_in: User | None,
    email_owner: User | None,
    email_owner_accounts: Sequence[Account],
) -> Decision:
    """What a proven profile leads to.

    `owner` has the profile's account, `signed_in` is who the browser's session belongs to, `email_owner` has the
    profile's normalised address, and `email_owner_accounts` are all their ways in.
    """
    if owner is not None:
        if signed_in is not None and signed_in.id != owner.id:
            return Refuse("account_of_other_user", f"this {provider_id} account belongs to another user")
        return _unless_disabled(owner, SignIn(owner))
    if signed_in is not None:
        return _unless_disabled(signed_in, Link(signed_in, "signed_in"))
    if profile.email is None or email_owner is None:
        return Create()
    doubt = _doubt(profile, provider_id, trust_email, email_owner)
    if doubt is not None:
        methods = tuple(dict.fromkeys(account.provider for account in email_owner_accounts))
        return Refuse("email_taken", doubt, methods)
    return _unless_disabled(email_owner, Link(email_owner, "verified_email"))


def _unless_disabled(user: User, decision: Decision) -> Decision:
    return decision if user.disabled_at is None else Refuse("disabled", "this user is disabled")


def _doubt(profile: Profile, provider_id: str, trust_email: bool, email_owner: User) -> str | None:
    """Why the address does not prove that the two are one person, or None if it does."""
    if not trust_email:
        return f"{provider_id} is not trusted to vouch for addresses (trust_email)"
    # A boolean and nothing that only looks true: "false" is a true text (OIDC Core 5.1).
    if profile.email_verified is not True:
        return f"{provider_id} did not verify the address"
    if email_owner.email_verified_at is None:
        return "the user who has the address never verified it here"
    return None
