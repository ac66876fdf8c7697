"""Positions that are given out twice, after the end of a stream was lost: nothing is swallowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pycrdt import Doc, Text, merge_updates

from crdt.messages import SyncStatus
from crdt.update import Update
from server.bus import Position
from server.bus.memory import MemoryBus, MemoryStreams
from server.follower import Follower
from server.journal import Acknowledge, Journal
from server.storage import Entry
from server.storage.memory import MemoryStore
from tests.server.faults import FaultyStore
from tests.server.parts import running_parts, status, step_1, update_frame
from tests.server.support import until, update_of


class Writer:
    """Who hands entries over, and counts what is durable of them."""

    def __init__(self, name: str = "a", position: int = 0) -> None:
        self.name = name
        self.position = position
        self.durable = 0

    def stored(self, count: int) -> None:
        self.durable += count


@asynccontextmanager
async def running_journal(store: MemoryStore, bus: MemoryBus | None) -> AsyncIterator[Journal]:
    journal = Journal(store, bus, acknowledge=Acknowledge.STORED, budget_bytes=2**20, on_drained=lambda: None)
    running = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        running.cancel()


async def updates_in(store: MemoryStore) -> list[bytes]:
    return [entry.update for entry in (await store.load("a")).entries]


async def test_D13_a_node_that_knows_less_than_the_store_gets_later_positions() -> None:
    """It did not hear the last entries before the power cut, and the stream has lost them."""
    store, streams = MemoryStore(), MemoryStreams()
    one, other = MemoryBus(streams, node="one"), MemoryBus(streams, node="other")
    positions = await one.append([("a", b"0"), ("a", b"1"), ("a", b"2"), ("a", b"3")])
    await store.append([Entry("a", at, b"%d" % index) for index, at in enumerate(positions)])
    streams.go_back("a", positions[1])
    other.learn("a", positions[1])
    writer = Writer()
    async with running_journal(store, other) as journal:
        for update in (b"4", b"5", b"6"):
            journal.append(writer, Update(update), is_awaited=True)
        await until(lambda: writer.durable == 3, "acknowledged")
    assert sorted(await updates_in(store)) == [b"%d" % number for number in range(7)]
    assert (await store.load("a")).last_position > positions[3]


async def test_D13_without_a_bus_a_position_that_is_taken_is_counted_beyond() -> None:
    store, writer = MemoryStore(), Writer(position=1)
    await store.append([Entry("a", at, b"%d" % at) for at in (1, 2, 3)])
    async with running_journal(store, None) as journal:
        for update in (b"4", b"5", b"6"):
            journal.append(writer, Update(update), is_awaited=True)
        await until(lambda: writer.durable == 3, "acknowledged")
        journal.append(writer, Update(b"7"), is_awaited=True)
        await until(lambda: writer.durable == 4, "acknowledged")
    assert sorted(await updates_in(store)) == [b"%d" % number for number in range(1, 8)]


async def test_D13_a_room_given_up_with_entries_on_their_way_and_the_next_one_lose_nothing() -> None:
    """The next room is loaded before the entries of the first one are stored, and counts from the same."""
    store = FaultyStore()
    async with running_parts(store) as parts:
        store.may_append.clear()
        first, _ = await parts.join("d")
        first.message_received(update_frame(update_of("first ")))
        await until(lambda: store.appends, "on its way")
        parts.rooms.failed(parts.members[0][1])
        second, wire = await parts.join("d")
        second.message_received(update_frame(update_of("second ")))
        second.message_received(status(b"k"))
        store.may_append.set()
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        stored = await store.inner.load("d")
    assert sorted(text_of([entry.update for entry in stored.entries]).split()) == ["first", "second"]


def text_of(updates: list[bytes]) -> str:
    doc: Doc[Text] = Doc()
    doc.apply_update(merge_updates(*updates))
    return str(doc.get("t", type=Text))


@pytest.mark.parametrize("kept", [0, 2])
async def test_B6_a_node_that_loads_more_than_the_stream_has_tells_the_others(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """They have all that the stream has, and see no hole: not before somebody edits, and then only there."""
    monkeypatch.setattr("server.lost_stream.REPUBLISH_WITHIN_S", 0.0)
    store, streams = MemoryStore(), MemoryStreams()
    words = [update_of(f"{number} ") for number in range(4)]
    writer = MemoryBus(streams, node="killed")
    positions = await writer.append([("d", word) for word in words])
    await writer.close()
    await store.append([Entry("d", *pair) for pair in zip(positions[:kept], words[:kept], strict=True)])
    streams.go_back("d", positions[kept - 1]) if kept else streams.forget("d")
    async with running_parts(store, bus=MemoryBus(streams, node="one"), grace_s=10.0) as one:
        member, reader = await one.join("d")
        member.message_received(step_1())
        await store.append([Entry("d", *pair) for pair in zip(positions, words, strict=True)])
        async with running_parts(store, bus=MemoryBus(streams, node="other"), grace_s=10.0) as other:
            await other.join("d")
            await until(lambda: sorted(reader.shown.split()) == ["0", "1", "2", "3"], "told")


async def test_D13_a_node_never_gives_out_what_it_found_in_the_store(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, streams = MemoryStore(), MemoryStreams()
    words = [update_of(f"{number} ") for number in range(3)]
    killed = MemoryBus(streams, node="killed")
    positions = await killed.append([("d", word) for word in words])
    await store.append([Entry("d", *pair) for pair in zip(positions, words, strict=True)])
    await killed.close()
    streams.go_back("d", positions[0])
    async with running_parts(store, bus=MemoryBus(streams, node="one"), grace_s=10.0) as node:
        member, wire = await node.join("d")
        member.message_received(update_frame(update_of("3 ")))
        member.message_received(status(b"k"))
        await until(lambda: wire.of(SyncStatus), "acknowledged")
    stored = await store.load("d")
    assert sorted(text_of([entry.update for entry in stored.entries]).split()) == ["0", "1", "2", "3"]
    assert stored.last_position > positions[2]
    assert "given out twice" not in caplog.text


async def test_B6_who_had_seen_more_than_a_stream_that_went_back_hears_what_is_appended_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its positions lie below those that were seen, and stand for other entries now."""
    monkeypatch.setattr("server.lost_stream.REPUBLISH_WITHIN_S", 0.0)
    store, streams = MemoryStore(), MemoryStreams()
    bus, writer = MemoryBus(streams, node="here"), MemoryBus(streams, node="there")
    async with running_parts(store) as parts, asyncio.TaskGroup() as tasks:
        _, wire = await parts.join("d")
        room = parts.members[0][1]
        follower = Follower(room, store, bus, Position(0), tasks, asyncio.Lock(), known=Position(0))
        await bus.listen("d", follower)
        follower.begin()
        positions = await writer.append([("d", update_of(f"{number} ")) for number in range(3)])
        await until(lambda: len(wire.shown.split()) == 3, "followed")
        streams.go_back("d", positions[0])
        late = MemoryBus(streams, node="late")
        assert await late.append([("d", update_of("3 "))]) == [positions[1]]
        follower.doubt()
        await until(lambda: sorted(wire.shown.split()) == ["0", "1", "2", "3"], "heard")
        assert await late.append([("d", update_of("4 "))]) == [positions[2]]
        await until(lambda: "4" in wire.shown, "followed on")
        follower.close()
