"""Logs become snapshots: when, and never at the price of anything that was in the log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from pycrdt import Doc, Text

from crdt.document import Document, merge
from crdt.update import Update
from server.compaction import Compactor
from server.loading import Tail
from server.storage import Entry, Snapshot, Store, StoreUnavailable
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.faults import FaultyStore
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, warnings_of
from tests.support.polling import poll

Start = Callable[..., RunningServer]


@asynccontextmanager
async def in_process(store: Store) -> AsyncIterator[Compactor]:
    """A compactor that folds in a thread of this process, where a test can reach it."""
    with ThreadPoolExecutor(1) as executor:
        yield Compactor(store, executor=executor)


async def written(words: int, document: str = "d") -> MemoryStore:
    """Return a store with a log of edits, insertions and deletions."""
    store = MemoryStore()
    peer = Peer("")
    entries: list[Entry] = []
    for number in range(words):
        change = peer.inserted(len(peer.text), f"{number} ")
        entries.append(Entry(document, len(entries) + 1, change))
    entries.append(Entry(document, len(entries) + 1, peer.change(lambda document: document.clear())))
    entries.append(Entry(document, len(entries) + 1, peer.change(lambda document: document.insert(0, "end"))))
    await store.append(entries)
    return store


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


def without_structs(document: Document) -> Update:
    doc: Doc[Text] = Doc()
    doc.apply_update(document.diff(b"\x00"))
    fresh: Doc[Text] = Doc(client_id=1)
    fresh.get("t", type=Text).insert(0, str(doc.get("t", type=Text))[:-1])
    return Update(fresh.get_update())


def failing(document: Document) -> Update:
    raise RuntimeError("a bug")


SABOTAGE = {
    "structs": without_structs,
    "empty": lambda _: Update(b"\x00\x00"),
    "rubbish": lambda _: Update(b"\xff\xff"),
    "bug": failing,
}


@pytest.mark.parametrize("kind_of_sabotage", SABOTAGE)
async def test_F8_a_fold_that_would_lose_something_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind_of_sabotage: str
) -> None:
    store = await written(20)
    before = await store.load("d")
    monkeypatch.setattr(Document, "encode", SABOTAGE[kind_of_sabotage])
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before
    (line,) = warnings_of(caplog)
    assert (line.levelno, vars(line)["document"]) == (logging.ERROR, "d")


@pytest.mark.parametrize("lost", range(4))
async def test_F8_a_merge_that_drops_an_update_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lost: int
) -> None:
    """The proof comes from the inputs: what a wrong merge left out is missed."""
    store = MemoryStore()
    kinds = [
        update(section(1, 0, text("abc"))),
        update(section(2, 0, text("def"))),
        update(section(3, 0, text("ghi"))),
        update(deletes={1: [(0, 1)]}),
    ]
    await store.append([Entry("d", index, kind) for index, kind in enumerate(kinds, 1)])
    before = await store.load("d")
    monkeypatch.setattr(
        "crdt.compaction.merge", lambda updates: merge([u for u in updates if u != kinds[lost]])
    )
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before
    assert [line.levelno for line in warnings_of(caplog)] == [logging.ERROR]


async def test_F8_a_log_with_a_hole_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await store.append(
        [Entry("d", 1, update(section(1, 0, text("a")))), Entry("d", 3, update(section(1, 2, text("c"))))]
    )
    before = await store.load("d")
    async with in_process(store) as compactor:
        assert not await compactor.compact("d")
    assert await store.load("d") == before


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
    await poll(condition, 30, "folded")


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
    assert compactor.is_due(Tail(rows=1_000))
    assert compactor.is_due(Tail(size_bytes=2**20))
    assert not compactor.is_due(Tail(rows=999, size_bytes=2**20 - 1))


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
    monkeypatch.setattr("server.compaction.DUE_ROWS", 50)
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


async def test_D8_the_fold_runs_beside_the_loop(server: RunningServer) -> None:
    """Somebody else's large log is folded while this document is edited: no edit waits for it."""
    async with server.peer("large") as writer:
        for _ in range(60):
            await writer.append("x" * 50_000)
        await writer.acknowledge()
    async with server.peer("d") as peer:
        worst = 0.0
        for _ in range(100):
            before = asyncio.get_running_loop().time()
            await peer.append("x")
            await peer.acknowledge()
            worst = max(worst, asyncio.get_running_loop().time() - before)
    assert worst < 0.5
