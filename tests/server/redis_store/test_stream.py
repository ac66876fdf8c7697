"""One log with the bus, on one server or on many."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from server.bus import Position, birth_of, position_at
from server.bus.redis import RedisBus
from server.storage import Backlog, Entry, Snapshot, Stored
from server.storage.redis import RedisStore
from tests.server.redis_store.support import LATE, SNAPSHOT, STREAM
from tests.support.redis_server import RedisCluster, RedisServer
from tests.support.stores import entries


@pytest.fixture
async def bus(redis: RedisServer) -> AsyncIterator[RedisBus]:
    async with RedisBus.open(redis.url, node="a node") as bus:
        yield bus


async def append_through(bus: RedisBus, document: str, updates: Sequence[bytes]) -> list[Entry]:
    """Append as a node does: to the stream first; return what is then given to the store."""
    positions = await bus.append([(document, update) for update in updates])
    return [Entry(document, at, update) for at, update in zip(positions, updates, strict=True)]


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


async def test_D12_what_redis_lost_is_stored_beside_the_stream_which_stays_lost(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    """A stream that stood there again with its last entry would look whole to everybody who follows it."""
    written = await append_through(bus, "a", [b"one", b"two"])
    redis.flush()
    await nodes[0].append(written[1:])
    assert redis.execute("EXISTS", STREAM) == 0
    reading = await bus.read("a", Position(written[1].position))
    assert (reading.is_gapless, reading.last) == (False, 0)
    assert await nodes[1].load("a") == Stored(None, 0, written[1:], written[1].position)
    assert await nodes[1].backlog() == [Backlog("a", 1, len(b"two"))]
    [more] = await append_through(bus, "a", [b"three"])
    assert birth_of(Position(more.position)) > birth_of(Position(written[1].position))
    assert list((await nodes[0].load("a")).entries) == [written[1], more]


async def test_D12_what_a_stream_lacks_that_went_back_is_stored_beside_it(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    written = await append_through(bus, "a", [b"one", b"two", b"three"])
    [(id, fields), *_] = redis.execute("XRANGE", STREAM, "-", "+")
    redis.execute("DEL", STREAM)
    redis.execute("XADD", STREAM, id, "e", fields[b"e"])
    await nodes[0].append(written)
    assert redis.execute("XLEN", STREAM) == 1
    assert (await bus.read("a", Position(written[2].position))).last == written[0].position
    assert await nodes[1].load("a") == Stored(None, 0, written, written[2].position)


async def test_an_entry_that_comes_after_the_stream_was_reborn_is_stored_in_its_place(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    lost = await append_through(bus, "a", [b"lost"])
    redis.flush()
    reborn = await append_through(bus, "a", [b"reborn"])
    assert not await nodes[0].append(lost + reborn)
    other = [Entry("a", entry.position, b"not the first") for entry in lost + reborn]
    assert await nodes[1].append(other) == other
    assert await nodes[0].load("a") == Stored(None, 0, lost + reborn, reborn[0].position)
    assert await nodes[0].backlog() == [Backlog("a", 2, len(b"lostreborn"))]
    position = lost[0].position
    assert await nodes[0].replace("a", Snapshot(b"lost", position, 1), folded=[position], generation=0)
    assert list((await nodes[1].load("a")).entries) == reborn
    assert redis.execute("EXISTS", LATE) == 0


async def test_folded_entries_leave_the_stream_and_its_latest_position_stays(
    redis: RedisServer, bus: RedisBus, nodes: list[RedisStore]
) -> None:
    written = await append_through(bus, "a", [b"one", b"two", b"three"])
    positions = [entry.position for entry in written]
    assert await nodes[0].replace("a", Snapshot(b"s", positions[1], 1), folded=positions[:2], generation=0)
    assert len(redis.execute("XRANGE", STREAM, "-", "+")) == 1
    last = positions[2]
    assert await nodes[0].replace("a", Snapshot(b"s", last, 1), folded=[last], generation=1)
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
    position = written.position
    assert await nodes[0].replace("a", Snapshot(snapshot, position, 1), folded=[position], generation=0)
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


async def test_an_emptied_redis_has_empty_documents_and_refuses_snapshots_of_the_old_ones(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    await nodes[0].append(entries("a", [1, 2, 3]))
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), folded=range(1, 3), generation=0)
    redis.flush()
    assert await nodes[0].load("a") == Stored(None, 0, [], 0)
    assert not await nodes[0].replace("a", Snapshot(b"three", 3, 1), folded=range(1, 4), generation=1)
    assert await nodes[0].backlog() == []


async def test_positions_of_today_keep_their_order(nodes: list[RedisStore]) -> None:
    """Those of a stream are larger than what a number of Lua holds exactly."""
    birth = 1_900_000_000_000
    positions = [position_at(birth + later, sequence) for later in (0, 1) for sequence in (0, 1, 4_000_000)]
    written = entries("a", positions)
    for entry in random.Random(3).sample(written, len(written)):
        await nodes[0].append([entry])
    for generation, folded in enumerate(positions[:-1]):
        snapshot = Snapshot(b"s", folded, 1)
        assert await nodes[1].replace("a", snapshot, folded=[folded], generation=generation)
        assert list((await nodes[0].load("a")).entries) == written[generation + 1 :]


async def test_a_cluster_has_documents_on_every_server_and_lists_them_all(tmp_path: Path) -> None:
    names = [f"doc {number}" for number in range(60)]
    with RedisCluster(tmp_path) as cluster:
        async with RedisStore.open(cluster.url) as store:
            await store.append([entry for name in names for entry in entries(name, [1, 2])])
            for name in names:
                assert await store.replace(name, Snapshot(b"one", 1, 1), folded=range(1, 2), generation=0)
            assert sorted(waiting.document for waiting in await store.backlog()) == sorted(names)
            for name in names:
                assert list((await store.load(name)).entries) == entries(name, [2])
        assert all(server.execute("DBSIZE") > 0 for server in cluster.servers)
