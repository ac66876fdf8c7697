"""A compactor that a test can reach, and a log for it."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from server.compaction import Compactor
from server.storage import Entry, Store
from server.storage.memory import MemoryStore
from tests.server.support import Peer

__all__ = ["in_process", "written"]


@asynccontextmanager
async def in_process(store: Store) -> AsyncIterator[Compactor]:
    """A compactor that folds in a thread of this process, where a test can reach it."""
    with ThreadPoolExecutor(1) as executor:
        yield Compactor(store, executor=executor, sweep_s=3_600.0)


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
