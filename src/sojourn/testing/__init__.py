"""What tests of applications and of stores need; importing it needs no test runner."""

from sojourn.testing.clock import DrivenClock
from sojourn.testing.logs import OnceStoreContract, RevocationLogContract
from sojourn.testing.sessions import AddUser, CounterStoreContract, SessionStoreContract
from sojourn.testing.stores import Rows, UserStoreContract

__all__ = [
    "AddUser",
    "CounterStoreContract",
    "DrivenClock",
    "OnceStoreContract",
    "RevocationLogContract",
    "Rows",
    "SessionStoreContract",
    "UserStoreContract",
]
