"""What tests of applications and of stores need; importing it needs no test runner."""

from sojourn.testing.clock import DrivenClock
from sojourn.testing.logs import OnceStoreContract, RevocationLogContract
from sojourn.testing.schedules import Explored, explore, replay
from sojourn.testing.sessions import AddUser, CounterStoreContract, SessionStoreContract
from sojourn.testing.stage import Make, ScheduleError, Stage, Trial, Violation
from sojourn.testing.stores import Rows, UserStoreContract

__all__ = [
    "AddUser",
    "CounterStoreContract",
    "DrivenClock",
    "Explored",
    "Make",
    "OnceStoreContract",
    "RevocationLogContract",
    "Rows",
    "ScheduleError",
    "SessionStoreContract",
    "Stage",
    "Trial",
    "UserStoreContract",
    "Violation",
    "explore",
    "replay",
]
