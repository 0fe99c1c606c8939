"""What it costs to know what ended: looking it up, keeping it, and hearing of it from another process.

`python -m benchmarks revocation`. Four processes on one PostgreSQL, one Valkey and one SQLite file, on this machine.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import resource
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
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


def sid(number: int) -> str:
    """The same for the same number, and as good as random."""
    return f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def ended(size: int) -> Lookup:
    """The form in use."""
    kept, now = EndedSessions(), system_clock()
    for number in range(size):
        kept.end(Revocation(kind="session", subject=sid(number), at=now, forget_after=now + number % DAY))
    return lambda asked: kept.is_ended(asked, "somebody", now)


def a_set(size: int) -> Lookup:
    return {sid(number) for number in range(size)}.__contains__


def a_dict(size: int) -> Lookup:
    now = system_clock()
    return {sid(number): now + number % DAY for number in range(size)}.__contains__


def packed(size: int) -> Lookup:
    """64 bits of each in a flat table, half full at most, probed one after the other."""
    slots = 1 << (2 * size - 1).bit_length()
    mask, table = slots - 1, array("q", bytes(8 * slots))
    for number in range(size):
        mark = hash(sid(number)) or 1
        place = mark & mask
        while table[place]:
            place = (place + 1) & mask
        table[place] = mark

    def is_there(asked: str) -> bool:
        mark = hash(asked) or 1
        place = mark & mask
        while (found := table[place]) != mark:
            if not found:
                return False
            place = (place + 1) & mask
        return True

    return is_there


FORMS: Final[dict[str, Callable[[int], Lookup]]] = {
    "`EndedSessions`, with what forgetting needs": ended,
    "a dict, id to time": a_dict,
    "a set of ids": a_set,
    "a packed table of 64-bit marks": packed,
}


def lookups() -> list[str]:
    """Each in a process of its own, which holds nothing else."""
    lines = []
    context = multiprocessing.get_context("spawn")
    for size in SIZES:
        for name in FORMS:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                hit, miss, held, collecting = pool.submit(one_form, name, size).result()
            lines.append(f"| {name} | {size:,} | {hit:.0f} | {miss:.0f} | {held:.0f} | {collecting:.0f} |")
    return lines


def one_form(name: str, size: int) -> tuple[float, float, float, float]:
    """ns for a hit and a miss, bytes an entry, ms for a collection."""
    before = _resident()
    lookup = FORMS[name](size)
    held = (_resident() - before) / size
    hit = _each(lookup, range(0, size, size // PROBES))
    miss = _each(lookup, range(2 * size, 3 * size, size // PROBES))
    began = time.perf_counter()
    gc.collect()
    return hit, miss, held, (time.perf_counter() - began) * 1e3


def _each(lookup: Lookup, numbers: Iterable[int]) -> float:
    """Nanoseconds for one, each id seen for the first time, as one in a cookie is."""
    sids = [sid(number) for number in numbers]
    began = time.perf_counter()
    for asked in sids:
        lookup(asked)
    spent = time.perf_counter() - began
    began = time.perf_counter()
    for _ in sids:
        pass
    return (spent - (time.perf_counter() - began)) / len(sids) * 1e9


def _resident() -> int:
    """Bytes of memory that this process takes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def checks() -> list[str]:
    """A check of a token with 100,000 endings, beside the same check that does not ask for endings."""
    keyring = Keyring(["cFwy3aTq9d0Jb1mX5sLr7Zk2hVn8Ue4g"])
    kept, now = EndedSessions(), system_clock()
    for number in range(SIZES[0]):
        kept.end(Revocation(kind="session", subject=sid(number), at=now, forget_after=now + DAY))
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
