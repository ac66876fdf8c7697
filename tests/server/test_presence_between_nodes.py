"""When a node tells the others of its presence, and how often."""

import asyncio

import pytest

from crdt.awareness_entries import encode_entries, read_entries
from server.bus import BusUnavailable
from server.bus.memory import MemoryBus, MemoryStreams
from server.cluster import LEASE_S, SIGN_S
from tests.server.parts import awareness, running_parts
from tests.server.support import until
from tests.support.bus_ear import Ear


def here(*clients: tuple[int, int]) -> bytes:
    return encode_entries([(client, clock, b'{"name":"Ann"}') for client, clock in clients])


class ShardedBus(MemoryBus):
    """A bus of which some documents are on a server that is silent."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams, node="one")
        self.silent: set[str] = set()
        self.speaks = asyncio.Event()
        self.published: list[tuple[str, bytes]] = []
        self.kept: list[bytes] = []

    async def publishes(self, update: bytes) -> None:
        """Wait for an update."""
        await until(lambda: update in [each for _, each in self.published], "published")

    async def publish_presence(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Wait until the server speaks, and note what was published."""
        if document in self.silent:
            await self.speaks.wait()
            raise BusUnavailable("silent")
        await super().publish_presence(document, update, everybody)
        self.published.append((document, update))
        if everybody is not None:
            self.kept.append(everybody)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait long for another attempt."""
    monkeypatch.setattr("server.publisher.RETRY_S", 0.01)


def test_B8_who_was_on_a_dead_node_is_gone_within_ten_seconds() -> None:
    """Its lease ends, and the others look between two signs of their own."""
    assert LEASE_S + 2 * SIGN_S < 10


async def test_A8_rooms_on_a_silent_shard_hold_up_no_others() -> None:
    bus = ShardedBus(MemoryStreams())
    bus.silent = {f"silent {number}" for number in range(10)}
    async with running_parts(bus=bus) as parts:
        for document in [*sorted(bus.silent), "healthy"]:
            connection, _ = await parts.join(document)
            connection.message_received(awareness(here((1, 1))))
        await until(lambda: bus.published == [("healthy", here((1, 1)))], "published")
        bus.silent.clear()
        bus.speaks.set()
        await until(lambda: len(bus.published) == 11, "the others, later")


async def test_the_presence_of_one_room_is_published_in_order() -> None:
    bus = ShardedBus(MemoryStreams())
    bus.silent = {"d"}
    async with running_parts(bus=bus) as parts:
        connection, _ = await parts.join("d")
        for clock in range(1, 20):
            connection.message_received(awareness(here((1, clock))))
            await asyncio.sleep(0)
        bus.silent.clear()
        bus.speaks.set()
        for clock in range(20, 40):
            connection.message_received(awareness(here((1, clock))))
            await asyncio.sleep(0)
        await until(lambda: bus.published and bus.published[-1] == ("d", here((1, 39))), "the latest")
        clocks = [read_entries(update, is_relayed=True)[0][0][1] for _, update in bus.published]
        assert clocks == sorted(clocks)


async def test_R5_a_room_is_published_as_often_as_members_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.publisher.PRESENCE_INTERVAL_S", 0.2)
    bus = ShardedBus(MemoryStreams())
    async with running_parts(bus=bus) as parts:
        ann, _ = await parts.join("d")
        loop = asyncio.get_running_loop()
        started, clock = loop.time(), 0
        while len(bus.published) < 4:
            clock += 1
            ann.message_received(awareness(here((1, clock))))
            await asyncio.sleep(0.001)
        assert loop.time() - started >= 3 * 0.2
        assert bus.published[0] == ("d", here((1, 1)))


async def test_who_comes_or_leaves_is_kept_for_joiners_at_once_and_who_moves_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.presence.KEEP_INTERVAL_S", 60.0)
    monkeypatch.setattr("server.publisher.PRESENCE_INTERVAL_S", 0.0)
    bus = ShardedBus(MemoryStreams())
    async with running_parts(bus=bus) as parts:
        ann, _ = await parts.join("d")
        for clock in range(1, 10):
            ann.message_received(awareness(here((1, clock))))
            await bus.publishes(here((1, clock)))
        assert bus.kept == [here((1, 1))]
        ben, _ = await parts.join("d")
        ben.message_received(awareness(here((2, 1))))
        await until(lambda: bus.kept[1:] == [here((1, 9), (2, 1))], "who came")
        parts.leave(ben)
        await until(lambda: bus.kept[2:] == [here((1, 9))], "who left")


async def test_who_moved_is_kept_for_joiners_in_time_and_told_to_those_who_joined_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.presence.KEEP_INTERVAL_S", 0.3)
    monkeypatch.setattr("server.publisher.PRESENCE_INTERVAL_S", 0.0)
    streams = MemoryStreams()
    bus, other = ShardedBus(streams), MemoryBus(streams, node="two")
    async with running_parts(bus=bus) as parts:
        ann, _ = await parts.join("d")
        for clock in (1, 2):
            ann.message_received(awareness(here((1, clock))))
            await bus.publishes(here((1, clock)))
        ear = Ear()
        await other.listen("d", ear)
        await ear.hears(here((1, 2)))
        assert await other.presence("d") == {"one": here((1, 2))}


async def test_A11_who_has_moved_to_another_node_is_not_told_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A live state would take the client back."""
    monkeypatch.setattr("server.presence.KEEP_INTERVAL_S", 60.0)
    monkeypatch.setattr("server.publisher.PRESENCE_INTERVAL_S", 0.0)
    streams = MemoryStreams()
    bus, other = ShardedBus(streams), MemoryBus(streams, node="two")
    async with running_parts(bus=bus) as parts:
        ann, _ = await parts.join("d")
        for clock in (1, 2):
            ann.message_received(awareness(here((1, clock))))
            await bus.publishes(here((1, clock)))
        await other.publish_presence("d", here((1, 2)), here((1, 2)))
        await until(lambda: bus.kept[1:] == [b""], "kept no more")
        assert bus.published[-1] == ("d", here())
