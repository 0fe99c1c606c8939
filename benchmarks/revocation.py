"""What it costs to know what ended: looking it up, keeping it, and hearing of it from another process.

`python -m benchmarks revocation`. Four processes on one PostgreSQL, one Valkey and one SQLite file, on this machine.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
import tracemalloc
import uuid
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sojourn import Claims
from sojourn.claims import ClaimsCodec
from sojourn.keys import Keyring
from sojourn.models import Lifetimes
from sojourn.policy.revocation import EndedSessions
from sojourn.ports import Revocation, system_clock
from sojourn.strategies import JWTStrategy
from sojourn.tokens import NextAuthV4

SIZES: Final = (100_000, 1_000_000)
PROBES: Final = 20_000
ROUNDS: Final = 100
DAY: Final = 86_400

Lookup = Callable[[str], bool]


def ended(sids: Sequence[str]) -> Lookup:
    """The form in use."""
    kept, now = EndedSessions(), system_clock()
    for number, sid in enumerate(sids):
        kept.end(Revocation(kind="session", subject=sid, at=now, forget_after=now + number % DAY))
    return lambda sid: kept.is_ended(sid, "somebody", now)


def a_set(sids: Sequence[str]) -> Lookup:
    return set(map(str, sids)).__contains__


def a_dict(sids: Sequence[str]) -> Lookup:
    return dict.fromkeys(sids, 1_700_000_000).__contains__


def packed(sids: Sequence[str]) -> Lookup:
    """64 bits of each in a flat table, half full at most, probed one after the other."""
    slots = 1 << (2 * len(sids) - 1).bit_length()
    mask, table = slots - 1, array("q", bytes(8 * slots))
    for sid in sids:
        mark = hash(sid) or 1
        place = mark & mask
        while table[place]:
            place = (place + 1) & mask
        table[place] = mark

    def is_there(sid: str) -> bool:
        mark = hash(sid) or 1
        place = mark & mask
        while (found := table[place]) != mark:
            if not found:
                return False
            place = (place + 1) & mask
        return True

    return is_there


FORMS: Final[dict[str, Callable[[Sequence[str]], Lookup]]] = {
    "`EndedSessions`, with what forgetting needs": ended,
    "a dict, id to time": a_dict,
    "a set of ids": a_set,
    "a packed table of 64-bit marks": packed,
}


def lookups() -> list[str]:
    lines = []
    for size in SIZES:
        for name, form in FORMS.items():
            gc.collect()
            tracemalloc.start()
            sids = [uuid.uuid4().hex for _ in range(size)]
            # Ids that only this form holds are its own to pay for.
            probes = [sids[number].encode() for number in range(0, size, size // PROBES)]
            lookup = form(sids)
            del sids
            gc.collect()
            held = tracemalloc.get_traced_memory()[0] / size
            tracemalloc.stop()
            hits = [probe.decode() for probe in probes]
            misses = [uuid.uuid4().hex for _ in range(len(hits))]
            began = time.perf_counter()
            gc.collect()
            collecting = (time.perf_counter() - began) * 1e3
            lines.append(
                f"| {name} | {size:,} | {_each(lookup, hits):.0f} | {_each(lookup, misses):.0f} "
                f"| {held:.0f} | {collecting:.0f} |"
            )
    return lines


def _each(lookup: Lookup, sids: Sequence[str]) -> float:
    """Nanoseconds for one, each id seen for the first time, as one in a cookie is."""
    began = time.perf_counter()
    for sid in sids:
        lookup(sid)
    spent = time.perf_counter() - began
    began = time.perf_counter()
    for _ in sids:
        pass
    return (spent - (time.perf_counter() - began)) / len(sids) * 1e9


def checks() -> list[str]:
    """A check of a token with 100,000 endings, beside the same check that does not ask for endings."""
    keyring = Keyring(["cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g"])
    kept, now = EndedSessions(), system_clock()
    for _ in range(SIZES[0]):
        kept.end(Revocation(kind="session", subject=uuid.uuid4().hex, at=now, forget_after=now + DAY))
    strategy = JWTStrategy(
        token_format=NextAuthV4(keyring),
        codec=ClaimsCodec(Claims),
        lifetimes=Lifetimes(max_age=43_200, update_age=3_600, grace_period=900, absolute_age=2_592_000, leeway=15),
        ended=kept,
        clock=system_clock,
        budget=10_000,
    )
    token = strategy.issue(Claims(sub="ada", name="Ada", email="ada@example.com")).token
    kept.trusted_until = now + DAY

    def without(forget: bool) -> Any:
        if forget:
            strategy._seen.clear()
        moment = system_clock()
        session = strategy._seen.get(token) or strategy._open_new(token, moment)
        return session if moment < session.expires_at else None

    def with_endings(forget: bool) -> Any:
        if forget:
            strategy._seen.clear()
        return strategy.verify(token)

    lines = []
    for name, forget in (("a token that is opened", True), ("a token seen before", False)):
        spent: dict[Any, list[float]] = {with_endings: [], without: []}
        for _ in range(41):
            for call, times in spent.items():
                began = time.perf_counter()
                for _ in range(2000):
                    call(forget)
                times.append((time.perf_counter() - began) / 2000 * 1e6)
        on, off = (statistics.median(times) for times in spent.values())
        verdict = "" if not forget else "met" if on <= 1.15 * off else "NOT met"
        lines.append(f"| {name} | {on:.2f} | {off:.2f} | {on / off:.2f} | {verdict} |")
    return lines


async def travels() -> list[str]:
    """From the sign-out's answer until the last of four processes refuses the copy."""
    from tests.faults.several import rounds, several
    from tests.servers.postgres import a_server as a_postgres
    from tests.servers.valkey import own_server

    lines = []

    async def measured(name: str, database: str, redis: str = "-") -> None:
        async with several(4, database, redis) as members:
            await rounds(8, members)
            spent = sorted(seconds * 1e3 for seconds in await rounds(ROUNDS, members))
        p50, p99 = statistics.median(spent), spent[int(len(spent) * 0.99) - 1]
        verdict = "met" if spent[-1] <= 100 else "NOT met"
        lines.append(f"| {name} | {p50:.1f} | {p99:.1f} | {spent[-1]:.1f} | {verdict} |")

    with a_postgres() as postgres:
        for name, scheme in (("PostgreSQL, asyncpg", "postgresql"), ("PostgreSQL, psycopg", "postgresql+psycopg")):
            database = await asyncio.to_thread(postgres.make_database)
            await measured(name, postgres.url(database).replace("postgresql", scheme, 1))
    with own_server() as valkey:
        await measured("Valkey", "-", valkey.url)
    with tempfile.TemporaryDirectory() as folder:
        await measured("SQLite", f"sqlite:///{Path(folder) / 'sojourn.db'}")
    return lines


def main() -> str:
    """The section on endings, in Markdown."""
    return "\n".join(
        [
            "## Endings",
            "",
            f"Milliseconds from a sign-out's answer until three other processes refuse the copy; {ROUNDS} sign-outs.",
            "",
            "| log | p50 | p99 | longest | budget |",
            "|---|--:|--:|--:|---|",
            *asyncio.run(travels()),
            "",
            "A check of a token in a process that knows 100,000 endings, µs; budget 1.15 where the token is opened.",
            "",
            "| check | with endings | without | ratio | budget |",
            "|---|--:|--:|--:|---|",
            *checks(),
            "",
            "Whether a session ended, by the form that is kept; ns for an id that is new, ms for a collection.",
            "",
            "| form | entries | hit | miss | B an entry | collector |",
            "|---|--:|--:|--:|--:|--:|",
            *lookups(),
        ]
    )


if __name__ == "__main__":
    print(main())
