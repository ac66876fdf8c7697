"""The server's real parts without sockets: registry, rooms, journal and connections on a socket in memory.

For what has to happen in one exact order, which real sockets do not give.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pycrdt import Doc, Text, merge_updates

from crdt.dialects.y_websocket import YWebsocket
from crdt.limits import Limits
from crdt.messages import AwarenessUpdate, Message, SyncStatus, SyncStep1, SyncStep2, SyncUpdate
from crdt.state_vector import StateVector
from crdt.update import Update
from server.bus import Bus
from server.cluster import Cluster
from server.compaction import Compactor
from server.connection import Connection
from server.health import Health
from server.journal import Acknowledge, Journal
from server.room import Room
from server.rooms import Rooms
from server.storage import Store
from server.storage.memory import MemoryStore
from server.transport import Frame, payloads_of

__all__ = ["Parts", "Wire", "running_parts"]

DIALECT = YWebsocket()

logger = logging.getLogger("cowrite.refusals")
BUDGET_BYTES = 2**16


class Wire:
    """A ``Transport`` in memory: keeps what is written, and takes nothing while it ``is_stuck``."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refusals: list[bytes] = []
        """What it was told in words."""
        self.closing: tuple[int, str] | None = None
        self.is_aborted = False
        self.is_stuck = False
        self.is_reading_paused = False
        self.unsent_bytes = 0
        self.pings = 0
        self.has_activity = False
        self._is_writing_paused = False
        self.connection: Connection | None = None

    def write(self, frame: Frame) -> None:
        """Keep what the frame says; count it as unsent while stuck."""
        if self.closing is not None or self.is_aborted:
            return
        for payload in payloads_of(frame):
            self.messages += DIALECT.decode(payload)
            if payload.startswith(b"\x02\x00"):
                self.refusals.append(payload)
        if self.is_stuck:
            self.unsent_bytes += len(frame)
            if self.unsent_bytes > BUDGET_BYTES and not self._is_writing_paused:
                self._is_writing_paused = True
                assert self.connection is not None
                self.connection.pause_writing()

    def drain(self) -> None:
        """Take everything that waits, as a reader does that has caught up."""
        self.is_stuck = False
        self.unsent_bytes = 0
        if self._is_writing_paused:
            self._is_writing_paused = False
            assert self.connection is not None
            self.connection.resume_writing()

    async def serve(self, sink: object) -> None:
        """Not used: the test calls the connection itself."""

    def ping(self) -> None:
        """Count."""
        self.pings += 1

    def pause_reading(self) -> None:
        """Note it."""
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.is_reading_paused = False

    def close(self, code: int, reason: str) -> None:
        """Note it."""
        if self.closing is None:
            self.closing = code, reason

    def abort(self) -> None:
        """Note it."""
        self.is_aborted = True

    def take_activity(self) -> bool:
        """Answer as the test says."""
        has_activity, self.has_activity = self.has_activity, False
        return has_activity

    def of(self, kind: type[Message]) -> list[Message]:
        """Return the messages of one kind, in order."""
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def shown(self) -> str:
        """The text of a client that got all this."""
        updates = [m.update for m in self.messages if isinstance(m, SyncUpdate | SyncStep2)]
        doc: Doc[Text] = Doc()
        if updates:
            doc.apply_update(merge_updates(*updates))
        return str(doc.get("t", type=Text))


class _Nobody:
    """A ``Host`` that has nothing to do: the test calls ``Parts.leave``."""

    def forget(self, connection: Connection) -> None:
        """Do nothing."""

    def refused(self, connection: Connection, code: int, reason: str) -> None:
        """Log it, as a node does."""
        logger.warning("refused: %s", reason, extra={"document": connection.room.name, "code": code})

    def noted(self, connection: Connection, kind: str, text: str) -> None:
        """Log it, as a node does."""
        logger.warning("%s", text, extra={"document": connection.room.name, "kind": kind})


@dataclass
class Parts:
    """One node's registry with a store."""

    rooms: Rooms
    journal: Journal
    compactor: Compactor
    cluster: Cluster | None = None
    members: list[tuple[Connection, Room]] = field(default_factory=list)
    wires: dict[Connection, Wire] = field(default_factory=dict)

    async def join(self, name: str, *, slow_s: float = 30.0) -> tuple[Connection, Wire]:
        """Connect to a document, as the endpoint does."""
        return self.enter(await self.rooms.acquire(name), slow_s=slow_s)

    def enter(self, room: Room, *, slow_s: float = 30.0) -> tuple[Connection, Wire]:
        """Connect to a room that was acquired."""
        wire = Wire()
        health = Health(asyncio.get_running_loop().time(), slow_s)
        wire.connection = Connection(wire, room, DIALECT, health, Limits.of(), _Nobody())
        self.members.append((wire.connection, room))
        self.wires[wire.connection] = wire
        room.join(wire.connection)
        return wire.connection, wire

    def wire_of(self, connection: Connection) -> Wire:
        """Return the socket of a connection."""
        return self.wires[connection]

    def leave(self, connection: Connection, *, clean: bool = True) -> None:
        """Lose a connection, as the endpoint does."""
        for member, room in self.members:
            if member is connection:
                connection.connection_lost(clean=clean)
                self.rooms.release(room)
        self.members = [(member, room) for member, room in self.members if member is not connection]

    def live(self) -> list[str]:
        """Name the live documents."""
        return [room.name for room in self.rooms]


@asynccontextmanager
async def running_parts(
    store: Store | None = None,
    *,
    bus: Bus | None = None,
    grace_s: float = 0.02,
    log_budget_bytes: int = 2**26,
) -> AsyncIterator[Parts]:
    """Run the parts of a node until the context ends."""
    chosen = MemoryStore() if store is None else store
    compactor = Compactor(chosen, bus)
    journal = Journal(
        chosen,
        bus,
        acknowledge=Acknowledge.STORED,
        budget_bytes=log_budget_bytes,
        on_drained=lambda: parts.rooms.resume_writers(),
    )
    async with asyncio.TaskGroup() as tasks:
        cluster = None if bus is None else Cluster(bus, chosen, tasks)
        rooms = Rooms(chosen, journal, compactor, DIALECT, tasks, cluster, grace_s=grace_s)
        parts = Parts(rooms, journal, compactor, cluster)
        workers = [tasks.create_task(journal.run())]
        if cluster is not None:
            workers += [tasks.create_task(cluster.publish()), tasks.create_task(cluster.watch())]
        try:
            yield parts
        finally:
            parts.rooms.close()
            if cluster is not None:
                cluster.close()
            for worker in workers:
                worker.cancel()


def update_frame(update: bytes) -> bytes:
    """Frame an update."""
    return DIALECT.encode(SyncUpdate(Update(update)))


def step_1(state_vector: bytes = b"\x00") -> bytes:
    """Frame a sync step 1."""
    return DIALECT.encode(SyncStep1(StateVector(state_vector)))


def step_2(update: bytes = b"\x00\x00") -> bytes:
    """Frame a sync step 2."""
    return DIALECT.encode(SyncStep2(Update(update)))


def status(payload: bytes) -> bytes:
    """Frame a request for an acknowledgement."""
    return DIALECT.encode(SyncStatus(payload))


def awareness(update: bytes) -> bytes:
    """Frame an awareness update."""
    return DIALECT.encode(AwarenessUpdate(update))
