"""Nodes on a Redis Cluster: one of its masters dies, or a document moves from one to another."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from server.bus.redis_keys import RedisKeys
from tests.faults.agreement import check_agreement
from tests.faults.people import enter, names_seen, wait_seen
from tests.support.clients import NodeClients
from tests.support.ledger import Author, Ledger
from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll, poll_blocking
from tests.support.redis_server import RedisCluster, RedisServer
from tests.support.server_process import ServerProcess

KEYS = RedisKeys(0)
PAUSE_S = 0.05
ONE_QUESTION_S = 5.0
"""Then the author writes on: the Cluster may be down."""
NOT_ACKNOWLEDGED_S = 1.0
PROGRESS = 10
"""Edits of each author that are acknowledged before and after something happens to the Cluster."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters."""
    with RedisCluster(tmp_path / "cluster") as running:
        yield running


class Scene:
    """Two people on two nodes, who write all the time."""

    def __init__(self, nodes: Sequence[ServerProcess], authors: Sequence[Author], ledger: Ledger) -> None:
        self.nodes = nodes
        self.authors = authors
        self.ledger = ledger
        self.names = {author.client.name for author in authors}

    async def progress(self) -> None:
        """Wait until some more edits of everybody are acknowledged."""
        before = self._counts()

        async def is_going_on() -> bool:
            counts = self._counts()
            return all(counts[name] >= before[name] + PROGRESS for name in self.names)

        await poll(is_going_on, PATIENCE_S, "edits of everybody are acknowledged")

    async def check_nobody_left(self) -> None:
        """Fail unless all see all, and always did since they met."""
        ids = {await author.client.client_id() for author in self.authors}
        for author in self.authors:
            await wait_seen(author.client, self.names)
            history = [set(seen) for seen in await author.client.history("present") if isinstance(seen, list)]
            met = history.index(ids)
            assert history[met:] == [ids] * len(history[met:])

    def _counts(self) -> dict[str, int]:
        return {
            name: sum(token.startswith(f"<{name}.") for token in self.ledger.inserted) for name in self.names
        }


async def write(author: Author, stop: asyncio.Event) -> None:
    """Write a token at a time until told to stop."""
    while not stop.is_set():
        await author.insert(1.0)
        await author.acknowledge(ONE_QUESTION_S)
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def writing(
    cluster: RedisCluster, clients: NodeClients, document: str, folder: Path
) -> AsyncIterator[Scene]:
    """Have two people write on two nodes; at the end all must agree, and hold all that was acknowledged."""
    async with run_nodes(folder, [server.url for server in cluster.servers[:2]]) as nodes:
        ledger = Ledger()
        people = [await enter(clients, node, document, f"on {i}") for i, node in enumerate(nodes)]
        scene = Scene(nodes, [Author(person, ledger) for person in people], ledger)
        for person in people:
            await wait_seen(person, scene.names)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for author in scene.authors:
                group.create_task(write(author, stop))
            await scene.progress()
            yield scene
            await scene.progress()
            stop.set()
        await check_agreement(scene.authors, nodes, document, ledger)
        await scene.check_nobody_left()
        print(f"acknowledged: {len(ledger.inserted)} of {len(ledger.attempted)}")


def names_like(document: str) -> Iterator[str]:
    """Name document after document."""
    return (f"{document}-{number}" for number in count())


def server_of(cluster: RedisCluster, document: str) -> RedisServer:
    """Return the master that has a document."""
    return cluster.server_of(KEYS.of(document).stream)


@pytest.mark.parametrize("lost", ["the document", "the leases"])
async def test_a_master_that_dies_and_returns_loses_nothing(
    cluster: RedisCluster, clients: NodeClients, document: str, tmp_path: Path, lost: str
) -> None:
    """The Cluster is down without it: people go on writing, acknowledgements wait until it is back."""
    keeper = cluster.server_of(KEYS.leases)
    document = next(name for name in names_like(document) if server_of(cluster, name) is not keeper)
    victim = server_of(cluster, document) if lost == "the document" else keeper
    others = [server for server in cluster.servers if server is not victim]
    async with writing(cluster, clients, document, tmp_path) as scene:
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(
            poll_blocking,
            lambda: all(b"cluster_state:fail" in server.execute("CLUSTER", "INFO") for server in others),
            PATIENCE_S,
            "the Cluster is down",
        )
        for author in scene.authors:
            await author.insert(1.0)
            assert not await author.client.is_acknowledged(NOT_ACKNOWLEDGED_S)
            assert await names_seen(author.client) == scene.names
        await asyncio.to_thread(victim.start)


def move_slot(cluster: RedisCluster, slot: int, source: RedisServer, target: RedisServer) -> None:
    """Move a slot and all its keys to another master, one key at a time."""
    source_id, target_id = (server.execute("CLUSTER", "MYID") for server in (source, target))
    target.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while keys := source.execute("CLUSTER", "GETKEYSINSLOT", slot, 1):
        source.execute("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
    others = [server for server in cluster.servers if server not in (source, target)]
    for server in (target, source, *others):
        server.execute("CLUSTER", "SETSLOT", slot, "NODE", target_id)


async def test_a_document_that_moves_to_another_master_loses_nothing(
    cluster: RedisCluster, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Its slot goes round the Cluster and back while people write."""
    keys = KEYS.of(document)
    start = cluster.servers.index(server_of(cluster, document))
    servers = [*cluster.servers[start:], *cluster.servers[:start]]
    async with writing(cluster, clients, document, tmp_path) as scene:
        for source, target in zip(servers, [*servers[1:], servers[0]], strict=True):
            await asyncio.to_thread(move_slot, cluster, keys.slot, source, target)
            await scene.progress()
