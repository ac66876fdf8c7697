"""Logs of documents with objects of several keys get short, and their streams are trimmed (D6, D12)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crdt.meaning import means_same
from server.bus import Bus
from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from server.compaction import Compactor
from server.storage import Entry, Snapshot, Store
from server.storage.memory import MemoryStore
from server.storage.redis import RedisStore
from server.storage.sqlite import SqliteStore
from tests.crdt.contents import ORDINARY
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


async def snapshot_of(store: Store, document: str) -> Snapshot:
    """Return what is stored, which is a snapshot and nothing else."""
    stored = await store.load(document)
    assert not stored.entries
    assert stored.snapshot is not None
    return stored.snapshot


async def append(store: Store, bus: Bus) -> None:
    """Append the logs as a node does."""
    for name, log in ORDINARY.items():
        positions = await bus.append([(name, update) for update in log])
        await store.append([Entry(name, *entry) for entry in zip(positions, log, strict=True)])


async def fold_all(store: Store, bus: Bus | None = None) -> None:
    """Fold twice: the second time there is nothing to do, and nothing changes."""
    with ThreadPoolExecutor(1) as executor:
        compactor = Compactor(store, bus, executor)
        for name in ORDINARY:
            assert await compactor.compact(name)
            first = await snapshot_of(store, name)
            assert await compactor.compact(name)
            assert await snapshot_of(store, name) == first


async def test_D6_the_log_of_each_kind_of_content_gets_short(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        for name, log in ORDINARY.items():
            await store.append([Entry(name, position, update) for position, update in enumerate(log, 1)])
        await fold_all(store)
        assert not await store.backlog()


@pytest.mark.parametrize("is_store", [False, True], ids=["beside another store", "as the store"])
async def test_D12_the_stream_of_each_kind_of_content_is_trimmed(
    redis: RedisServer, *, is_store: bool
) -> None:
    async with (
        RedisBus.open(redis.url, node="one") as bus,
        RedisStore.open(redis.url) as redis_store,
    ):
        store = redis_store if is_store else MemoryStore()
        await append(store, bus)
        await fold_all(store, bus)
        for name in ORDINARY:
            assert redis.execute("XLEN", RedisKeys(0).of(name).stream) == 0
        await append(store, bus)
        before = {name: await store.load(name) for name in ORDINARY}
        await fold_all(store, bus)
        for name in ORDINARY:
            held = before[name].snapshot
            assert held is not None
            assert means_same((await snapshot_of(store, name)).update, held.update)
