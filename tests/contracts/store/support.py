"""What the tests of every store share."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from server.storage import Store, Stored
from server.storage.memory import MemoryStore

__all__ = ["NAMES", "Open", "Subject", "both", "open_memory"]

Open = Callable[[], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def open_memory() -> AsyncIterator[Store]:
    store = MemoryStore()
    yield store
    await store.close()


class Subject:
    """The store under test, and a way to see what outlives it."""

    store: Store

    def __init__(self, open: Open) -> None:
        self.is_lasting = open is not open_memory
        """Whether opening again finds what was there."""
        self._open = open
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        self.store = await self._stack.enter_async_context(self._open())

    async def close(self) -> None:
        await self._stack.aclose()

    async def reopen(self) -> None:
        """End the store and open what it left; nothing happens to a store that does not last."""
        if self.is_lasting:
            await self.close()
            await self.open()


async def both(subject: Subject, document: str) -> Stored:
    """Load from the open store and from the reopened one, and see that they agree."""
    before = await subject.store.load(document)
    await subject.reopen()
    after = await subject.store.load(document)
    assert list(before.entries) == list(after.entries)
    assert (before.snapshot, before.generation, before.last_position) == (
        after.snapshot,
        after.generation,
        after.last_position,
    )
    return after


NAMES = [
    "a",
    "A",
    "a/b",
    "/a//b/",
    "a b",
    " a",
    "%2F",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "日本/語",
    "\N{GRINNING FACE}" * 63,
    "x" * 255,
    "'; DROP TABLE entries; --",
]
