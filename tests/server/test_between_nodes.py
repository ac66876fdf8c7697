"""Rooms of several nodes on one bus, and a bus that is slow, away, or has forgotten everything."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from pycrdt import Doc, Text

from crdt.awareness_entries import encode_entries
from crdt.errors import CloseCode
from crdt.messages import SyncStatus
from server.bus import BusUnavailable, Position, Reading
from server.bus.memory import MemoryBus, MemoryStreams
from server.cluster import Cluster
from server.room import Room
from server.storage import Entry
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyStore
from tests.server.parts import Parts, Wire, awareness, running_parts, status, step_1, update_frame
from tests.server.support import until, update_of, warnings_of

LIMIT_S = 10.0
ANN = encode_entries([(5, 1, b'{"name":"Ann"}')])
BAIT = update(section(1, 0, text("bait ")))
POISON = update(section(2, 0, text("half "), text("x", parent=(1, 0))))
"""yrs takes the first struct, then finds that a text cannot be a parent."""


class FaultyBus(MemoryBus):
    """A real bus behind a door: reading waits, or anything fails, as the test says."""

    def __init__(self, streams: MemoryStreams, *, node: str) -> None:
        super().__init__(streams, node=node)
        self.may_return = asyncio.Event()
        self.may_return.set()
        self.error: Exception | None = None
        self.reads = 0

    async def read(self, document: str, after: Position) -> Reading:
        """Read at once, and return what was read when the door is open."""
        self.reads += 1
        self._fail()
        reading = await super().read(document, after)
        await self.may_return.wait()
        return reading

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Fail or append."""
        self._fail()
        return await super().append(entries)

    async def publish_presence(self, document: str, update: bytes, everybody: bytes) -> None:
        """Fail or publish."""
        self._fail()
        await super().publish_presence(document, update, everybody)

    async def presence(self, document: str) -> Mapping[str, bytes]:
        """Fail or answer."""
        self._fail()
        return await super().presence(document)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for chance, nor long for another attempt."""
    monkeypatch.setattr("server.lost_stream.REPUBLISH_WITHIN_S", 0.0)
    monkeypatch.setattr("server.follower.RETRY_MIN_S", 0.01)
    monkeypatch.setattr("server.follower.RETRY_MAX_S", 0.01)
    monkeypatch.setattr("server.cluster.RETRY_S", 0.01)


async def write(parts: Parts, name: str, word: str) -> Wire:
    """Have somebody join, write a word, and wait until it is acknowledged."""
    connection, wire = await parts.join(name)
    connection.message_received(step_1())
    connection.message_received(update_frame(update_of(word)))
    connection.message_received(status(b"1"))
    await until(lambda: wire.of(SyncStatus), "acknowledged", LIMIT_S)
    return wire


def cluster_of(parts: Parts) -> Cluster:
    assert parts.cluster is not None
    return parts.cluster


def room_of(parts: Parts) -> Room:
    [room] = parts.rooms
    return room


async def leave_all(parts: Parts) -> None:
    for connection, _ in list(parts.members):
        parts.leave(connection)


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
    async with asyncio.timeout(LIMIT_S), running_parts(MemoryStore(), bus=bus) as parts:
        await write(parts, "d", "one ")
        room = room_of(parts)
        bus.error = BusUnavailable("one shard is away")
        cluster_of(parts).doubt(room)
        reads = bus.reads
        await until(lambda: bus.reads > reads + 1, "in doubt")
        cluster_of(parts).close()
        cluster_of(parts).doubt(room)


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
        await until(lambda: "".join(words) in document_text(room_of(parts)), "all of it", LIMIT_S)
        await until(lambda: "".join(words) in wire.shown, "told")


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


async def test_B8_what_a_room_had_left_to_tell_withdraws_nobody_of_the_next_room() -> None:
    streams = MemoryStreams()
    bus, other = FaultyBus(streams, node="one"), MemoryBus(streams, node="other")
    async with running_parts(MemoryStore(), bus=bus, grace_s=60.0) as parts:
        connection, _ = await parts.join("d")
        connection.message_received(awareness(ANN))
        await until(lambda: streams.presence.get("d"), "kept")
        former = room_of(parts)
        parts.rooms.failed(former)
        ben, _ = await parts.join("d")
        ben.message_received(awareness(encode_entries([(6, 1, b'{"name":"Ben"}')])))
        await until(lambda: b"Ben" in streams.presence["d"]["one"], "kept")
        connection.connection_lost(clean=True)
        await until(lambda: former not in cluster_of(parts)._changed, "told")
        assert b"Ben" in (await other.presence("d"))["one"]


def document_text(room: Room) -> str:
    doc: Doc[Text] = Doc()
    doc.apply_update(room.document.encode())
    return str(doc.get("t", type=Text))
