"""Where a session lives: in its token (`jwt`), or as a record in a store (`database`)."""

from sojourn.strategies.base import Arrival, Issued, SessionName, Strategy
from sojourn.strategies.jwt import JWTStrategy

__all__ = ["Arrival", "Issued", "JWTStrategy", "SessionName", "Strategy"]
