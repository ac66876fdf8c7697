"""One server process: the parts, put together, started and stopped in order."""

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from crdt.dialects.y_websocket import YWebsocket
from server.bus import Bus
from server.bus.redis import RedisBus
from server.cluster import LEASE_S, Cluster
from server.compaction import Compactor
from server.connection import Connection
from server.journal import Acknowledge, Journal
from server.rooms import Rooms
from server.settings import Settings
from server.storage import Store
from server.storage.lock import exclusive
from server.storage.memory import MemoryStore
from server.storage.postgres import PostgresStore
from server.storage.redis import RedisStore
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
    if settings.store == "redis":
        assert settings.redis is not None
        async with RedisStore.open(settings.redis) as redis_store:
            yield redis_store
        return
    if settings.store.startswith(("postgres://", "postgresql://")):
        async with PostgresStore.open(settings.store) as postgres_store:
            yield postgres_store
        return
    with exclusive(settings.data):
        async with SqliteStore.open(settings.data, synchronous=settings.synchronous) as store:
            yield store


@asynccontextmanager
async def open_bus(settings: Settings) -> AsyncIterator[Bus | None]:
    """Open the bus that the settings name, None for a node that is alone; raises ``BusUnavailable``."""
    if settings.redis is None:
        yield None
        return
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    async with RedisBus.open(settings.redis, node=name, lease_s=LEASE_S) as bus:
        yield bus


class Node:
    """Everything that one process holds; use ``Node.run``."""

    def __init__(self, settings: Settings, store: Store, bus: Bus | None, tasks: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.dialect = YWebsocket()
        self.connections: set[Connection] = set()
        self.is_draining = False
        self._failure: Exception | None = None
        self.compactor = Compactor(store, bus, sweep_s=settings.sweep_s)
        self.cluster = None if bus is None else Cluster(bus, store, tasks)
        self.journal = Journal(
            store,
            bus,
            acknowledge=Acknowledge(settings.acknowledge),
            budget_bytes=settings.log_budget_bytes,
            on_room=lambda: self.rooms.resume_writers(),
        )
        self.rooms = Rooms(
            store, self.journal, self.compactor, self.dialect, tasks, self.cluster, grace_s=settings.grace_s
        )

    @classmethod
    @asynccontextmanager
    async def run(cls, settings: Settings) -> AsyncIterator["Node"]:
        """Start everything; at the end make everything durable, within ``DRAIN_LIMIT_S``, and stop."""
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(open_bus(settings))
            store = await stack.enter_async_context(open_store(settings))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            node = cls(settings, store, bus, tasks)
            workers = [tasks.create_task(node._or_stop(work)) for work in node._works()]
            try:
                yield node
                await node._drain()
                if node._failure is not None:
                    raise node._failure
            finally:
                node.rooms.close()
                node.compactor.close()
                for worker in workers:
                    worker.cancel()

    async def presence_of(self, document: str) -> list[bytes]:
        """Return the awareness updates that together tell who is on a document, on any node.

        Raises ``BusUnavailable``.
        """
        here = [
            update for room in self.rooms if room.name == document if (update := room.presence.everybody())
        ]
        if self.cluster is None:
            return here
        return here + await self.cluster.presence_of(document)

    def _works(self) -> Iterator[Coroutine[None, None, None]]:
        yield self.journal.run()
        yield self._tick()
        if self.settings.worker:
            yield self.compactor.run()
        if self.cluster is not None:
            yield self.cluster.publish()
            yield self.cluster.watch()

    @property
    def troubles(self) -> list[str]:
        """Why this node should get no new clients; empty when all is well."""
        troubles = []
        if self.is_draining:
            troubles.append("stopping")
        if self.journal.trouble is not None:
            troubles.append(self.journal.trouble)
        if self.cluster is not None and self.cluster.trouble is not None:
            troubles.append(self.cluster.trouble)
        if self.journal.is_full:
            troubles.append("too much waits to be stored")
        return troubles

    async def _drain(self) -> None:
        self.is_draining = True
        try:
            async with asyncio.timeout(DRAIN_LIMIT_S):
                await self.rooms.settle()
                await self.journal.drain()
        except TimeoutError:
            logger.critical("stopped with %d bytes that could not be stored", self.journal.waiting_bytes)
            raise

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.tick(now)
            for room in self.rooms:
                room.expire()

    async def _or_stop(self, work: Coroutine[None, None, None]) -> None:
        """Stop the server when one of its workers fails: rather no server than one that forgets."""
        try:
            await work
        except Exception as error:
            logger.critical("stopping, for a part of the server failed", exc_info=True)
            self._failure = error
            signal.raise_signal(signal.SIGTERM)
