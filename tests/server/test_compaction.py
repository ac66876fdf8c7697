"""Logs become snapshots: when, and never at the price of anything that was in the log."""

import asyncio
from collections.abc import Awaitable, Callable

import psutil
import pytest

from server.compaction import Compactor
from server.loading import Tail
from server.storage import Entry, Snapshot, StoreUnavailable
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyStore
from tests.server.folding import in_process, written
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, warnings_of
from tests.support.polling import PATIENCE_S, poll

Start = Callable[..., RunningServer]


async def test_a_fold_puts_one_snapshot_in_the_place_of_the_log() -> None:
    store = await written(20)
    before = Peer.text_of([entry.update for entry in (await store.load("d")).entries])
    async with in_process(store) as compactor:
        assert await compactor.compact("d")
        stored = await store.load("d")
        assert (list(stored.entries), stored.last_position) == ([], 22)
        assert stored.snapshot is not None
        assert Peer.text_of([stored.snapshot.update]) == before == "end"
        assert await compactor.compact("d"), "nothing to do is no failure"


async def test_D7_entries_that_come_during_a_fold_stay() -> None:
    store = FaultyStore(await written(20))
    async with in_process(store) as compactor:
        late = Entry("d", 23, update(section(9, 0, text("late"))))
        folding = asyncio.create_task(compactor.compact("d"))
        await until(lambda: store.loads, "read")
        await store.append([late])
        assert await folding
        stored = await store.load("d")
        assert list(stored.entries) == [late]


async def test_a_refused_document_does_not_keep_the_others_waiting(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it end the server: other documents are folded, and it is not tried again and again."""
    store = MemoryStore()
    await store.append([Entry("bad", 2, update(section(1, 5, text("c"))))])
    server = start(store)
    async with server.peer("bad") as peer:
        await peer.append("more")
        await peer.acknowledge()
    async with server.peer("good") as peer:
        await peer.append("content")
        await peer.acknowledge()

    async def snapshot() -> Snapshot | None:
        return (await store.load("good")).snapshot

    await eventually(snapshot)
    async with server.peer("bad") as peer:
        assert peer.shown == "more"
    assert [vars(line).get("document") for line in warnings_of(caplog)] == ["bad"]


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for something that takes another process."""
    await poll(condition, PATIENCE_S, "folded")


async def test_a_document_is_folded_when_it_is_unloaded(start: Start) -> None:
    store = MemoryStore()
    server = start(store)
    async with server.peer("d") as peer:
        await peer.append("content")
        await peer.acknowledge()
        assert (await store.load("d")).snapshot is None

    async def is_folded() -> bool:
        stored = await store.load("d")
        return stored.snapshot is not None and not stored.entries

    await eventually(is_folded)
    async with server.peer("d") as peer:
        assert peer.shown == "content"
        await peer.append(" more")
        await peer.acknowledge()
    async with server.peer("d") as peer:
        assert peer.shown == "content more"


def test_a_log_is_long_at_1000_rows_or_a_megabyte() -> None:
    compactor = Compactor(MemoryStore())
    assert compactor.is_long(Tail(rows=1_000))
    assert compactor.is_long(Tail(size_bytes=2**20))
    assert not compactor.is_long(Tail(rows=999, size_bytes=2**20 - 1))


async def test_a_server_that_folds_nothing_queues_nothing(start: Start) -> None:
    """Nobody would ever take the names out again."""
    store = MemoryStore()
    server = start(store, worker=False)
    async with server.peer("d") as peer:
        await peer.append("content")
        await peer.acknowledge()
    await server.unloaded()
    assert await server.call(lambda: dict(server.node.compactor._due)) == {}
    assert (await store.load("d")).snapshot is None


async def test_a_document_in_use_is_folded_when_its_log_is_long(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.compaction.LONG_ROWS", 50)
    monkeypatch.setattr("server.fold_requests.QUIET_S", 0.0)
    monkeypatch.setattr("server.node.TICK_S", 0.001)
    store = MemoryStore()
    server = start(store)
    async with server.peer("d") as peer, server.peer("d") as reader:
        for _ in range(60):
            await peer.append("x")
            await peer.acknowledge()

        async def is_folded() -> bool:
            return (await store.load("d")).snapshot is not None

        await eventually(is_folded)
        await peer.append("end")
        await peer.acknowledge()
        await reader.shows(peer.shown)
    await server.unloaded()
    async with server.peer("d") as later:
        assert later.shown == peer.shown


async def test_compaction_waits_for_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.compaction.RETRY_S", 0.01)
    store = FaultyStore(await written(5))
    async with in_process(store) as compactor:
        store.load_error = StoreUnavailable("locked")
        working = asyncio.create_task(compactor.run())
        compactor.request("d")
        await until(lambda: len(store.loads) > 2, "tried again")
        store.recover()

        async def is_folded() -> bool:
            return (await store.inner.load("d")).snapshot is not None

        await eventually(is_folded)
        working.cancel()


async def test_D8_the_fold_runs_beside_the_loop(start: Start) -> None:
    """Somebody else's log is folded, by a process that stands still, while this document is edited."""
    store = FaultyStore()
    server = start(store)

    async def is_folded() -> bool:
        return not (await store.inner.load("other")).entries

    async with server.peer("d") as peer:
        async with server.peer("other") as writer:
            await writer.append("one ")
            await writer.acknowledge()
        await eventually(is_folded)
        process = folding_process(server)
        process.suspend()
        try:
            async with server.peer("other") as writer:
                await writer.append("two")
                await writer.acknowledge()
            loads = store.loads.count("other")
            await until(lambda: store.loads.count("other") > loads, "the log is read, to be folded")
            for _ in range(100):
                await peer.append("x")
                await peer.acknowledge()
            assert not await is_folded()
        finally:
            process.resume()
        await eventually(is_folded)


def folding_process(server: RunningServer) -> psutil.Process:
    """Return the process that has folded."""
    running = server.node.compactor._folding._running
    assert running is not None
    assert running._process.pid is not None
    return psutil.Process(running._process.pid)
