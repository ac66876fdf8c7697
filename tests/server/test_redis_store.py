"""What the Redis store adds to the contract: one log with the bus, crashes, damage, full memory, trimming."""

import asyncio
import logging
import random
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.bus import Position, position_at
from server.bus.redis import RedisBus
from server.storage import Backlog, DocumentUnreadable, Entry, Snapshot, Stored, StoreUnavailable
from server.storage.redis import RedisStore
from tests.support.polling import poll
from tests.support.redis_server import RedisCluster, RedisServer
from tests.support.server_process import free_port
from tests.support.stores import Writer, append_losing_the_answer, append_until_stored, entries
from tests.support.tcp_proxy import TcpProxy

STREAM, SNAPSHOT, LATE, QUARANTINE = (
    f"cowrite:0:{{a}}:{what}" for what in ("stream", "snapshot", "late", "quarantine")
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(running: RedisServer) -> RedisServer:
    """Give an empty Redis."""
    running.flush()
    return running


@pytest.fixture
async def nodes(redis: RedisServer) -> AsyncIterator[list[RedisStore]]:
    """Open the store of two nodes on one Redis."""
    async with RedisStore.open(redis.url) as one, RedisStore.open(redis.url) as other:
        yield [one, other]


@pytest.fixture
async def bus(redis: RedisServer) -> AsyncIterator[RedisBus]:
    async with RedisBus.open(redis.url, node="a node") as bus:
        yield bus


async def append_through(bus: RedisBus, document: str, updates: Sequence[bytes]) -> list[Entry]:
    """Append as a node does: to the stream first; return what is then given to the store."""
    positions = await bus.append([(document, update) for update in updates])
    return [Entry(document, at, update) for at, update in zip(positions, updates, strict=True)]


# One log with the bus


async def test_what_the_bus_appended_is_stored_and_appending_it_again_changes_nothing(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    written = await append_through(bus, "a", [b"one", b"two", b"three"])
    before = redis.execute("XRANGE", STREAM, "-", "+")
    for store in nodes:
        await store.append(written)
    assert redis.execute("XRANGE", STREAM, "-", "+") == before
    assert await nodes[0].load("a") == Stored(None, 0, written, written[-1].position)
    assert await nodes[1].backlog() == [Backlog("a", 3, len(b"onetwothree"))]


async def test_what_redis_lost_is_in_the_stream_again_and_the_bus_counts_on(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    written = await append_through(bus, "a", [b"one", b"two"])
    redis.flush()
    await nodes[0].append(written)
    more = await append_through(bus, "a", [b"three"])
    assert more[0].position > written[-1].position
    reading = await bus.read("a", Position(written[0].position - 1))
    assert [(entry.position, entry.update) for entry in reading.entries] == [
        (entry.position, entry.update) for entry in written + more
    ]
    assert list((await nodes[0].load("a")).entries) == written + more


async def test_an_entry_that_comes_after_the_stream_was_reborn_is_stored_in_its_place(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    lost = await append_through(bus, "a", [b"lost"])
    redis.flush()
    reborn = await append_through(bus, "a", [b"reborn"])
    await nodes[0].append(lost + reborn)
    await nodes[1].append([Entry("a", lost[0].position, b"not the first")])
    assert await nodes[0].load("a") == Stored(None, 0, lost + reborn, reborn[0].position)
    assert await nodes[0].backlog() == [Backlog("a", 2, len(b"lostreborn"))]
    assert await nodes[0].replace("a", Snapshot(b"lost", lost[0].position, 1), generation=0)
    assert list((await nodes[1].load("a")).entries) == reborn
    assert redis.execute("EXISTS", LATE) == 0
    await nodes[0].append(lost)
    assert redis.execute("EXISTS", LATE) == 0


async def test_folded_entries_leave_the_stream_and_its_latest_position_stays(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    written = await append_through(bus, "a", [b"one", b"two", b"three"])
    assert await nodes[0].replace("a", Snapshot(b"s", written[1].position, 1), generation=0)
    assert len(redis.execute("XRANGE", STREAM, "-", "+")) == 1
    last = written[2].position
    assert await nodes[0].replace("a", Snapshot(b"s", last, 1), generation=1)
    assert redis.execute("XLEN", STREAM) == 0
    assert await nodes[1].load("a") == Stored(Snapshot(b"s", last, 1), 2, [], last)
    [after] = await append_through(bus, "a", [b"four"])
    assert after.position == last + 1
    assert list((await nodes[0].load("a")).entries) == [after]


async def test_a_document_that_was_edited_once_and_folded_takes_little_beside_its_snapshot(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    [written] = await append_through(bus, "a", [b"x" * 3000])
    snapshot = b"s" * 10_000
    assert await nodes[0].replace("a", Snapshot(snapshot, written.position, 1), generation=0)
    keys = redis.execute("KEYS", "cowrite:0:{a}:*")
    assert sorted(keys) == [SNAPSHOT.encode(), STREAM.encode()]
    # Redis rounds a string of this size up to its next size class, by up to a quarter.
    took = sum(int(redis.execute("MEMORY", "USAGE", key)) for key in keys)
    empty = await empty_snapshot_bytes(redis, len(snapshot))
    assert took - empty < 600


async def empty_snapshot_bytes(redis: RedisServer, size: int) -> int:
    """Return what Redis takes for a string of ``size`` bytes under the shortest name."""
    redis.execute("SET", "s", b"s" * size)
    return int(redis.execute("MEMORY", "USAGE", "s"))


async def test_with_a_grace_entries_stay_readable_for_as_long(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    async with RedisStore.open(redis.url, grace_s=3600) as patient:
        written = await append_through(bus, "a", [b"one", b"two", b"three"])
        for index in range(2):
            snapshot = Snapshot(b"s", written[index].position, 1)
            assert await patient.replace("a", snapshot, generation=index)
        await patient.reclaim()
        slow = await bus.read("a", Position(written[0].position))
        assert slow.is_gapless
        assert [entry.update for entry in slow.entries] == [b"two", b"three"]
        assert list((await patient.load("a")).entries) == written[2:]
        assert await patient.backlog() == [Backlog("a", 1, len(b"three"))]
    async with RedisStore.open(redis.url, grace_s=0.01) as hasty:

        async def is_trimmed() -> bool:
            await hasty.reclaim()
            return bool(redis.execute("XLEN", STREAM) == 1)

        await poll(is_trimmed, 10, "the grace has ended")
    assert list((await nodes[0].load("a")).entries) == written[2:]
    assert sorted(redis.execute("KEYS", "cowrite:0:{a}:*")) == [SNAPSHOT.encode(), STREAM.encode()]


async def test_an_emptied_redis_has_empty_documents_and_refuses_snapshots_of_the_old_ones(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    await nodes[0].append(entries("a", [1, 2, 3]))
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), generation=0)
    redis.flush()
    assert await nodes[0].load("a") == Stored(None, 0, [], 0)
    assert not await nodes[0].replace("a", Snapshot(b"three", 3, 1), generation=1)
    assert await nodes[0].backlog() == []


# Several nodes


async def test_nodes_that_append_to_one_document_at_once_lose_and_double_nothing(
    nodes: list[RedisStore], seed: int
) -> None:
    chosen = random.Random(seed)

    async def write(store: RedisStore, text: str) -> None:
        positions = list(range(1, 301))
        chosen.shuffle(positions)
        for at in range(0, 300, 10):
            batch = entries("a", positions[at : at + 10], text)
            await store.append(batch + entries(f"of {text}", [batch[0].position], text))

    await asyncio.gather(*(write(store, f"node {index}") for index, store in enumerate(nodes)))
    loads = [await store.load("a") for store in nodes]
    assert loads[0] == loads[1]
    assert [entry.position for entry in loads[0].entries] == list(range(1, 301))
    written = entries("a", range(1, 301), "node 0") + entries("a", range(1, 301), "node 1")
    assert set(loads[0].entries) <= set(written)
    for index, store in enumerate(nodes):
        assert len((await store.load(f"of node {1 - index}")).entries) == 30


@pytest.mark.parametrize("generation", [0, 1])
async def test_of_two_nodes_that_replace_at_once_exactly_one_wins(
    nodes: list[RedisStore], generation: int
) -> None:
    for name in map(str, range(20)):
        await nodes[0].append(entries(name, range(1, 6)))
        if generation:
            assert await nodes[0].replace(name, Snapshot(b"one", 1, 1), generation=0)
        rivals = [Snapshot(b"two", 2, 1), Snapshot(b"three", 3, 1)]
        won = await asyncio.gather(
            *(
                store.replace(name, rival, generation=generation)
                for store, rival in zip(nodes, rivals, strict=True)
            )
        )
        assert sorted(won) == [False, True]
        winner = rivals[won.index(True)]
        kept = entries(name, range(winner.position + 1, 6))
        assert await nodes[0].load(name) == Stored(winner, generation + 1, kept, 5)


async def test_a_load_beside_replaces_and_appends_never_has_a_hole(nodes: list[RedisStore]) -> None:
    writer, reader = nodes
    is_over = asyncio.Event()

    async def write() -> None:
        for position in range(1, 200):
            await writer.append(entries("a", [position]))
            if position % 3 == 0:
                assert await writer.replace("a", Snapshot(b"s", position, 1), generation=position // 3 - 1)
        is_over.set()

    async def read() -> None:
        while not is_over.is_set():
            stored = await reader.load("a")
            folded = stored.snapshot.position if stored.snapshot else 0
            assert list(stored.entries) == entries("a", range(folded + 1, stored.last_position + 1))

    await asyncio.gather(write(), read(), read())


async def test_positions_of_today_keep_their_order(nodes: list[RedisStore]) -> None:
    """Those of a stream are larger than what a number of Lua holds exactly."""
    birth = 1_900_000_000_000
    positions = [position_at(birth + later, sequence) for later in (0, 1) for sequence in (0, 1, 4_000_000)]
    written = entries("a", positions)
    for entry in random.Random(3).sample(written, len(written)):
        await nodes[0].append([entry])
    for generation, folded in enumerate(positions[:-1]):
        assert await nodes[1].replace("a", Snapshot(b"s", folded, 1), generation=generation)
        assert list((await nodes[0].load("a")).entries) == written[generation + 1 :]


async def test_a_cluster_has_documents_on_every_server_and_lists_them_all(tmp_path: Path) -> None:
    names = [f"doc {number}" for number in range(60)]
    with RedisCluster(tmp_path) as cluster:
        async with RedisStore.open(cluster.url, grace_s=3600) as store:
            await store.append([entry for name in names for entry in entries(name, [1, 2])])
            for name in names:
                assert await store.replace(name, Snapshot(b"one", 1, 1), generation=0)
            assert sorted(waiting.document for waiting in await store.backlog()) == sorted(names)
            await store.reclaim()
            for name in names:
                assert list((await store.load(name)).entries) == entries(name, [2])
        assert all(server.execute("DBSIZE") > 0 for server in cluster.servers)


# Damage


def damaged_copy(redis: RedisServer, position: int) -> None:
    """Exchange the last entry of the stream for a damaged one at the next position."""
    [(id, fields)] = redis.execute("XRANGE", STREAM, f"0-{position}", f"0-{position}")
    redis.execute("XDEL", STREAM, id)
    redis.execute("XADD", STREAM, f"0-{position + 1}", "e", fields[b"e"][:-1] + b"!")


async def test_a_damaged_entry_is_moved_once_and_the_others_are_served(
    redis: RedisServer, nodes: list[RedisStore], caplog: pytest.LogCaptureFixture
) -> None:
    await nodes[0].append(entries("a", [1, 2]) + entries("b", [1]))
    damaged_copy(redis, 2)
    redis.execute("XADD", STREAM, "0-4", "f", "foreign", "g", "fields")
    await nodes[0].append(entries("a", [5]))
    redis.execute("HSET", LATE, "0-1", b"beside a good one", "0-2", b"damaged")
    loads = await asyncio.gather(*(store.load("a") for store in nodes * 3))
    assert [list(stored.entries) for stored in loads] == [entries("a", [1, 5])] * 6
    again = await nodes[0].load("a")
    assert (list(again.entries), again.last_position) == (entries("a", [1, 5]), 5)
    assert list((await nodes[1].load("b")).entries) == entries("b", [1])
    moved = redis.execute("HGETALL", QUARANTINE)
    assert moved[b"0-1"] == b"beside a good one"
    assert moved[b"0-2"] == b"damaged"
    assert moved[b"0-3"].endswith(b"a 2 updat!")
    assert moved[b"0-4"] == b"fforeigngfields"
    assert sorted((record.levelno, record.args) for record in caplog.records) == [
        (logging.ERROR, ("a", position)) for position in range(1, 5)
    ]


async def test_an_entry_that_was_quarantined_is_stored_when_it_comes_whole(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    redis.execute("XADD", STREAM, "0-1", "e", "damaged")
    assert await nodes[0].load("a") == Stored(None, 0, [], 1)
    await nodes[0].append(entries("a", [1]))
    for store in nodes:
        assert await store.load("a") == Stored(None, 0, entries("a", [1]), 1)


@pytest.mark.parametrize("offset", [0, 2, 4, 6, 8, 10, 30, -1])
async def test_a_document_with_a_damaged_snapshot_is_unreadable_and_stays_as_it_is(
    redis: RedisServer, nodes: list[RedisStore], offset: int
) -> None:
    await nodes[0].append(entries("a", [1, 2, 3]) + entries("b", [1]))
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), generation=0)
    record = bytearray(redis.execute("GET", SNAPSHOT))
    record[offset] ^= 1
    redis.execute("SET", SNAPSHOT, bytes(record))
    before = [redis.execute("DUMP", key) for key in (STREAM, SNAPSHOT)]
    for store in nodes:
        with pytest.raises(DocumentUnreadable):
            await store.load("a")
    assert list((await nodes[0].load("b")).entries) == entries("b", [1])
    assert [redis.execute("DUMP", key) for key in (STREAM, SNAPSHOT)] == before
    await nodes[0].append(entries("a", [4]))
    assert redis.execute("XLEN", STREAM) == 2


async def test_a_snapshot_in_the_place_of_another_is_damage(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    for name in "ab":
        assert await nodes[0].replace(name, Snapshot(name.encode(), 1, 1), generation=0)
    redis.execute("SET", SNAPSHOT, redis.execute("GET", SNAPSHOT.replace("{a}", "{b}")))
    with pytest.raises(DocumentUnreadable):
        await nodes[0].load("a")


async def test_a_key_of_another_kind_is_an_error_and_not_an_empty_document(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    redis.execute("SET", STREAM, "a string")
    for call in (nodes[0].load("a"), nodes[0].append(entries("a", [1])), nodes[0].backlog()):
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await call


# A Redis that dies, that is full, that is far


async def test_a_crash_of_redis_loses_and_doubles_nothing_and_the_store_recovers(
    tmp_path: Path, seed: int
) -> None:
    chosen = random.Random(seed)
    with RedisServer(tmp_path) as server:
        async with RedisStore.open(server.url, timeout_s=2) as store:
            writer = Writer(store)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(writer.run())
                for crashes in range(1, 4):
                    await asyncio.sleep(chosen.uniform(0, 0.2))
                    server.kill()
                    await writer.has_failed(crashes)
                    with pytest.raises(StoreUnavailable):
                        await store.load("a")
                    await asyncio.to_thread(server.start)
                    await writer.goes_on()
                writer.stop()
            assert list((await store.load("a")).entries) == writer.acknowledged
            assert writer.acknowledged == entries("a", range(1, len(writer.acknowledged) + 1))


@asynccontextmanager
async def memory_limit(redis: RedisServer, extra_bytes: int) -> AsyncIterator[None]:
    """Let Redis have no more than a little above what it has."""
    used = redis.execute("INFO", "memory")["used_memory"]
    redis.execute("CONFIG", "SET", "maxmemory", used + extra_bytes)
    try:
        yield
    finally:
        redis.execute("CONFIG", "SET", "maxmemory", 0)


async def test_full_memory_loses_nothing_and_folding_makes_room(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    store = nodes[0]
    await store.append([Entry("a", position, b"x" * 10_000) for position in range(1, 301)])
    stored: list[Entry] = []
    async with memory_limit(redis, 1_000_000):
        with pytest.raises(StoreUnavailable, match="OOM"):
            for position in range(1, 1000):
                batch = [Entry("filling", position, b"y" * 10_000)]
                await store.append(batch)
                stored += batch
        more = [Entry("new", position, b"z" * 1000) for position in range(1, 100)]
        with pytest.raises(StoreUnavailable, match="OOM"):
            await store.append(more)
        assert list((await store.load("filling")).entries) == stored
        assert await store.replace("a", Snapshot(b"s" * 100_000, 300, 1), generation=0)
        await store.append(more)
    assert list((await store.load("new")).entries) == more
    assert list((await store.load("filling")).entries) == stored
    assert (await store.load("a")).snapshot == Snapshot(b"s" * 100_000, 300, 1)


async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    for position in range(1, 4):
        redis.execute("SCRIPT", "FLUSH")
        await nodes[0].append(entries("a", [position]) + entries("b", [position]))
        redis.execute("SCRIPT", "FLUSH")
        assert list((await nodes[0].load("a")).entries) == entries("a", range(1, position + 1))
    redis.execute("SCRIPT", "FLUSH")
    assert await nodes[0].replace("a", Snapshot(b"s", 3, 1), generation=0)


async def test_an_append_whose_answer_was_lost_is_stored_once(redis: RedisServer) -> None:
    async with TcpProxy.open(redis.port) as proxy, RedisStore.open(proxy.url, timeout_s=1) as store:
        await store.append(entries("a", [1]))
        for position in range(2, 6):
            await append_losing_the_answer(store, proxy, entries("a", [position], "first"))
            await append_until_stored(store, entries("a", [position], "again"))
        stored = await store.load("a")
    assert list(stored.entries) == entries("a", [1]) + entries("a", range(2, 6), "first")


async def test_a_server_that_falls_silent_is_reported_in_time(redis: RedisServer) -> None:
    async with TcpProxy.open(redis.port) as proxy, RedisStore.open(proxy.url, timeout_s=0.3) as store:
        await store.append(entries("a", [1]))
        proxy.drops_replies = True
        async with asyncio.timeout(5):
            calls = [store.append(entries("a", [2])), store.load("a"), store.backlog()]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}


# What may be said


async def test_no_error_shows_the_password(redis: RedisServer) -> None:
    nobody = free_port()
    for bad in (
        f"redis://:secret@127.0.0.1:{nobody}",
        f"redis://cowrite:secret@127.0.0.1:{redis.port}",
        "redis://:sec/secret@127.0.0.1",
        "redis://127.0.0.1:secret",
        "redis//:secret@127.0.0.1",
        "redis://:secret@[127.0.0.1",
    ):
        with pytest.raises(StoreUnavailable) as refused:
            async with RedisStore.open(bad, timeout_s=1):
                pass
        said = "".join(traceback.format_exception(refused.value))
        assert "secret" not in said, bad
