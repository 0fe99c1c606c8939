"""Session management for Python web applications: sign in anywhere, check without I/O, end everywhere."""

from __future__ import annotations

from sojourn.auth import Auth
from sojourn.callbacks import Callbacks, ClaimsChange, SignInAttempt
from sojourn.config import AuthConfig, Pages, RateLimit, SessionPolicy
from sojourn.errors import ClaimsTooLarge, ConfigError, SojournError, StoreUnavailable, TokenError
from sojourn.events import Event
from sojourn.flows.session import Loaded
from sojourn.models import Account, Claims, Profile, Session, User

__all__ = [
    "Account",
    "Auth",
    "AuthConfig",
    "Callbacks",
    "Claims",
    "ClaimsChange",
    "ClaimsTooLarge",
    "ConfigError",
    "Event",
    "Loaded",
    "Pages",
    "Profile",
    "RateLimit",
    "Session",
    "SessionPolicy",
    "SignInAttempt",
    "SojournError",
    "StoreUnavailable",
    "TokenError",
    "User",
]
