"""Connections are opened once for all who ask, and a server that is away holds up nobody for long."""

import asyncio

import pytest

from server.bus import BusUnavailable
from server.bus import redis_connections as connections
from server.bus.redis_connection import RedisConnection
from server.bus.redis_connections import Lane, RedisConnections
from server.bus.redis_url import Address
from tests.support.polling import PATIENCE_S, poll

HERE = Address("127.0.0.1", 1)


class Door:
    """What opens connections, when the test says."""

    def __init__(self) -> None:
        self.attempts = 0
        self.was_tried = asyncio.Event()
        self.answers = asyncio.Event()
        self.error: BusUnavailable | None = BusUnavailable("away")

    async def connect(self, address: Address, lane: Lane) -> RedisConnection:
        self.attempts += 1
        self.was_tried.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return Open(lambda push: None, lambda: None, 1.0)


class Open(RedisConnection):
    """A connection that stays."""

    is_open = True


async def fails(opening: RedisConnections) -> bool:
    try:
        await opening.get(HERE, Lane.ASK)
    except BusUnavailable:
        return True
    return False


async def test_all_who_wait_share_one_attempt() -> None:
    """With a silent server a hundred documents waited for 5 s, 10 s … 500 s."""
    door = Door()
    opening = RedisConnections(door.connect)
    waiting = [asyncio.create_task(fails(opening)) for _ in range(100)]
    await asyncio.sleep(0)
    door.answers.set()
    assert await asyncio.gather(*waiting) == [True] * 100
    assert door.attempts == 1


async def test_a_failure_is_remembered_for_a_moment_that_took_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REMEMBERED_S", 60.0)
    door = Door()
    opening = RedisConnections(door.connect)
    waiting = asyncio.create_task(fails(opening))
    await asyncio.sleep(1.0)
    door.answers.set()
    assert await waiting
    assert [await fails(opening) for _ in range(10)] == [True] * 10
    assert door.attempts == 1


async def test_a_server_that_refused_is_tried_again_at_once() -> None:
    door = Door()
    door.answers.set()
    opening = RedisConnections(door.connect)
    assert await fails(opening)
    door.error = None

    async def is_open() -> bool:
        return not await fails(opening)

    await poll(is_open, PATIENCE_S, "the connection is open")
    assert door.attempts == 2


async def test_nobody_waits_long_for_a_server_that_was_away_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REMEMBERED_S", 0.0)
    monkeypatch.setattr(connections, "PATIENCE_S", 0.0)
    door = Door()
    door.answers.set()
    opening = RedisConnections(door.connect)
    assert await fails(opening)
    door.answers.clear()
    assert await fails(opening)
    door.error = None
    door.answers.set()
    await asyncio.sleep(0)
    assert not await fails(opening)
    assert door.attempts == 2


async def test_who_gives_up_ends_no_attempt_of_the_others() -> None:
    door = Door()
    door.error = None
    opening = RedisConnections(door.connect)
    first, second = (asyncio.create_task(opening.get(HERE, Lane.ASK)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    door.answers.set()
    assert (await second).is_open
    assert door.attempts == 1


async def test_closing_ends_what_is_being_opened() -> None:
    door = Door()
    opening = RedisConnections(door.connect)
    waiting = asyncio.create_task(fails(opening))
    await door.was_tried.wait()
    opening.close()
    opening.close()
    assert await waiting
    assert await fails(opening)
    assert door.attempts == 1
