"""Session management for Python web applications: sign in anywhere, check without I/O, end everywhere."""

from __future__ import annotations

from sojourn.auth import Auth
from sojourn.callbacks import Callbacks, ClaimsChange, SignInAttempt
from sojourn.config import AuthConfig
from sojourn.errors import ClaimsTooLarge, ConfigError, SojournError, StoreUnavailable, TokenError
from sojourn.events import Event
from sojourn.flows.loaded import Loaded
from sojourn.models import Account, Claims, Device, Profile, Session, User
from sojourn.settings import Pages, RateLimit, SessionPolicy

__all__ = [
    "Account",
    "Auth",
    "AuthConfig",
    "Callbacks",
    "Claims",
    "ClaimsChange",
    "ClaimsTooLarge",
    "ConfigError",
    "Device",
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
