"""Which server has which slot is found out beside the requests; they wait for their own server alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from server.bus import BusUnavailable
from server.bus import redis_servers as servers_module
from server.bus.redis_connection import Command, RedisConnection, Reply
from server.bus.redis_connections import Lane
from server.bus.redis_keys import SLOTS
from server.bus.redis_servers import RedisServers
from server.bus.redis_url import Address, RedisUrl
from tests.support.polling import PATIENCE_S

SILENT, HEALTHY = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
SILENT_SLOT, HEALTHY_SLOT = 0, SLOTS - 1
URL = RedisUrl.parse(f"redis://{SILENT}")


class Wire(RedisConnection):
    """A connection to one of two masters; the first one may fall silent."""

    address: Address
    is_open = True
    is_silent = False
    asked_for_slots = 0

    @classmethod
    async def open(cls, address: Address, url: RedisUrl, **_: object) -> "Wire":
        wire = cls(lambda push: None, lambda: None, 1.0)
        wire.address = address
        wire.server = {b"version": b"7.0.0", b"mode": b"cluster"}
        return wire

    async def request(self, commands: Sequence[Command]) -> list[Reply]:
        if commands[0][0] == "CLUSTER":
            Wire.asked_for_slots += 1
            if self.address == SILENT and Wire.is_silent:
                await asyncio.Event().wait()
            half = SLOTS // 2
            return [[[0, half - 1, [b"127.0.0.1", 1]], [half, SLOTS - 1, [b"127.0.0.1", 2]]]]
        if self.address == SILENT and Wire.is_silent:
            raise BusUnavailable("away")
        return [b"done"] * len(commands)


@pytest.fixture
async def servers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisServers]:
    """Two masters of which one has fallen silent."""
    monkeypatch.setattr(servers_module, "RedisConnection", Wire)
    monkeypatch.setattr(Wire, "is_silent", False)
    monkeypatch.setattr(Wire, "asked_for_slots", 0)
    servers = RedisServers(URL, timeout_s=1.0)
    await servers.start()
    await servers.ask(Lane.READ, HEALTHY_SLOT, ("GET", "a"))
    Wire.is_silent = True
    yield servers
    servers.close()


async def fail(servers: RedisServers) -> None:
    with pytest.raises(BusUnavailable):
        await servers.ask(Lane.READ, SILENT_SLOT, ("GET", "a"))


async def test_a_silent_master_holds_up_no_request_for_another(servers: RedisServers) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(20):
            await fail(servers)
            assert await servers.ask(Lane.READ, HEALTHY_SLOT, ("GET", "a")) == [b"done"]


@pytest.mark.parametrize(("interval_s", "expected"), [(60.0, 1), (0.0, 20)])
async def test_masters_are_asked_for_one_at_a_time_and_not_too_often(
    servers: RedisServers, monkeypatch: pytest.MonkeyPatch, interval_s: float, expected: int
) -> None:
    monkeypatch.setattr(servers_module, "LEARN_INTERVAL_S", interval_s)
    known = Wire.asked_for_slots
    for _ in range(20):
        await asyncio.gather(*(fail(servers) for _ in range(10)))
        await turns(lambda: Wire.asked_for_slots > known)
    assert Wire.asked_for_slots - known == expected


async def turns(condition: Callable[[], bool]) -> None:
    """Let everything go on that can, ``condition`` at least."""
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(100):
            await asyncio.sleep(0)
        assert condition()
