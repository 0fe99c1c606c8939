"""The log of endings: read whole in pages, never growing past what is needed, its positions never given out twice."""

from __future__ import annotations

import pytest

from sojourn.ports import Revocation
from sojourn.stores import redis_log
from sojourn.stores.redis import RedisServer
from sojourn.testing import DrivenClock
from tests.servers.valkey import OwnValkey
from tests.stores.own_valkey import clock, server, valkey

__all__ = ["clock", "server", "valkey"]


def an_ending(clock: DrivenClock, subject: str, lives: int = 900) -> Revocation:
    return Revocation(kind="user", subject=subject, at=clock(), forget_after=clock() + lives)


async def test_everything_is_read_page_by_page(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_log, "_PAGE", 3)
    for count in range(1, 10):
        await server.revocations.append(an_ending(clock, str(count)))
        position, entries = await server.revocations.read()
        assert [entry.subject for entry in entries] == [str(number) for number in range(1, count + 1)]
        assert await server.revocations.read(position) == (position, [])
    calls = valkey.ask("INFO", "commandstats").decode().partition("cmdstat_xrange:calls=")[2].partition(",")[0]
    assert int(calls) == sum(count // 3 + 1 + 1 for count in range(1, 10))


async def test_the_first_to_be_forgotten_go_first_whatever_came_before(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    for number in range(50):
        await server.revocations.append(an_ending(clock, f"long-{number}", 10_000))
    for number in range(50):
        await server.revocations.append(an_ending(clock, f"short-{number}", 10))
    clock.advance(11)
    for number in range(13):
        await server.revocations.append(an_ending(clock, f"new-{number}"))
    _, entries = await server.revocations.read()
    assert not [entry for entry in entries if entry.subject.startswith("short")]
    assert len(entries) == 63
    assert valkey.ask("XLEN", "sojourn:{log}:entries") == valkey.ask("ZCARD", "sojourn:{log}:forget") == 63


async def test_positions_go_on_when_the_servers_clock_was_ahead(
    valkey: OwnValkey, server: RedisServer, clock: DrivenClock
) -> None:
    ahead = 1 << 52
    valkey.ask("SET", "sojourn:{log}:position", ahead)
    for subject in "ab":
        await server.revocations.append(an_ending(clock, subject))
    position, entries = await server.revocations.read(ahead)
    assert [entry.subject for entry in entries] == ["a", "b"]
    assert position == ahead + 2


@pytest.mark.parametrize("subject", ["", "é☃", "\0\r\n", "\ud800", "{x}"])
async def test_any_text_is_a_subject(server: RedisServer, clock: DrivenClock, subject: str) -> None:
    await server.revocations.append(an_ending(clock, subject))
    _, [entry] = await server.revocations.read()
    assert entry == an_ending(clock, subject)
