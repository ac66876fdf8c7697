"""A document that is loaded anew while other nodes go on: nothing of theirs is lost."""

import asyncio

import pytest

from crdt.errors import CloseCode
from crdt.messages import SyncStatus
from server.bus import BusUnavailable
from server.bus.memory import MemoryBus, MemoryStreams
from server.storage import Entry
from server.storage.memory import MemoryStore
from tests.crdt.build import BAIT, POISON, section, text, update
from tests.server.faults import FaultyBus, FaultyStore
from tests.server.parts import running_parts, status, step_1, update_frame
from tests.server.several import cluster_of, document_text, room_of, write
from tests.server.support import until, update_of

pytestmark = pytest.mark.usefixtures("at_once", "unguarded")


async def test_R10_a_document_that_cannot_be_loaded_anew_for_a_bug_is_given_up() -> None:
    store = FaultyStore()
    async with running_parts(store) as parts:
        wire = await write(parts, "d", "one ")
        store.load_error = RuntimeError("a bug")
        parts.rooms.broken(room_of(parts))
        await until(lambda: wire.closing, "closed")
        assert wire.closing == (CloseCode.FAILURE, CloseCode.FAILURE.phrase)
        store.recover()
        assert "one " in (await write(parts, "d", "two ")).shown


async def test_B16_members_hear_what_other_nodes_appended_while_the_document_was_loaded_anew() -> None:
    store, streams = FaultyStore(), MemoryStreams()
    one, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(store, bus=one) as parts:
        wire = await write(parts, "d", "one ")
        store.may_load.clear()
        parts.rooms.broken(room_of(parts))
        two = update_of("two ")
        [position] = await other.append([("d", two)])
        await store.inner.append([Entry("d", position, two)])
        store.may_load.set()
        await until(lambda: "two " in wire.shown, "heard")


async def test_B16_a_reading_under_way_does_not_move_the_position_of_a_document_loaded_anew() -> None:
    """Its store does not have the entry yet, which the former document had."""
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    store = FaultyStore()
    async with running_parts(store, bus=bus) as parts:
        wire = await write(parts, "d", "one ")
        room = room_of(parts)
        await other.append([("d", update_of("two "))])
        await until(lambda: "two " in wire.shown, "followed")
        bus.may_return.clear()
        reads, loads = bus.reads, len(store.loads)
        cluster_of(parts).doubt(room)
        await until(lambda: bus.reads > reads, "reading")
        parts.rooms.broken(room)
        await until(lambda: len(store.loads) > loads and not room.relay.is_suspended, "loaded anew")
        bus.may_return.set()
        await cluster_of(parts).settle(room)
        assert sorted(document_text(room).split()) == ["one", "two"]


async def test_B16_nobody_joins_a_document_loaded_anew_before_its_stream_was_read() -> None:
    """The store lacks an entry that the former document had."""
    streams, store = MemoryStreams(), FaultyStore()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(store, bus=bus) as parts:
        member = await write(parts, "d", "one ")
        await other.append([("d", update_of("two "))])
        await until(lambda: "two " in member.shown, "followed")
        bus.may_return.clear()
        reads = bus.reads
        parts.rooms.broken(room_of(parts))
        joining = asyncio.create_task(parts.join("d"))
        await until(lambda: bus.reads > reads, "reading")
        for _ in range(100):
            await asyncio.sleep(0)
        assert not joining.done()
        bus.may_return.set()
        connection, wire = await joining
        connection.message_received(step_1())
        assert sorted(wire.shown.split()) == ["one", "two"]


async def test_B16_a_document_whose_stream_cannot_be_read_anew_is_given_up() -> None:
    store = FaultyStore()
    bus = FaultyBus(MemoryStreams(), node="one")
    async with running_parts(store, bus=bus) as parts:
        member = await write(parts, "d", "one ")
        bus.error = BusUnavailable("away")
        parts.rooms.broken(room_of(parts))
        await until(lambda: member.closing, "closed")
        assert member.closing == (CloseCode.UNREADABLE, CloseCode.UNREADABLE.phrase)
        bus.error = None
        assert "one " in (await write(parts, "d", "two ")).shown


async def test_B16_entries_that_break_the_document_one_after_the_other_are_all_skipped() -> None:
    """The second is met while the stream is read for the document that takes the place of the first."""
    streams = MemoryStreams()
    bus, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        connection, wire = await parts.join("d")
        connection.message_received(update_frame(BAIT))
        connection.message_received(status(b"1"))
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        poisons = [update(section(client, 0, text("half "), text("x", parent=(1, 0)))) for client in (2, 3)]
        await other.append([*(("d", poison) for poison in poisons), ("d", update_of("later "))])
        await until(lambda: "later " in wire.shown, "followed on")
        third, joined = await parts.join("d")
        third.message_received(step_1())
        assert sorted(joined.shown.split()) == ["bait", "later"]


@pytest.mark.parametrize("is_open", [True, False])
async def test_B16_what_waited_and_breaks_the_document_while_its_stream_is_read_is_skipped(
    monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> None:
    """When the document is loaded anew, or opened."""
    monkeypatch.setattr("server.slices.SLICE_S", 0.0)
    streams, store = MemoryStreams(), FaultyStore()
    bus, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    waits = update(section(5, 0, text("half ", left=(4, 4)), text("x", parent=(4, 0))))
    await store.append([Entry("d", 1, waits)])
    async with running_parts(store, bus=bus) as parts:
        if is_open:
            await parts.join("d")
        streams.nodes.pop("one")  # What is appended is not heard.
        words = [("d", update_of(f"{number} ")) for number in range(20)]
        await other.append([("d", update(section(4, 0, text("late ")))), *words])
        streams.nodes["one"] = bus
        for room in parts.rooms:
            parts.rooms.broken(room)
        joined, wire = await parts.join("d")
        joined.message_received(step_1())
        await until(lambda: len(wire.shown.split()) == 21, "all of it")
        assert "half" not in document_text(room_of(parts))
        assert not room_of(parts).relay.is_suspended


async def test_B16_an_entry_that_breaks_the_document_is_skipped_after_it_was_loaded_anew() -> None:
    streams, store = MemoryStreams(), FaultyStore()
    bus, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(store, bus=bus) as parts:
        connection, wire = await parts.join("d")
        connection.message_received(update_frame(BAIT))
        connection.message_received(status(b"1"))
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        await other.append([("d", POISON), ("d", update_of("later "))])
        await until(lambda: "later " in wire.shown, "followed on")
        assert len(store.loads) == 2
        parts.leave(connection)
        await until(lambda: parts.live() == [], "unloaded")
        third, wire = await parts.join("d")
        third.message_received(step_1())
        assert sorted(wire.shown.split()) == ["bait", "later"]
        assert len(store.loads) == 4
