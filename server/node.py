"""One server process: the parts, put together, started and stopped in order."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

from crdt.dialects.y_websocket import YWebsocket
from server.compaction import Compactor
from server.connection import Connection
from server.log_writer import LogWriter
from server.rooms import Rooms
from server.settings import Settings
from server.storage import Store
from server.storage.lock import exclusive
from server.storage.memory import MemoryStore
from server.storage.sqlite import SqliteStore

__all__ = ["Node", "open_store"]

logger = logging.getLogger("cowrite.node")

TICK_S = 1.0
DRAIN_LIMIT_S = 20.0
"""How long a stopping server tries to make everything durable."""


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store that the settings name, and hold its data folder alone.

    Raises ``FolderInUse`` or ``StoreUnavailable``, and OSError for a folder that cannot be used.
    """
    if settings.store == "memory":
        yield MemoryStore()
        return
    with exclusive(settings.data):
        async with SqliteStore.open(settings.data, synchronous=settings.synchronous) as store:
            yield store


class Node:
    """Everything that one process holds; use ``Node.run``."""

    def __init__(self, settings: Settings, store: Store, tasks: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.dialect = YWebsocket()
        self.connections: set[Connection] = set()
        self.is_draining = False
        self.compactor = Compactor(store)
        self.log = LogWriter(store, settings.log_budget_bytes, lambda: self.rooms.resume_writers())
        self.rooms = Rooms(store, self.log, self.compactor, self.dialect, tasks, grace_s=settings.grace_s)

    @classmethod
    @asynccontextmanager
    async def run(cls, settings: Settings) -> AsyncIterator["Node"]:
        """Start everything; at the end make everything durable, within ``DRAIN_LIMIT_S``, and stop."""
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(settings))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            node = cls(settings, store, tasks)
            workers = [
                tasks.create_task(_or_stop(node.log.run())),
                tasks.create_task(_or_stop(node.compactor.run())),
                tasks.create_task(_or_stop(node._tick())),
            ]
            try:
                yield node
                await node._drain()
            finally:
                node.rooms.close()
                node.compactor.close()
                for worker in workers:
                    worker.cancel()

    @property
    def troubles(self) -> list[str]:
        """Why this node should get no new clients; empty when all is well."""
        troubles = []
        if self.is_draining:
            troubles.append("stopping")
        if self.log.trouble is not None:
            troubles.append(self.log.trouble)
        if self.log.is_full:
            troubles.append("too much waits to be stored")
        return troubles

    async def _drain(self) -> None:
        self.is_draining = True
        try:
            async with asyncio.timeout(DRAIN_LIMIT_S):
                await self.rooms.settle()
                await self.log.drain()
        except TimeoutError:
            logger.critical("stopped with %d bytes that could not be stored", self.log.waiting_bytes)
            raise

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.tick(now)
            for room in self.rooms:
                room.expire()


async def _or_stop(work: Coroutine[None, None, None]) -> None:
    """Stop the server when one of its workers fails: rather no server than one that forgets."""
    try:
        await work
    except Exception:
        logger.critical("stopping, for a part of the server failed", exc_info=True)
        signal.raise_signal(signal.SIGTERM)
