"""Several nodes that could fold: one looks for what was left, and what one folded no other folds again."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from server.bus.memory import MemoryBus, MemoryStreams
from server.compaction import Compactor
from server.storage import Entry, Store
from server.storage.memory import MemoryStore
from tests.server.support import until, update_of

SWEEP_S = 0.01


class Clock:
    """The clock of the bus, which stands still until the test moves it."""

    now_s = 1e9

    def __call__(self) -> float:
        return self.now_s


class CountingBus(MemoryBus):
    """A bus that counts how often all streams are looked through."""

    backlogs = 0

    async def backlog(self) -> Mapping[str, int]:
        self.backlogs += 1
        return await super().backlog()


@asynccontextmanager
async def compacting(store: Store, buses: Sequence[MemoryBus]) -> AsyncIterator[list[Compactor]]:
    """A compactor of each node, which folds in a thread of this process."""
    with ThreadPoolExecutor(1) as executor:
        yield [Compactor(store, bus, executor, sweep_s=SWEEP_S) for bus in buses]


async def append(store: Store, bus: MemoryBus, document: str, count: int = 1) -> None:
    """Append as a node does."""
    updates = [update_of(f"{number} ") for number in range(count)]
    positions = await bus.append([(document, update) for update in updates])
    await store.append([Entry(document, *entry) for entry in zip(positions, updates, strict=True)])


async def generation(store: Store) -> int:
    return (await store.load("d")).generation


async def test_B9_one_node_sweeps_and_another_after_its_death() -> None:
    clock, store = Clock(), MemoryStore()
    streams = MemoryStreams(clock)
    buses = [CountingBus(streams, node=name) for name in ("one", "two", "three")]
    async with compacting(store, buses) as compactors:
        working = [asyncio.create_task(compactor.run()) for compactor in compactors]
        while buses:
            await until(lambda: any(bus.backlogs >= 5 for bus in buses), "swept")
            [sweeper] = [index for index, bus in enumerate(buses) if bus.backlogs]
            working.pop(sweeper).cancel()
            buses.pop(sweeper).die()
            clock.now_s += 60.0


@pytest.mark.parametrize("is_long", [True, False])
async def test_B9_a_long_log_that_one_node_has_folded_is_not_folded_again_by_the_next(
    monkeypatch: pytest.MonkeyPatch, *, is_long: bool
) -> None:
    """All nodes that have the document open count the same entries, and ask at once."""
    monkeypatch.setattr("server.compaction.LONG_ROWS", 5 if is_long else 6)
    clock, store = Clock(), MemoryStore()
    streams = MemoryStreams(clock)
    buses = [MemoryBus(streams, node=name) for name in ("one", "two")]
    async with compacting(store, buses) as [one, two]:
        await append(store, buses[0], "d", 5)
        assert await one.compact("d")
        await append(store, buses[0], "d")
        assert await two.compact("d")
        assert await generation(store) == (1 if is_long else 2)
        clock.now_s += 60.0
        assert await two.compact("d")
        assert await generation(store) == 2
