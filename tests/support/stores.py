"""What the tests of several stores do: entries to write, and writing through crashes."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Protocol, TypeVar

import pytest

from server.storage import Entry, Store, StoreUnavailable
from tests.support.polling import PATIENCE_S, poll
from tests.support.tcp_proxy import TcpProxy

__all__ = [
    "Mortal",
    "append_losing_the_answer",
    "append_until_stored",
    "check_order",
    "entries",
    "write_through_crashes",
]

T = TypeVar("T")


def entries(document: str, positions: Sequence[int], text: str = "update") -> list[Entry]:
    """Make entries that differ in what they hold."""
    return [Entry(document, position, f"{document} {position} {text}".encode()) for position in positions]


async def append_until_stored(store: Store, batch: Sequence[Entry]) -> None:
    """Call again with the same entries until they are stored, as the server does."""

    async def is_stored() -> bool:
        with suppress(StoreUnavailable):
            await store.append(batch)
            return True
        return False

    await poll(is_stored, PATIENCE_S, "the store takes entries")


async def append_losing_the_answer(store: Store, proxy: TcpProxy, batch: Sequence[Entry]) -> None:
    """Append through a proxy that breaks the connection when the server has answered."""
    proxy.drops_replies = True
    before = proxy.swallowed_bytes
    appending = asyncio.create_task(store.append(batch))

    async def has_answered() -> bool:
        return proxy.swallowed_bytes > before

    await poll(has_answered, PATIENCE_S, "the server answers")
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        await appending
    proxy.drops_replies = False


async def check_order(first: Coroutine[Any, Any, T], second: "asyncio.Task[Any]") -> T:
    """Run ``first`` and return its result; fail unless it ends before ``second``, however late we look."""
    ended: list[asyncio.Task[Any]] = []
    task = asyncio.create_task(first)
    for each in (task, second):
        each.add_done_callback(ended.append)
    await asyncio.wait([task, second])
    assert ended == [task, second]
    return task.result()


class Mortal(Protocol):
    """A server that keeps its data when it is killed."""

    def kill(self) -> None:
        """Kill it as ``kill -9`` does."""

    def start(self) -> None:
        """Start it again."""


async def write_through_crashes(store: Store, server: Mortal, random: Random) -> Sequence[Entry]:
    """Append to document ``a`` while the server is killed three times; return what was acknowledged."""
    writer = _Writer(store)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        for crashes in range(1, 4):
            await asyncio.sleep(random.uniform(0, 0.2))
            server.kill()
            await writer.has_failed(crashes)
            with pytest.raises(StoreUnavailable):
                await store.load("a")
            await asyncio.to_thread(server.start)
            await writer.goes_on()
        writer.stop()
    return writer.acknowledged


class _Writer:
    """Appends to document ``a``, seven entries at a time, each batch until it is stored."""

    def __init__(self, store: Store) -> None:
        self.acknowledged: list[Entry] = []
        self.failures = 0
        """How many batches were not stored at the first attempt."""
        self._store = store
        self._is_over = False

    async def run(self) -> None:
        """Write until ``stop``."""
        while not self._is_over:
            position = len(self.acknowledged) + 1
            batch = entries("a", range(position, position + 7))
            try:
                await self._store.append(batch)
            except StoreUnavailable:
                self.failures += 1
                await append_until_stored(self._store, batch)
            self.acknowledged += batch

    def stop(self) -> None:
        """Let ``run`` end after the batch that it is at."""
        self._is_over = True

    async def has_failed(self, count: int) -> None:
        """Wait until that many batches have failed."""

        async def is_so() -> bool:
            return self.failures >= count

        await poll(is_so, PATIENCE_S, f"{count} appends have failed")

    async def goes_on(self) -> None:
        """Wait until more is acknowledged than now."""
        before = len(self.acknowledged)

        async def is_so() -> bool:
            return len(self.acknowledged) > before

        await poll(is_so, PATIENCE_S, "entries are stored again")
