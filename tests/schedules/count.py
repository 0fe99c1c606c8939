"""How many schedules of sign-out bring a session back: `python -m tests.schedules.count [--only WORD] [--effort 1.0]`.

Plays sign-out with each other request, and with each two of them, at every place and every age of the session. What is
printed are different schedules; the first revival ends the count with its schedule.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from sojourn.stores.postgres import PostgresDatabase
from sojourn.testing import Violation, explore
from tests.schedules.races import AGES, PAIRS, PLACES, TRIPLES, Ground, Place, race_of
from tests.servers.postgres import a_server as a_postgres
from tests.servers.valkey import a_server as a_valkey

# Of each pair: at most so many depth first, and if there are more, so many drawn. Of each triple: so many drawn.
EFFORT = {"memory": (1500, 500, 300), "sqlite": (200, 50, 40), "postgresql": (0, 60, 20), "none": (0, 60, 20)}


async def count(place: Place, urls: dict[str, str], effort: float) -> tuple[int, int]:
    """Schedules, and how many races were played in every order there is."""
    depth, drawn, triples = (int(number * effort) for number in EFFORT[place.database])
    ground = Ground(place, urls)
    schedules = whole = 0
    try:
        for age in AGES:
            for names in PAIRS + TRIPLES:
                pair = len(names) == 1
                explored = await explore(
                    race_of(ground, names, age), schedules=depth if pair else 0, samples=drawn if pair else triples
                )
                schedules += explored.schedules
                whole += explored.exhaustive
    finally:
        await ground.aclose()
    return schedules, whole


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--effort", type=float, default=1.0)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    places = [place for place in PLACES if asked.only in place.name]
    total = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        urls = {"memory": "memory:", "sqlite": f"sqlite:///{folder / 'sojourn.db'}"}
        if any(place.database == "postgresql" for place in places):
            server = stack.enter_context(a_postgres())
            urls["postgresql"] = server.url(server.make_database())
            asyncio.run(PostgresDatabase(urls["postgresql"]).connect())
        if any(place.redis is not None for place in places):
            urls["redis"] = stack.enter_context(a_valkey())
        for place in places:
            began = time.perf_counter()
            try:
                schedules, whole = asyncio.run(count(place, urls, asked.effort))
            except Violation as found:
                print(f"{place.name}: {found}")
                return 1
            total += schedules
            took = time.perf_counter() - began
            print(f"{place.name}: {schedules} schedules, {whole} races whole, 0 revivals, {took:.0f} s", flush=True)
    print(f"{total} schedules, 0 revivals")
    return 0


if __name__ == "__main__":
    sys.exit(main())
