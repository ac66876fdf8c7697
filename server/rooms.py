"""The rooms of this node: opened once however many ask, kept for a grace, unloaded when all is durable.

Rules of the registry (references/protocol.md, R7–R9): there is never more than one live document of
one name; a room that is asked for while it unloads simply stays; nothing is dropped from memory
before it is durable.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field

from crdt.dialects import Dialect
from crdt.errors import CloseCode
from server.bus import BusUnavailable, Position
from server.cluster import Cluster
from server.compaction import Compactor
from server.journal import Journal
from server.loading import Tail, load
from server.member import PauseReason
from server.room import Room
from server.storage import DocumentUnreadable, Store, StoreUnavailable

__all__ = ["Rooms"]

logger = logging.getLogger("cowrite.rooms")


@dataclass(slots=True, eq=False)
class _Slot:
    """A document that is being opened, live, or being unloaded."""

    name: str
    room: asyncio.Future[Room]
    users: int = 0
    unloading: asyncio.TimerHandle | asyncio.Task[None] | None = None
    available: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while the document is loaded anew."""


class Rooms:
    """The registry. ``tasks`` owns what it starts."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        compactor: Compactor,
        dialect: Dialect,
        tasks: asyncio.TaskGroup,
        cluster: Cluster | None,
        *,
        grace_s: float,
    ) -> None:
        self._store = store
        self._journal = journal
        self._cluster = cluster
        self._compactor = compactor
        self._dialect = dialect
        self._tasks = tasks
        self._grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._slots: dict[str, _Slot] = {}
        self._started: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Room]:
        """Go through the live rooms."""
        for slot in list(self._slots.values()):
            if slot.room.done() and slot.room.exception() is None:
                yield slot.room.result()

    async def acquire(self, name: str) -> Room:
        """Return the room of ``name``, loaded; give it back with ``release``.

        Raises ``StoreUnavailable`` or ``DocumentUnreadable``; the next call tries again.
        """
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = _Slot(name, self._loop.create_future())
            slot.available.set()
            self._start(self._open(slot))
        slot.users += 1
        if slot.unloading is not None:
            slot.unloading.cancel()
            slot.unloading = None
        try:
            room = await asyncio.shield(slot.room)
            while not slot.available.is_set():
                await slot.available.wait()
        except BaseException:
            self._leave(slot)
            raise
        # Given up meanwhile: the old room must not live on beside the next one.
        return room if self._slots.get(name) is slot else await self.acquire(name)

    def release(self, room: Room) -> None:
        """Give back what ``acquire`` returned; the last one starts the grace."""
        slot = self._slot_of(room)
        if slot is not None:
            self._leave(slot)

    def _slot_of(self, room: Room) -> _Slot | None:
        """None when the room was given up, whatever came after it."""
        slot = self._slots.get(room.name)
        return slot if slot is not None and slot.room.done() and slot.room.result() is room else None

    def _leave(self, slot: _Slot) -> None:
        slot.users -= 1
        if not slot.users and self._slots.get(slot.name) is slot:
            slot.unloading = self._loop.call_later(self._grace_s, self._unload, slot)

    def _leave_cluster(self, room: Room) -> None:
        if self._cluster is not None:
            self._start(self._cluster.disconnect(room))

    async def _open(self, slot: _Slot) -> None:
        try:
            room = await self._load(slot)
        except Exception as error:
            is_known = isinstance(error, (StoreUnavailable, DocumentUnreadable, BusUnavailable))
            logger.error("cannot load: %s", error, extra={"document": slot.name}, exc_info=not is_known)
            del self._slots[slot.name]
            slot.room.set_exception(error)
            # Read once, so that it is no surprise if everybody who waited has gone.
            slot.room.exception()
            return
        slot.room.set_result(room)

    async def _load(self, slot: _Slot) -> Room:
        loaded = await load(self._store, slot.name)
        room = Room(slot.name, loaded, self, self._journal, self._dialect)
        if self._cluster is not None:
            await self._cluster.connect(room, Position(loaded.snapshot_position))
        return room

    def _unload(self, slot: _Slot) -> None:
        slot.unloading = self._start(self._unload_settled(slot))

    async def _unload_settled(self, slot: _Slot) -> None:
        # A joiner cancels this task; between the last check and the deletion nothing can come in.
        try:
            room = await asyncio.shield(slot.room)
        except (StoreUnavailable, DocumentUnreadable, BusUnavailable):
            return
        await slot.available.wait()
        await room.settle()
        if slot.users or self._slots.get(slot.name) is not slot:
            return
        del self._slots[slot.name]
        self._leave_cluster(room)
        room.forget()
        if room.tail.rows:
            self._compactor.request(slot.name)

    def grown(self, room: Room) -> None:
        """Have a long log folded while the room lives."""
        if self._compactor.is_due(room.tail):
            room.tail = Tail()
            self._compactor.request(room.name)

    def presence_changed(self, room: Room) -> None:
        """Have the other nodes told."""
        if self._cluster is not None:
            self._cluster.presence_changed(room)

    def broken(self, room: Room) -> None:
        """Load a document anew, in place, because yrs failed in the middle of an update."""
        slot = self._slot_of(room)
        if slot is not None and slot.available.is_set():
            slot.available.clear()
            room.suspend()
            self._start(self._reload(slot, room))

    def failed(self, room: Room) -> None:
        """Give up a room that has lost track of what it accepted; clients come back with all they have."""
        self._give_up(room, CloseCode.FAILURE)

    def _give_up(self, room: Room, code: CloseCode) -> None:
        """Forget a room; whoever comes next opens the document from the store."""
        slot = self._slot_of(room)
        if slot is not None:
            del self._slots[room.name]
            slot.available.set()
            room.close(code)
            self._leave_cluster(room)
            room.forget()

    async def _reload(self, slot: _Slot, room: Room) -> None:
        logger.warning("loading the document anew", extra={"document": room.name})
        await room.settle()
        try:
            loaded = await load(self._store, room.name)
            room.replace_document(loaded)
            if self._cluster is not None:
                self._cluster.start_over(room, Position(loaded.snapshot_position))
        except (StoreUnavailable, DocumentUnreadable) as error:
            logger.error("cannot load: %s", error, extra={"document": room.name})
            self._give_up(room, CloseCode.UNREADABLE)
        slot.available.set()
        room.resume(PauseReason.RELOAD)

    def resume_writers(self) -> None:
        """Read again from those who were paused because too much waited for the disk."""
        for room in self:
            room.resume(PauseReason.LOG)

    async def settle(self) -> None:
        """Wait until everything that any room accepted is durable."""
        for room in self:
            await room.settle()

    def close(self) -> None:
        """Stop opening, unloading and reloading; idempotent."""
        for slot in self._slots.values():
            if slot.unloading is not None:
                slot.unloading.cancel()
        for task in self._started:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(work)
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        return task
