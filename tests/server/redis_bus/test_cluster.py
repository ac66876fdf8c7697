"""A Cluster of which a master dies, or a slot moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.bus import BusUnavailable, Position
from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from tests.server.redis_bus.support import append, append_until_done, everything, without_doubles
from tests.support.bus_ear import Ear
from tests.support.redis_server import RedisCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


def one_document_each(cluster: RedisCluster) -> list[str]:
    """Return a document for each master."""
    found: dict[int, str] = {}
    for index in range(1000):
        document = f"document {index}"
        found.setdefault(cluster.server_of(RedisKeys(0).of(document).stream).port, document)
    return [found[server.port] for server in cluster.servers]


async def test_cluster_a_dead_master_is_unavailable_until_it_is_back(cluster: RedisCluster) -> None:
    documents = one_document_each(cluster)
    ears = {document: Ear() for document in documents}
    async with RedisBus.open(cluster.url, node="one") as bus:
        for document, ear in ears.items():
            await bus.listen(document, ear)
        await bus.append([(document, b"one") for document in documents])
        cluster.servers[0].kill()
        with pytest.raises(BusUnavailable):
            await bus.append([(document, b"two") for document in documents])
        cluster.servers[0].restart()
        for document, ear in ears.items():
            await append_until_done(bus, b"two", document=document)
            assert without_doubles(await everything(bus, document)) == [b"one", b"two"]
            await ear.doubts_again(0)
            await append_until_done(bus, b"three", document=document)
            await ear.hears(b"three")


async def test_cluster_a_document_follows_its_slot_to_another_master(cluster: RedisCluster) -> None:
    document = one_document_each(cluster)[0]
    keys = RedisKeys(0).of(document)
    source, target = cluster.servers[:2]
    source_id, target_id = (server.execute("CLUSTER", "MYID") for server in (source, target))
    ear = Ear()
    async with RedisBus.open(cluster.url, node="one") as bus:
        await bus.listen(document, ear)
        first = await append(bus, b"one", document=document)
        target.execute("CLUSTER", "SETSLOT", keys.slot, "IMPORTING", source_id)
        source.execute("CLUSTER", "SETSLOT", keys.slot, "MIGRATING", target_id)
        second = await append(bus, b"two", document=document)
        source.execute("MIGRATE", "127.0.0.1", target.port, keys.stream, 0, 5000)
        third = await append_until_done(bus, b"three", document=document)
        for server in (target, source, cluster.servers[2]):
            server.execute("CLUSTER", "SETSLOT", keys.slot, "NODE", target_id)
        fourth = await append_until_done(bus, b"four", document=document)
        await ear.doubts_again(0)
        reading = await bus.read(document, Position(0))
        assert [entry.position for entry in reading.entries] == [*first, *second, *third, *fourth]
        assert reading.is_gapless
        await append(bus, b"five", document=document)
        await ear.hears(b"five")
