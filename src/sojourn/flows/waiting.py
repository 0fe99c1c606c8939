"""Waiting a little, so that those who lost a race do not meet again."""

from __future__ import annotations

__all__ = ["a_moment"]


async def a_moment() -> None:
    """At most 20 ms, never the same for two."""
    # Who only checks tokens never waits, and these two cost as much to import as all of Sojourn.
    from asyncio import sleep
    from random import uniform

    await sleep(uniform(0, 0.02))  # noqa: S311 -- no secret
