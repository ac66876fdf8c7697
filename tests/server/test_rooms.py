"""The registry of live documents: opened once, kept for a grace, unloaded when all is durable."""

import asyncio
import gc
import logging
import random
from collections.abc import Callable, Sequence

import psutil
import pytest

from crdt.messages import SyncStatus, SyncStep2
from server.room import Room
from server.storage import Entry, Stored
from server.storage.memory import MemoryStore
from tests.server.faults import FaultyStore
from tests.server.parts import running_parts, status, step_1, update_frame
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, update_of, warnings_of

Start = Callable[..., RunningServer]


async def test_R7_fifty_who_ask_at_once_open_the_document_once(start: Start) -> None:
    store = FaultyStore()
    await store.inner.append([Entry("d", 1, update_of("content"))])
    server = start(store)
    store.may_load.clear()
    peers = [server.peer("d") for _ in range(50)]
    await asyncio.gather(*(peer.connect() for peer in peers))
    await until(lambda: store.loads, "loading")
    # No sync step leaves before the document is whole: a client would take it for an empty one.
    assert all(peer.frames == [] for peer in peers)
    store.may_load.set()
    for peer in peers:
        await peer.shows("content")
    assert store.loads == ["d"]


async def test_R8_a_document_stays_for_the_grace_and_is_loaded_again_after_it(start: Start) -> None:
    store = FaultyStore()
    server = start(store, grace_s=0.3)
    for _ in range(3):
        async with server.peer("d") as peer:
            await peer.append("x")
    assert store.loads == ["d"]
    await server.unloaded()
    async with server.peer("d") as peer:
        assert peer.shown == "xxx"
    assert len(store.loads) > 1


async def test_R8_nothing_is_dropped_from_memory_before_it_is_durable(start: Start) -> None:
    store = FaultyStore()
    server = start(store, grace_s=0.0)
    store.may_append.clear()
    async with server.peer("d") as peer:
        await peer.append("not stored yet")
        await until(lambda: store.appends, "on its way")
    for _ in range(20):
        assert await server.documents() == ["d"]
    async with server.peer("d") as again:
        assert again.shown == "not stored yet"
    assert store.loads == ["d"]
    store.may_append.set()
    await server.unloaded()


async def test_R9_a_document_asked_for_while_it_unloads_simply_stays() -> None:
    store = FaultyStore()
    async with running_parts(store, grace_s=0.0) as parts:
        first, _ = await parts.join("d")
        store.may_append.clear()
        first.message_received(update_frame(update_of("x")))
        room = parts.members[0][1]
        parts.leave(first)
        await until(lambda: store.appends, "unloading waits for the store")
        _, wire = await parts.join("d")
        assert parts.members[0][1] is room
        store.may_append.set()
        await until(lambda: not parts.journal.waiting_bytes, "stored")
        for _ in range(20):
            await asyncio.sleep(0)
        assert parts.live() == ["d"]
        assert wire.closing is None


async def test_F22_a_storm_of_short_visits_never_makes_two_documents_of_one(seed: int) -> None:
    """200 clients of 3 documents come, write and go at random while loads and appends take their time."""
    dice = random.Random(seed)
    store = SlowStore(dice)
    written: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    alive: dict[str, set[Room]] = {name: set() for name in written}
    async with running_parts(store, grace_s=0.002) as parts:

        async def visit(number: int) -> None:
            name = dice.choice("abc")
            await asyncio.sleep(dice.random() * 1.5)
            room = await parts.rooms.acquire(name)
            alive[name].add(room)
            assert {live.name: live for live in parts.rooms}[name] is room
            member, wire = parts.enter(room)
            if dice.random() < 0.7:
                content = f"<{number}>"
                member.message_received(update_frame(update_of(content)))
                written[name].append(content)
            if dice.random() < 0.3:
                member.message_received(status(b"saved"))
                await until(lambda: wire.of(SyncStatus), "acknowledged")
            await asyncio.sleep(dice.random() * 0.02)
            parts.leave(member, clean=dice.random() < 0.5)
            # Still the one of its name, or no longer live at all.
            live = {live.name: live for live in parts.rooms}
            assert live.get(name, room) is room or not room.members

        await asyncio.gather(*(visit(number) for number in range(200)))
        await until(lambda: not parts.live(), "all unloaded")
    assert len(alive["a"]) > 1, "nothing was opened again: the storm was too calm"
    async with running_parts(store.inner) as parts:
        for name, contents in written.items():
            reader, wire = await parts.join(name)
            reader.message_received(step_1())
            assert sorted(wire.shown.replace(">", "> ").split()) == sorted(contents)
            positions = [entry.position for entry in (await store.inner.load(name)).entries]
            assert positions == list(range(1, len(positions) + 1))


