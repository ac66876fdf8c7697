"""When the journal is full, and when it has space again (D3)."""

import asyncio
from collections.abc import Sequence

import pytest

from crdt.update import Update
from server.journal import Acknowledge, Journal
from server.storage import Entry
from server.storage.memory import MemoryStore
from tests.server.support import until
from tests.support.polling import PATIENCE_S

BUDGET_BYTES = 100


class Gate(MemoryStore):
    """Takes an append for each one that it is told to let in."""

    def __init__(self) -> None:
        super().__init__()
        self.letting_in = asyncio.Semaphore(0)

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Wait, then store."""
        await self.letting_in.acquire()
        return await super().append(entries)


class Writer:
    """Who hands entries over, and counts what is durable of them."""

    name = "d"
    position = 0
    durable = 0

    def stored(self, count: int) -> None:
        """Count."""
        self.durable += count


async def test_D3_it_is_full_from_the_budget_on_until_half_of_it_is_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when nobody asked in the moment in which more than the budget waited."""
    monkeypatch.setattr("server.stage.BATCH_LIMIT", 1)
    store, writer, drained = Gate(), Writer(), asyncio.Event()
    journal = Journal(
        store, None, acknowledge=Acknowledge.STORED, budget_bytes=BUDGET_BYTES, on_drained=drained.set
    )
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(journal.run())
        for size_bytes in (50, 15, 40):
            journal.append(writer, Update(bytes(size_bytes)), is_awaited=True)
        store.letting_in.release()
        await until(lambda: writer.durable == 1, "the first is stored")
        assert (journal.waiting_bytes, journal.is_full, drained.is_set()) == (55, True, False)
        waiting = tasks.create_task(journal.has_space())
        store.letting_in.release()
        await drained.wait()
        await waiting
        assert (journal.waiting_bytes, journal.is_full) == (40, False)
        running.cancel()


async def test_D3_what_was_accepted_and_is_not_handed_over_yet_counts() -> None:
    journal = Journal(
        MemoryStore(),
        None,
        acknowledge=Acknowledge.STORED,
        budget_bytes=BUDGET_BYTES,
        on_drained=lambda: None,
    )
    journal.expect(BUDGET_BYTES)
    assert not journal.is_full
    journal.expect(1)
    assert journal.is_full
