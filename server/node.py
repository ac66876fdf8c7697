"""One server process: the parts, put together, started and stopped in order."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice

from crdt.dialects.y_websocket import YWebsocket
from server.bus import Bus
from server.cluster import LEASE_S, Cluster
from server.compaction import Compactor
from server.connection import Connection
from server.health import LOOK_S
from server.journal import Acknowledge, Journal
from server.memory import give_large_blocks_back
from server.refusals import Refusals
from server.rooms import Rooms
from server.settings import Settings
from server.storage import Store
from server.storage.lock import exclusive
from server.storage.memory import MemoryStore
from server.storage.sqlite import SqliteStore
from server.tasks import StoppingTasks
from server.transport.receive_budget import ReceiveBudget

__all__ = ["Node", "open_store"]

logger = logging.getLogger("cowrite.node")

PARTS = 10
TICK_S = LOOK_S / PARTS
DRAIN_LIMIT_S = 20.0
"""How long a stopping server tries to make everything durable."""


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store that the settings name, and hold its data folder alone.

    What is not needed is not imported: Postgres and Redis are a fifth of the time to start.

    Raises ``FolderInUse`` or ``StoreUnavailable``, and OSError for a folder that cannot be used.
    """
    if settings.store == "memory":
        yield MemoryStore()
        return
    if settings.store == "redis":
        from server.storage.redis import RedisStore

        assert settings.redis is not None
        async with RedisStore.open(settings.redis) as redis_store:
            yield redis_store
        return
    if settings.is_on_postgres:
        from server.storage.postgres import PostgresStore

        async with PostgresStore.open(settings.store) as postgres_store:
            yield postgres_store
        return
    with exclusive(settings.data):
        async with SqliteStore.open(settings.data, synchronous=settings.synchronous) as store:
            yield store


@asynccontextmanager
async def open_bus(settings: Settings, *, takes_lease: bool) -> AsyncIterator[Bus | None]:
    """Open the bus that the settings name, None for a node that is alone; raises ``BusUnavailable``.

    Only who serves clients takes a lease (B8).
    """
    if settings.redis is None:
        yield None
        return
    from server.bus.redis import RedisBus

    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    async with RedisBus.open(settings.redis, node=name, lease_s=LEASE_S, takes_lease=takes_lease) as bus:
        yield bus


class Node:
    """Everything that one process holds; use ``Node.run``."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus | None,
        tasks: StoppingTasks,
        refusals: Refusals | None = None,
    ) -> None:
        self.settings = settings
        self.refusals = refusals or Refusals()
        self.dialect = YWebsocket()
        self.receive_budget = ReceiveBudget(settings.receive_budget_bytes)
        self.connections: set[Connection] = set()
        self.is_draining = False
        self._somebody_left = asyncio.Event()
        self.compactor = Compactor(store, bus, sweep_s=settings.sweep_s, is_idle=not settings.worker)
        self.cluster = None if bus is None else Cluster(bus, store, tasks)
        self.journal = Journal(
            store,
            bus,
            acknowledge=Acknowledge(settings.acknowledge),
            budget_bytes=settings.log_budget_bytes,
            on_drained=lambda: self.rooms.resume_writers(),
        )
        self.rooms = Rooms(
            store, self.journal, self.compactor, self.dialect, tasks, self.cluster, grace_s=settings.grace_s
        )

    @classmethod
    @asynccontextmanager
    async def run(cls, settings: Settings, refusals: Refusals | None = None) -> AsyncIterator["Node"]:
        """Start everything; at the end make everything durable, within ``DRAIN_LIMIT_S``, and stop."""
        give_large_blocks_back()
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(open_bus(settings, takes_lease=True))
            store = await stack.enter_async_context(open_store(settings))
            tasks = StoppingTasks(await stack.enter_async_context(asyncio.TaskGroup()))
            node = cls(settings, store, bus, tasks, refusals)
            workers = [tasks.create_task(work) for work in node._works()]
            try:
                yield node
                await node._drain()
                if tasks.failure is not None:
                    raise tasks.failure
            finally:
                node.refusals.tally.close(asyncio.get_running_loop().time())
                node.rooms.close()
                if node.cluster is not None:
                    node.cluster.close()
                node.compactor.close()
                for worker in workers:
                    worker.cancel()

    def forget(self, connection: Connection) -> None:
        """Learn that a connection has left its room."""
        self.connections.discard(connection)
        self.rooms.release(connection.room)
        self._somebody_left.set()

    def refused(self, connection: Connection, code: int, reason: str) -> None:
        """Log why a connection is closed: a line an interval for each document and code."""
        document = connection.room.name
        fields = {"document": document, "connection": connection.number}
        self.refusals.log(document, code, reason, fields)

    def noted(self, connection: Connection, kind: str, text: str) -> None:
        """Log what a peer has brought about: a line an interval for each document and kind."""
        document = connection.room.name
        fields = {"document": document, "connection": connection.number}
        self.refusals.tally.note((document, kind), asyncio.get_running_loop().time(), logger, text, fields)

    async def presence_of(self, document: str) -> Mapping[int, tuple[int, bytes]]:
        """Return who is on a document, on any node: clock and state by client; raises ``BusUnavailable``."""
        elsewhere = [] if self.cluster is None else await self.cluster.presence_of(document)
        present = {client: (clock, state) for client, clock, state in elsewhere}
        for room in self.rooms:
            if room.name == document:
                for client, clock, state in room.presence.awareness.entries():
                    if client not in present or present[client][0] < clock:
                        present[client] = clock, state
        return present

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

    def begin_to_stop(self) -> None:
        """Let nobody in, and begin no fold; to be called before the clients are told. Idempotent."""
        self.is_draining = True
        self.refusals.close()
        self.compactor.finish()

    async def _drain(self) -> None:
        self.begin_to_stop()
        try:
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while any(connection.is_leaving for connection in self.connections):
                    self._somebody_left.clear()
                    await self._somebody_left.wait()
                await self.rooms.settle()
                await self.journal.drain()
        except TimeoutError:
            logger.critical("stopped with %d bytes that could not be stored", self.journal.waiting_bytes)
            raise

    async def _tick(self) -> None:
        """Look after everything once in ``LOOK_S``, a part at a time: 2,000 connections take some ms."""
        while True:
            for part in range(PARTS):
                await asyncio.sleep(TICK_S)
                now = asyncio.get_running_loop().time()
                self.refusals.tally.look(now)
                # By number: a place in a set moves as others come and go, and the look could be missed.
                for connection in [each for each in self.connections if each.number % PARTS == part]:
                    connection.tick(now)
                for room in list(islice(self.rooms, part, None, PARTS)):
                    self.rooms.look_after(room)
