"""Stores that several nodes share: what they do at once."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from server.storage import Entry, Snapshot, Store, Stored
from tests.contracts.store.support import Open
from tests.support.stores import entries


@pytest.fixture(params=["postgres", "redis", "cluster"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[list[Store]]:
    """Open the store of two nodes in one place."""
    opened: Open = request.getfixturevalue(request.param)
    async with opened() as one, opened() as other:
        yield [one, other]


async def test_nodes_that_append_to_one_document_at_once_lose_and_double_nothing(
    nodes: list[Store], seed: int
) -> None:
    chosen = random.Random(seed)
    taken: list[Entry] = []

    async def write(store: Store, text: str) -> None:
        positions = list(range(1, 301))
        chosen.shuffle(positions)
        batches = [entries("a", positions[at : at + 10], text) for at in range(0, 300, 10)]
        for batch in batches:
            taken.extend(await store.append(batch + entries(f"of {text}", [batch[0].position], text)))

    await asyncio.gather(*(write(store, f"node {index}") for index, store in enumerate(nodes)))
    loads = [await store.load("a") for store in nodes]
    assert loads[0] == loads[1]
    assert [entry.position for entry in loads[0].entries] == list(range(1, 301))
    written = entries("a", range(1, 301), "node 0") + entries("a", range(1, 301), "node 1")
    assert set(loads[0].entries) == set(written) - set(taken)
    for index, store in enumerate(nodes):
        assert len((await store.load(f"of node {1 - index}")).entries) == 30


@pytest.mark.parametrize("generation", [0, 1])
async def test_of_two_nodes_that_replace_at_once_exactly_one_wins(
    nodes: list[Store], generation: int
) -> None:
    for name in map(str, range(20)):
        await nodes[0].append(entries(name, range(1, 6)))
        if generation:
            assert await nodes[0].replace(name, Snapshot(b"one", 1, 1), folded=range(1, 2), generation=0)
        rivals = [Snapshot(b"two", 2, 1), Snapshot(b"three", 3, 1)]
        won = await asyncio.gather(
            *(
                store.replace(name, rival, folded=range(1, rival.position + 1), generation=generation)
                for store, rival in zip(nodes, rivals, strict=True)
            )
        )
        assert sorted(won) == [False, True]
        winner = rivals[won.index(True)]
        kept = entries(name, range(winner.position + 1, 6))
        assert await nodes[0].load(name) == Stored(winner, generation + 1, kept, 5)


async def test_a_load_beside_replaces_and_appends_never_has_a_hole(nodes: list[Store]) -> None:
    writer, reader = nodes
    is_over = asyncio.Event()

    async def write() -> None:
        for position in range(1, 200):
            await writer.append(entries("a", [position]))
            if position % 3 == 0:
                snapshot = Snapshot(b"s", position, 1)
                folded = range(position - 2, position + 1)
                assert await writer.replace("a", snapshot, folded=folded, generation=position // 3 - 1)
        is_over.set()

    async def read() -> None:
        while not is_over.is_set():
            stored = await reader.load("a")
            folded = stored.snapshot.position if stored.snapshot else 0
            assert list(stored.entries) == entries("a", range(folded + 1, stored.last_position + 1))

    await asyncio.gather(write(), read(), read())
