"""Acked is never lost: what an acknowledgement waits for, and who leaves or stops in the middle of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from crdt.errors import CloseCode
from crdt.messages import SyncUpdate
from crdt.update import Update
from server.storage.memory import MemoryStore
from server.storage.sqlite import SqliteStore
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyStore
from tests.server.servers import RunningServer
from tests.server.support import Peer, until

Start = Callable[..., RunningServer]


async def turns(server: RunningServer) -> None:
    """Let the server's loop turn a few times."""
    for _ in range(5):
        await server.call(lambda: None)


async def test_D1_an_acknowledgement_waits_until_everything_before_it_is_durable(start: Start) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as writer, server.peer("d") as reader:
        store.may_append.clear()
        await writer.append("one")
        first = await writer.ask()
        # Everybody sees the edit before it is stored; that is no acknowledgement.
        await reader.shows("one")
        await writer.append(" two")
        second = await writer.ask()
        await reader.shows("one two")
        await turns(server)
        assert writer.acknowledged == []
        store.may_append.set()
        await until(lambda: second in writer.acknowledged, "acknowledged")
        assert writer.acknowledged == [first, second]
        held = await store.inner.load("d")
        assert Peer.text_of([entry.update for entry in held.entries]) == "one two"


async def test_an_acknowledgement_of_nothing_new_comes_at_once(start: Start) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as peer, server.peer("e") as other:
        await other.append("x")
        await other.acknowledge()
        store.may_append.clear()
        await peer.acknowledge()
        store.may_append.set()


async def test_acknowledgements_come_in_the_order_of_the_questions(server: RunningServer) -> None:
    async with server.peer("d") as peer:
        asked = []
        for _ in range(300):
            await peer.append("x")
            asked.append(await peer.ask())
        await until(lambda: asked[-1] in peer.acknowledged, "acknowledged")
        assert peer.acknowledged == asked


async def test_S6_an_acknowledgement_waits_while_something_is_held_back(server: RunningServer) -> None:
    async with server.peer("d", answers=False) as peer, server.peer("d") as other:
        await peer.send(SyncUpdate(update(section(5, 1, text("b", left=(5, 0))))))
        asked = await peer.ask()
        await other.append("x")
        await other.acknowledge()
        await turns(server)
        assert peer.acknowledged == []
        await other.send(SyncUpdate(update(section(5, 0, text("a")))))
        await until(lambda: asked in peer.acknowledged, "acknowledged")
        async with server.peer("d") as later:
            assert sorted(later.shown) == sorted("xab")


async def test_a_client_that_returns_is_not_told_saved_before_its_old_edit_is(start: Start) -> None:
    """Accepted on the former connection, not durable yet; on the new one it has nothing to send."""
    store = FaultyStore()
    server = start(store)
    peer = server.peer("d")
    await peer.connect()
    await peer.synced()
    store.may_append.clear()
    await peer.append("x")
    await until(lambda: store.appends, "on its way to the store")
    await peer.abort()
    await peer.connect()
    await peer.synced()
    asked = await peer.ask()
    await turns(server)
    assert asked not in peer.acknowledged
    store.may_append.set()
    await until(lambda: asked in peer.acknowledged, "acknowledged")


async def test_F3_the_last_client_sends_one_update_and_closes_at_once(start: Start, tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as inner:
        store = FaultyStore(inner)
        server = start(store, grace_s=0.0)
        for number in range(100):
            async with server.peer("d") as peer:
                await peer.append(f"{number} ")
        await server.unloaded()
        async with server.peer("d") as reader:
            assert reader.shown == "".join(f"{number} " for number in range(100))
        await asyncio.to_thread(server.stop)


async def test_F3_the_last_client_breaks_off_right_after_its_update(server: RunningServer) -> None:
    for number in range(30):
        peer = server.peer("d")
        await peer.connect()
        await peer.synced()
        await peer.append(f"{number} ")
        # The end of the stream, without a close frame.
        peer.ws.transport.close()
        await peer.closing()
    async with server.peer("d") as reader:
        await reader.shows("".join(f"{number} " for number in range(30)))


async def test_what_is_pending_is_stored_when_the_server_stops(start: Start, kind: str) -> None:
    store = FaultyStore()
    server = start(store)
    async with server.peer("d") as peer:
        store.may_append.clear()
        await peer.append("pending")
        await until(lambda: store.appends, "on its way")
        asyncio.get_running_loop().call_later(0.2, store.may_append.set)
        await asyncio.to_thread(server.stop)
        # hypercorn leaves open WebSockets to the app and then cuts them.
        expected = {"uvicorn": CloseCode.RESTART}.get(kind)
        if expected:
            assert await peer.closing() == (expected, expected.phrase)
        held = await store.inner.load("d")
        assert Peer.text_of([entry.update for entry in held.entries]) == "pending"


@pytest.mark.parametrize("kind", ["uvicorn"])
async def test_F3_a_large_last_update_is_stored_whole_though_the_server_stops(start: Start) -> None:
    """Its sender has gone, and it is taken in slices for a while longer. (hypercorn cuts it off.)"""
    store = MemoryStore()
    server = start(store)
    writer = server.peer("d")
    await writer.connect()
    await writer.synced()
    await writer.send(SyncUpdate(update(section(9, 0, *[text("abc")] * 60_000))))
    await writer.close()
    await asyncio.to_thread(server.stop)
    stored = await store.load("d")
    assert Peer.text_of([entry.update for entry in stored.entries]) == "abc" * 60_000


async def test_an_update_known_already_is_stored_once(server: RunningServer) -> None:
    """A client that sends the same edit again, on this connection or another, adds nothing to the log."""
    async with server.peer("d") as one, server.peer("d") as other:
        sent = await one.append("once")
        await one.send(SyncUpdate(Update(sent)))
        await other.send(SyncUpdate(Update(sent)))
        await one.acknowledge()
        await other.acknowledge()
        positions = await server.call(lambda: [room.position for room in server.node.rooms])
        assert positions == [1]
