"""Logs of which a part is in a stream become snapshots: a stream may be lost, and rows may come late."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pycrdt import Doc, Text, merge_updates

from server.bus import Bus, BusUnavailable, Position
from server.bus.memory import MemoryBus, MemoryStreams
from server.bus.redis import RedisBus
from server.bus.redis_entries import id_of
from server.bus.redis_keys import RedisKeys
from server.compaction import Compactor
from server.storage import Entry, Store
from server.storage.memory import MemoryStore
from server.storage.redis import RedisStore
from tests.server.faults import FaultyStore
from tests.server.support import Peer, until, update_of, warnings_of
from tests.support.polling import PATIENCE_S, poll
from tests.support.redis_server import RedisServer


@asynccontextmanager
async def compacting(store: Store, bus: Bus, *, sweep_s: float = 3_600.0) -> AsyncIterator[Compactor]:
    """A compactor that folds in a thread of this process."""
    with ThreadPoolExecutor(1) as executor:
        yield Compactor(store, bus, executor, sweep_s=sweep_s)


async def append(store: Store, bus: Bus, *updates: bytes, document: str = "d") -> list[Entry]:
    """Append as a node does."""
    written = await stream(bus, *updates, document=document)
    await store.append(written)
    return written


async def stream(bus: Bus, *updates: bytes, document: str = "d") -> list[Entry]:
    """Append to the stream only; return what is then given to the store."""
    positions = await bus.append([(document, update) for update in updates])
    return [Entry(document, at, update) for at, update in zip(positions, updates, strict=True)]


async def words(store: Store) -> list[str]:
    """Return the words that somebody gets who loads the document now."""
    stored = await store.load("d")
    snapshot = [stored.snapshot.update] if stored.snapshot else []
    doc: Doc[Text] = Doc()
    doc.apply_update(merge_updates(*snapshot, *(entry.update for entry in stored.entries)))
    return sorted(str(doc.get("t", type=Text)).split())


def texts(*numbers: int) -> list[bytes]:
    return [update_of(f"{number} ") for number in numbers]


async def test_D12_rows_of_a_stream_that_was_lost_are_folded_with_those_of_the_next() -> None:
    store, streams = MemoryStore(), MemoryStreams()
    bus = MemoryBus(streams, node="one")
    await append(store, bus, *texts(1, 2))
    streams.forget_everything()
    await append(store, bus, *texts(3))
    async with compacting(store, bus) as compactor:
        assert await compactor.compact("d")
    assert await words(store) == ["1", "2", "3"]
    assert not (await store.load("d")).entries
    assert not await bus.backlog()


async def test_D12_what_a_stream_lost_that_went_back_and_what_it_got_since_are_both_folded() -> None:
    store, streams = MemoryStore(), MemoryStreams()
    bus = MemoryBus(streams, node="one")
    written = await append(store, bus, *texts(1, 2, 3))
    async with compacting(store, bus) as compactor:
        assert await compactor.compact("d")
        streams.go_back("d", Position(written[0].position))
        unaware = MemoryBus(streams, node="other")
        [again] = await stream(unaware, *texts(4))
        assert again.position == written[1].position
        assert await compactor.compact("d")
    assert await words(store) == ["1", "2", "3", "4"]


async def test_D12_a_row_that_comes_after_its_stream_was_lost_and_folded_over_is_seen_and_folded() -> None:
    store, streams = MemoryStore(), MemoryStreams()
    bus = MemoryBus(streams, node="one")
    written = await stream(bus, *texts(1, 2, 3))
    await store.append(written[:2])
    streams.forget("d")
    await append(store, bus, *texts(4))
    async with compacting(store, bus) as compactor:
        assert await compactor.compact("d")
        assert await words(store) == ["1", "2", "4"]
        assert not await store.append(written[2:])
        assert await words(store) == ["1", "2", "3", "4"]
        assert await compactor.compact("d")
    stored = await store.load("d")
    assert (await words(store), list(stored.entries)) == (["1", "2", "3", "4"], [])


async def test_D12_what_comes_while_a_log_is_folded_stays_in_store_and_stream() -> None:
    store, streams = FaultyStore(), MemoryStreams()
    bus = MemoryBus(streams, node="one")
    written = await stream(bus, *texts(1, 2, 3))
    await store.append([written[0], written[2]])
    async with compacting(store, bus) as compactor:
        folding = asyncio.create_task(compactor.compact("d"))
        await until(lambda: store.loads, "read")
        await store.append([written[1]])
        late = await append(store, bus, *texts(4))
        assert await folding
    assert await words(store) == ["1", "2", "3", "4"]
    assert [entry.update for entry in (await bus.read("d", Position(0))).entries] == [late[0].update]


async def test_D6_a_hole_that_nobody_can_fill_stops_only_what_needs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, streams = MemoryStore(), MemoryStreams()
    bus = MemoryBus(streams, node="one")
    written = await stream(bus, *texts(1, 2, 3))
    await store.append([written[0], written[2]])
    streams.forget("d")
    async with compacting(store, bus) as compactor:
        assert await compactor.compact("d")
        assert (await words(store), list((await store.load("d")).entries)) == (["1", "3"], [])
        peer = Peer("")
        changes = [peer.inserted(len(peer.text), word) for word in ("a ", "b ")]
        await append(store, bus, changes[1])
        streams.forget("d")
        before = await store.load("d")
        assert not await compactor.compact("d")
    assert await store.load("d") == before
    [line] = warnings_of(caplog)
    assert (line.levelno, vars(line)["document"]) == (logging.ERROR, "d")


async def test_B9_a_sweep_finds_what_only_the_stream_has() -> None:
    """Its node was killed after it had acknowledged as streamed, and nobody opens the document."""
    store, streams = MemoryStore(), MemoryStreams()
    killed = MemoryBus(streams, node="killed")
    await stream(killed, *texts(1, 2))
    killed.die()
    bus = MemoryBus(streams, node="one")
    async with compacting(store, bus, sweep_s=0.01) as compactor:
        working = asyncio.create_task(compactor.run())
        await folded(store, "d")
        working.cancel()
    assert await words(store) == ["1", "2"]


async def folded(store: Store, document: str) -> None:
    async def has_snapshot() -> bool:
        return (await store.load(document)).snapshot is not None

    await poll(has_snapshot, PATIENCE_S, "folded")


class PartlyAway(MemoryBus):
    """A bus of which one server is away: it has the claims on some documents."""

    away: frozenset[str] = frozenset()

    async def claim(self, task: str, hold_s: float) -> bool:
        if task.removeprefix("fold:") in self.away:
            raise BusUnavailable("CLUSTERDOWN")
        return await super().claim(task, hold_s)


async def test_B9_a_document_that_cannot_be_reached_holds_up_no_other_and_is_folded_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.compaction.RETRY_S", 0.01)
    store, bus = MemoryStore(), PartlyAway(MemoryStreams(), node="one")
    names: Sequence[str] = ["bad", "good", "better"]
    for name in names:
        await append(store, bus, *texts(1), document=name)
    bus.away = frozenset(["bad"])
    async with compacting(store, bus) as compactor:
        working = asyncio.create_task(compactor.run())
        for name in names:
            compactor.request(name)
        for name in names[1:]:
            await folded(store, name)
        assert (await store.load("bad")).snapshot is None
        await until(lambda: len(warnings_of(caplog)) > 1, "tried again")
        bus.away = frozenset()
        await folded(store, "bad")
        working.cancel()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


async def test_B7_an_entry_that_cannot_be_read_stays_in_the_stream_until_its_row_is_folded(
    redis: RedisServer,
) -> None:
    """It may be the edit of a newer node, whose row is on its way; what comes after it is folded."""
    store = MemoryStore()
    key = RedisKeys(0).of("d").stream
    async with RedisBus.open(redis.url, node="one") as bus, compacting(store, bus) as compactor:
        [first] = await append(store, bus, *texts(1))
        unread = Entry("d", first.position + 1, update_of("2 "))
        redis.execute("XADD", key, id_of(Position(unread.position)), "e", "newer")
        await append(store, bus, *texts(3))
        assert await compactor.compact("d")
        stored = await store.load("d")
        assert stored.snapshot is not None
        assert (await words(store), stored.snapshot.position) == (["1", "3"], first.position)
        assert redis.execute("XLEN", key) == 2
        generation = stored.generation
        assert await compactor.compact("d")
        assert (await store.load("d")).generation == generation, "nothing new is stored again and again"
        await store.append([unread])
        assert await compactor.compact("d")
        assert (await words(store), redis.execute("XLEN", key)) == (["1", "2", "3"], 0)


async def test_B7_an_entry_of_a_newer_node_outlives_the_folds_of_others_in_redis_as_the_store(
    redis: RedisServer,
) -> None:
    key = RedisKeys(0).of("d").stream
    async with (
        RedisStore.open(redis.url) as store,
        RedisBus.open(redis.url, node="one") as bus,
        compacting(store, bus) as compactor,
    ):
        [first] = await append(store, bus, *texts(1))
        redis.execute("XADD", key, id_of(Position(first.position + 1)), "e", b"\x02 newer")
        await append(store, bus, *texts(3))
        for _ in range(2):
            assert await compactor.compact("d")
            stored = await store.load("d")
            assert (stored.generation, await words(store)) == (1, ["1", "3"])
            assert redis.execute("XLEN", key) == 1
