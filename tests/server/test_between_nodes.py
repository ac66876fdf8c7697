"""Rooms of several nodes on one bus, and a bus that has forgotten everything."""

import asyncio
from random import Random

import pytest
from pycrdt import Doc, Text

from crdt.awareness_entries import encode_entries
from server.bus import Position
from server.bus.memory import MemoryBus, MemoryStreams
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyBus, FaultyStore
from tests.server.parts import awareness, running_parts, update_frame
from tests.server.several import cluster_of, document_text, leave_all, room_of, write
from tests.server.support import until, update_of
from tests.support.bus_ear import Ear

pytestmark = pytest.mark.usefixtures("at_once")

ANN = encode_entries([(5, 1, b'{"name":"Ann"}')])


async def test_R8_a_room_is_not_unloaded_before_its_lost_stream_is_filled_again() -> None:
    """Redis is the store, and comes back with nothing while the last room is in its grace."""
    store, streams = FaultyStore(), MemoryStreams()
    bus = FaultyBus(streams, node="one")
    async with running_parts(store, bus=bus) as parts:
        await write(parts, "d", "kept ")
        reads = bus.reads
        bus.may_return.clear()
        await leave_all(parts)
        streams.forget_everything()
        store.inner = MemoryStore()
        await until(lambda: bus.reads > reads, "looks whether the stream has all")
        assert parts.live() == ["d"]
        bus.may_return.set()
        await until(lambda: parts.live() == [], "unloaded")
        assert (await store.load("d")).entries
        assert (await write(parts, "d", "and more ")).shown.split().count("kept") == 1


async def test_L6_a_large_entry_of_another_node_is_taken_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.slices.SLICE_S", 0.0)
    streams = MemoryStreams()
    bus, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus) as parts:
        wire = await write(parts, "d", "one ")
        room = room_of(parts)
        large = update(section(7, 0, *(text("x" * 10_000, parent="large") for _ in range(40))))
        await other.append([("d", large), ("d", update_of("two "))])
        seen = set()
        while "two " not in wire.shown:
            seen.add(room.document.clocks.get(7, 0))
            await asyncio.sleep(0)
        assert len(seen) > 4


async def test_B6_what_another_node_has_published_already_is_not_published_again() -> None:
    streams, store = MemoryStreams(), MemoryStore()
    one, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(store, bus=one) as here, running_parts(store, bus=other) as there:
        await write(here, "d", "one ")
        await write(there, "d", "two ")
        await until(lambda: len(document_text(room_of(here)).split()) == 2, "both")
        streams.forget_everything()
        for parts in (here, there):
            cluster_of(parts).doubt(room_of(parts))
            await cluster_of(parts).settle(room_of(parts))
            await until(lambda: "d" in streams.streams, "filled again")
            await room_of(parts).settle()
        assert len((await one.read("d", Position(0))).entries) == 1


async def test_B6_lost_streams_are_filled_again_only_as_the_log_has_room() -> None:
    streams, store = MemoryStreams(), FaultyStore()
    bus = FaultyBus(streams, node="one")
    async with running_parts(store, bus=bus, log_budget_bytes=1_000) as parts:
        wire = await write(parts, "d", "one ")
        store.fail()
        parts.members[0][0].message_received(update_frame(update_of("x" * 2_000)))
        await until(lambda: parts.journal.waiting_bytes > 1_000, "full")
        waiting_bytes = parts.journal.waiting_bytes
        streams.forget_everything()
        reads = bus.reads
        cluster_of(parts).doubt(room_of(parts))
        filling = asyncio.create_task(cluster_of(parts).settle(room_of(parts)))
        await until(lambda: bus.reads > reads + 1 or cluster_of(parts).has_to_publish(room_of(parts)), "seen")
        for _ in range(100):
            await asyncio.sleep(0)
        assert (parts.journal.waiting_bytes, filling.done()) == (waiting_bytes, False)
        store.recover()
        await filling
        await until(lambda: "d" in streams.streams, "filled again")
        assert "one " in wire.shown


@pytest.mark.parametrize("limit", [4_096, 3])
async def test_B15_what_waits_for_a_late_entry_comes_with_it(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """With little room, what did not fit is read again when it may go on."""
    monkeypatch.setattr("crdt.waiting.WAITING_LIMIT", limit)
    streams, store = MemoryStreams(), MemoryStore()
    bus, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(store, bus=bus) as parts:
        wire = await write(parts, "d", "one ")
        author: Doc[Text] = Doc()
        typed = author.get("t", type=Text)
        words = [f"w{number} " for number in range(40)]
        edits = []
        for word in words:
            before = author.get_state()
            typed += word
            edits.append(author.get_update(before))
        late, early = edits[0], edits[1:]
        Random(7).shuffle(early)
        await other.append([("d", edit) for edit in early])
        stranger = update_of("stranger ")
        await other.append([("d", stranger)])
        await until(lambda: "stranger " in wire.shown, "followed")
        assert "w" not in document_text(room_of(parts))
        await other.append([("d", late)])
        await until(lambda: "".join(words) in document_text(room_of(parts)), "all of it")
        await until(lambda: "".join(words) in wire.shown, "told")


async def test_B8_what_a_room_had_left_to_tell_withdraws_nobody_of_the_next_room() -> None:
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus, grace_s=60.0) as parts:
        connection, _ = await parts.join("d")
        connection.message_received(awareness(ANN))
        await until(lambda: streams.presence.get("d"), "kept")
        parts.rooms.failed(room_of(parts))
        ben, _ = await parts.join("d")
        ben.message_received(awareness(encode_entries([(6, 1, b'{"name":"Ben"}')])))
        await until(lambda: b"Ben" in streams.presence["d"]["one"], "kept")
        ear = Ear()
        await other.listen("d", ear)
        connection.connection_lost(clean=True)
        await ear.hears(encode_entries([(5, 1, None)]))
        assert b"Ben" in (await other.presence("d"))["one"]


async def test_not_all_documents_are_read_at_one_moment_when_a_node_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.cluster.SIGN_S", 0.01)
    streams = MemoryStreams()
    bus = FaultyBus(streams, node="one")
    async with running_parts(bus=bus) as parts:
        for number in range(30):
            await parts.join(f"document {number}")
        bus.reads_at.clear()
        MemoryBus(streams, node="other")
        await until(lambda: len(bus.reads_at) >= 30, "all read")
        assert bus.reads_at[-1] - bus.reads_at[0] > 0.1