class SlowStore(FaultyStore):
    """Every load and append takes its random time."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        await asyncio.sleep(self._dice.random() * 0.01)
        return await super().append(entries)

    async def load(self, document: str) -> Stored:
        await asyncio.sleep(self._dice.random() * 0.02)
        return await super().load(document)


async def test_F22_a_storm_of_short_visits_over_sockets_loses_nothing(
    server: RunningServer, seed: int
) -> None:
    dice = random.Random(seed)
    written: list[str] = []

    async def visit(number: int) -> None:
        await asyncio.sleep(dice.random())
        peer = Peer(server.url("d"))
        async with peer:
            await peer.append(f"<{number}>")
            written.append(f"<{number}>")
            await asyncio.sleep(dice.random() * 0.05)

    await asyncio.gather(*(visit(number) for number in range(60)))
    await server.unloaded()
    async with server.peer("d") as reader:
        assert sorted(reader.shown.replace(">", "> ").split()) == sorted(written)


class Forgetful(MemoryStore):
    """Keeps nothing, so that all memory is the registry's."""

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        return []


async def test_memory_comes_back_when_a_document_is_unloaded() -> None:
    """Without waiting for the collector of cycles: a quiet server may not run it for hours."""
    process = psutil.Process()
    async with running_parts(Forgetful(), grace_s=0.0) as parts:

        async def visit(name: str) -> None:
            member, wire = await parts.join(name)
            room = parts.members[0][1]
            member.message_received(update_frame(update_of("x" * 8_000_000)))
            await until(lambda: room.position and not parts.journal.waiting_bytes, "stored")
            member.message_received(step_1())
            assert wire.of(SyncStep2)
            parts.leave(member)
            wire.messages.clear()
            await until(lambda: not parts.live(), "unloaded")

        gc.disable()
        try:
            await visit("warm up")
            before = process.memory_info().rss
            for number in range(8):
                await visit(f"{number}")
            assert process.memory_info().rss - before < 40_000_000
        finally:
            gc.enable()


async def test_a_room_that_nobody_could_wait_for_is_unloaded(start: Start) -> None:
    """Everybody who asked has gone before the document was loaded."""
    store = FaultyStore()
    server = start(store)
    store.may_load.clear()
    peer = server.peer("d")
    await peer.connect()
    await until(lambda: store.loads, "loading")
    await peer.abort()
    store.may_load.set()
    await server.unloaded()


async def test_a_damaged_entry_is_left_out_and_the_clients_bring_back_what_it_held(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Later entries wait for it, in the log and in memory, until somebody who still has it connects."""
    store = FaultyStore()
    server = start(store, worker=False)  # A fold would take the entries that are looked at.
    writer = server.peer("d")
    await writer.connect()
    await writer.synced()
    for word in ("one ", "two ", "three "):
        await writer.append(word)
        await writer.acknowledge()
    await writer.close()
    await server.unloaded()
    inner = store.inner
    assert isinstance(inner, MemoryStore)
    held = await inner.load("d")
    store.inner = MemoryStore()
    await store.inner.append([entry for entry in held.entries if entry.position != 2])
    async with server.peer("d") as reader:
        assert reader.shown == "one "
        await reader.append("mine ")
        await reader.acknowledge()
        await writer.connect()
        await until(lambda: "two three" in reader.shown, "what was lost")
        await writer.synced()
        await writer.shows(reader.shown)
    await writer.close()
    await server.unloaded()
    async with server.peer("d") as later:
        assert later.shown == writer.shown
    assert [entry.position for entry in (await store.load("d")).entries][:3] == [1, 3, 4]
    assert all(line.levelno == logging.WARNING for line in warnings_of(caplog))
