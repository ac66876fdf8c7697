"""Rooms whose bus is slow or away: they go on, and catch up when it is back."""

import asyncio

import pytest

from crdt.awareness_entries import encode_entries
from crdt.messages import SyncStatus
from server.bus import BusUnavailable, Position
from server.bus.memory import MemoryBus, MemoryStreams
from server.storage.memory import MemoryStore
from tests.server.faults import FaultyBus
from tests.server.parts import awareness, running_parts, status, step_1, update_frame
from tests.server.several import cluster_of, leave_all, room_of, write
from tests.server.support import until, update_of, warnings_of
from tests.support.polling import PATIENCE_S

pytestmark = pytest.mark.usefixtures("at_once")

ANN = encode_entries([(5, 1, b'{"name":"Ann"}')])


async def test_R8_a_room_stays_while_the_bus_is_away() -> None:
    """Who comes back finds it, though it could not be opened now."""
    bus = FaultyBus(MemoryStreams(), node="one")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        await write(parts, "d", "kept ")
        bus.error = BusUnavailable("away")
        reads = bus.reads
        await leave_all(parts)
        await until(lambda: bus.reads > reads + 2, "tried")
        connection, wire = await parts.join("d")
        connection.message_received(step_1())
        assert wire.shown == "kept "
        bus.error = None
        await leave_all(parts)
        await until(lambda: parts.live() == [], "unloaded")


async def test_R10_a_follower_that_meets_a_bug_goes_on_afterwards() -> None:
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        wire = await write(parts, "d", "one ")
        bus.error = RuntimeError("a bug")
        reads = bus.reads
        streams.nodes.pop("one")  # The doorbell is lost, too.
        await other.append([("d", update_of("two "))])
        streams.nodes["one"] = bus
        cluster_of(parts).doubt(room_of(parts))
        await until(lambda: bus.reads > reads + 1, "tried again")
        bus.error = None
        await until(lambda: "two " in wire.shown, "followed")


async def test_a_follower_says_once_that_it_cannot_follow_and_once_that_it_does_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = FaultyBus(MemoryStreams(), node="one")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        await write(parts, "d", "one ")
        caplog.clear()
        for word in ("away", "away again"):
            bus.error = BusUnavailable(word)
            bus.reads = 0
            cluster_of(parts).doubt(room_of(parts))
            await until(lambda: bus.reads > 4, "tried again and again")
            bus.error = None
            await cluster_of(parts).settle(room_of(parts))
    assert [line.getMessage() for line in warnings_of(caplog) if line.name == "cowrite.bus"] == [
        "cannot follow now: away",
        "follows again",
        "cannot follow now: away again",
        "follows again",
    ]


async def test_a_follower_in_doubt_holds_up_no_end() -> None:
    bus = FaultyBus(MemoryStreams(), node="one")
    async with asyncio.timeout(PATIENCE_S), running_parts(MemoryStore(), bus=bus) as parts:
        await write(parts, "d", "one ")
        room = room_of(parts)
        bus.error = BusUnavailable("one shard is away")
        cluster_of(parts).doubt(room)
        reads = bus.reads
        await until(lambda: bus.reads > reads + 1, "in doubt")
        cluster_of(parts).close()
        cluster_of(parts).doubt(room)


async def test_B11_what_was_written_while_the_bus_was_away_is_merged_and_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.stage.RETRY_MAX_S", 0.05)
    bus = FaultyBus(MemoryStreams(), node="one")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        connection, wire = await parts.join("d")
        bus.error = BusUnavailable("away")
        words = [f"{number} " * 12_000 for number in range(10)]
        for word in words:
            connection.message_received(update_frame(update_of(word)))
            await until(lambda: not room_of(parts)._batch, "handed over")
        await until(lambda: parts.journal.trouble, "away")
        connection.message_received(status(b"1"))
        bus.error = None
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        entries = (await bus.read("d", Position(0))).entries
        assert 1 < len(entries) < 10
        assert max(len(entry.update) for entry in entries) <= 2**16
        assert sorted(wire.shown.split()) == sorted("".join(words).split())
        assert parts.journal.waiting_bytes == 0


async def test_B8_who_left_while_the_bus_was_away_is_withdrawn_when_it_is_back() -> None:
    """The room may be unloaded by then: its graces are shorter than the outage of a shard."""
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        connection, _ = await parts.join("d")
        connection.message_received(awareness(ANN))
        await until(lambda: streams.presence.get("d"), "kept")
        room = room_of(parts)
        bus.error = BusUnavailable("away")
        parts.leave(connection)
        await cluster_of(parts).disconnect(room)
        bus.error = None
        await until(lambda: not streams.presence["d"], "withdrawn")
        assert not await other.presence("d")


async def test_B8_who_left_unheard_is_gone_once_the_node_they_were_on_lives_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a node keeps does not count until it has its lease again, after Redis was away for long."""
    monkeypatch.setattr("server.cluster.SIGN_S", 0.01)
    monkeypatch.setattr("server.cluster.DOUBT_WITHIN_S", 0.0)
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        await parts.join("d")
        table = room_of(parts).presence.awareness
        await other.publish_presence("d", ANN, ANN)
        await until(lambda: 5 in table.present, "here")
        del streams.nodes["one"]  # What is told is not heard.
        await other.publish_presence("d", encode_entries([(5, 1, None)]), b"")
        streams.nodes["one"] = bus
        reads = bus.reads
        streams.leases.clear()
        await until(lambda: bus.reads > reads and cluster_of(parts).is_settled(room_of(parts)), "looked")
        await other.renew_lease()
        await until(lambda: 5 not in table.present, "gone")
