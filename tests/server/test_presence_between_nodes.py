"""When a node tells the others of its presence, and how often."""

import asyncio

import pytest

from crdt.awareness_entries import encode_entries, read_entries
from server.bus import BusUnavailable
from server.bus.memory import MemoryBus, MemoryStreams
from tests.server.parts import awareness, running_parts
from tests.server.support import until

LIMIT_S = 10.0


def here(client: int, clock: int = 1) -> bytes:
    return encode_entries([(client, clock, b'{"name":"Ann"}')])


class ShardedBus(MemoryBus):
    """A bus of which some documents are on a server that is silent."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams, node="one")
        self.silent: set[str] = set()
        self.speaks = asyncio.Event()
        self.published: list[tuple[str, bytes]] = []

    async def publish_presence(self, document: str, update: bytes, everybody: bytes) -> None:
        """Wait until the server speaks, and note what was published."""
        if document in self.silent:
            await self.speaks.wait()
            raise BusUnavailable("silent")
        await super().publish_presence(document, update, everybody)
        self.published.append((document, update))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait long for another attempt."""
    monkeypatch.setattr("server.publisher.RETRY_S", 0.01)


async def test_A8_rooms_on_a_silent_shard_hold_up_no_others() -> None:
    bus = ShardedBus(MemoryStreams())
    bus.silent = {f"silent {number}" for number in range(10)}
    async with running_parts(bus=bus) as parts:
        for document in [*sorted(bus.silent), "healthy"]:
            connection, _ = await parts.join(document)
            connection.message_received(awareness(here(1)))
        await until(lambda: bus.published == [("healthy", here(1))], "published", LIMIT_S)
        bus.silent.clear()
        bus.speaks.set()
        await until(lambda: len(bus.published) == 11, "the others, later", LIMIT_S)


async def test_the_presence_of_one_room_is_published_in_order() -> None:
    bus = ShardedBus(MemoryStreams())
    bus.silent = {"d"}
    async with running_parts(bus=bus) as parts:
        connection, _ = await parts.join("d")
        for clock in range(1, 20):
            connection.message_received(awareness(here(1, clock)))
            await asyncio.sleep(0)
        bus.silent.clear()
        bus.speaks.set()
        for clock in range(20, 40):
            connection.message_received(awareness(here(1, clock)))
            await asyncio.sleep(0)
        await until(lambda: bus.published and bus.published[-1] == ("d", here(1, 39)), "the latest", LIMIT_S)
        clocks = [read_entries(update, is_relayed=True)[1][0] for _, update in bus.published]
        assert clocks == sorted(clocks)
