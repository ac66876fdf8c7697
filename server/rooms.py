"""The rooms of this node: opened once however many ask, kept for a grace, unloaded when all is durable.

Rules of the registry (references/protocol.md, R7–R9): there is never more than one live document of
one name; a room that is asked for while it unloads simply stays; nothing is dropped from memory
before it is durable.
"""

import asyncio
import logging
from collections.abc import Iterator

from crdt.dialects import Dialect
from crdt.document import DocumentBroken
from crdt.errors import CloseCode
from server.bus import BusUnavailable
from server.cluster import Cluster
from server.compaction import Compactor
from server.fold_requests import FoldRequests
from server.journal import Journal
from server.loading import load
from server.member import PauseReason
from server.room import Room
from server.slot import Slot
from server.storage import DocumentUnreadable, Store, StoreUnavailable
from server.tasks import Errands, Tasks

__all__ = ["Rooms"]

logger = logging.getLogger("cowrite.rooms")

OPEN_ATTEMPTS = 10
"""How often a document is loaded to be opened, while one entry of its stream after the other breaks it."""


class Rooms:
    """The registry. ``tasks`` owns what it starts."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        compactor: Compactor,
        dialect: Dialect,
        tasks: Tasks,
        cluster: Cluster | None,
        *,
        grace_s: float,
    ) -> None:
        self._store = store
        self._journal = journal
        self._cluster = cluster
        self._dialect = dialect
        self._errands = Errands(tasks)
        self._folds = FoldRequests(compactor, journal, self._errands)
        self._grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._slots: dict[str, Slot] = {}

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
            slot = self._slots[name] = Slot(name, self._loop.create_future())
            self._errands.start(self._open(slot))
        slot.users += 1
        if slot.unloading is not None:
            slot.unloading.cancel()
            slot.unloading = None
        try:
            room = await asyncio.shield(slot.room)
            await slot.available()
        except BaseException:
            self._leave(slot)
            raise
        # Given up meanwhile: the old room must not live on beside the next one.
        return room if self._slots.get(name) is slot else await self.acquire(name)

    def release(self, room: Room) -> None:
        """Give back what ``acquire`` returned; the last one starts the grace."""
        if (slot := self._slot_of(room)) is not None:
            self._leave(slot)
            self._folds.left(room)

    def _slot_of(self, room: Room) -> Slot | None:
        """None when the room was given up, whatever came after it."""
        slot = self._slots.get(room.name)
        return slot if slot is not None and slot.room.done() and slot.room.result() is room else None

    def _leave(self, slot: Slot) -> None:
        slot.users -= 1
        if not slot.users and self._slots.get(slot.name) is slot:
            self._start_grace(slot)

    def _start_grace(self, slot: Slot) -> None:
        slot.unloading = self._loop.call_later(self._grace_s, self._unload, slot)

    def _leave_cluster(self, room: Room) -> None:
        if self._cluster is not None:
            self._errands.start(self._cluster.disconnect(room))

    async def _open(self, slot: Slot) -> None:
        try:
            room = await self._load(slot)
        except Exception as error:
            if not isinstance(error, (StoreUnavailable, DocumentUnreadable, BusUnavailable)):
                logger.error("cannot load: %s", error, extra={"document": slot.name}, exc_info=True)
            del self._slots[slot.name]
            slot.room.set_exception(error)
            # Read once, so that it is no surprise if everybody who waited has gone.
            slot.room.exception()
            return
        slot.room.set_result(room)
        if room.relay.is_suspended:
            self.broken(room)  # It was when the room was not in its place yet.

    async def _load(self, slot: Slot) -> Room:
        loaded = await load(self._store, slot.name)
        room = Room(slot.name, loaded, self, self._journal, self._dialect)
        if self._cluster is None:
            return room
        for _ in range(OPEN_ATTEMPTS):
            try:
                await self._cluster.connect(room, loaded)
                return room
            except DocumentBroken:
                # The room remembers what broke it, and skips that in the next document.
                loaded = await load(self._store, slot.name)
                room.replace_document(loaded)
        raise DocumentUnreadable(f"{slot.name!r}: its stream breaks it again and again")

    def _unload(self, slot: Slot) -> None:
        slot.unloading = self._errands.start(self._unload_settled(slot), lambda: self._start_grace(slot))

    async def _unload_settled(self, slot: Slot) -> None:
        # A joiner cancels this task; between the last check and the deletion nothing can come in.
        try:
            room = await asyncio.shield(slot.room)
        except Exception:
            return  # ``_open`` has said why.
        await self._settle_to_leave(slot, room)
        if slot.users or self._slots.get(slot.name) is not slot:
            return
        del self._slots[slot.name]
        self._leave_cluster(room)
        room.forget()
        self._folds.unloaded(room)

    async def _settle_to_leave(self, slot: Slot, room: Room) -> None:
        """Wait until nothing is lost with the room (R8): the stream is read once more for that."""
        if self._cluster is not None:
            self._cluster.doubt(room)
        while True:
            await slot.available()
            if self._cluster is not None:
                await self._cluster.settle(room)
            await room.settle()
            if slot.reloaded is None and (self._cluster is None or self._cluster.is_settled(room)):
                return

    def look_after(self, room: Room) -> None:
        """Do what is due in a room; to be called now and then."""
        room.expire()
        self._folds.look(room)

    def presence_changed(self, room: Room) -> None:
        """Have the other nodes told."""
        if self._cluster is not None:
            self._cluster.presence_changed(room)

    def broken(self, room: Room) -> None:
        """Load a document anew, in place, because yrs failed in the middle of an update."""
        room.suspend()  # Also while it is loaded anew: once more, then.
        slot = self._slot_of(room)
        if slot is not None and slot.reloaded is None:
            slot.reloaded = asyncio.Event()
            self._errands.start(self._reload(slot, room), lambda: self._give_up(room, CloseCode.FAILURE))

    def incomplete(self, room: Room) -> None:
        """Read all that there is once more; what is known already changes nothing."""
        if self._cluster is None:
            self.broken(room)
        else:
            self._cluster.doubt(room, from_beginning=True)

    def failed(self, room: Room) -> None:
        """Give up a room that has lost track of what it accepted; clients come back with all they have."""
        self._give_up(room, CloseCode.FAILURE)

    def _give_up(self, room: Room, code: CloseCode) -> None:
        """Forget a room; whoever comes next opens the document from the store."""
        if (slot := self._slot_of(room)) is not None:
            del self._slots[room.name]
            slot.go_on()
            room.close(code)
            self._leave_cluster(room)
            room.forget()

    async def _reload(self, slot: Slot, room: Room) -> None:
        try:
            await self._load_anew(slot, room)
        except (StoreUnavailable, DocumentUnreadable, BusUnavailable, DocumentBroken) as error:
            logger.error("cannot load: %s", error, extra={"document": room.name})
            self._give_up(room, CloseCode.UNREADABLE)
        slot.go_on()
        room.resume(PauseReason.RELOAD)

    async def _load_anew(self, slot: Slot, room: Room) -> None:
        """Have a room hold all that store and stream have; nobody joins it before that."""
        for _ in range(OPEN_ATTEMPTS):
            await asyncio.sleep(slot.reload_pause(self._loop.time()))
            logger.warning("loading the document anew", extra={"document": room.name})
            await room.settle()
            loaded = await load(self._store, room.name)
            room.replace_document(loaded)
            try:
                if self._cluster is not None:
                    await self._cluster.start_over(room, loaded)
            except DocumentBroken:
                room.suspend()
            if not room.relay.is_suspended:
                return
        raise DocumentUnreadable(f"{room.name!r}: its stream breaks it again and again")

    def resume_writers(self) -> None:
        """Read again from those who were paused because too much waited for the disk."""
        for room in self:
            room.resume(PauseReason.LOG)

    async def settle(self) -> None:
        """Wait until everything that any room accepted is durable, what Redis has lost of it too."""
        for room in self:
            if self._cluster is not None and self._cluster.has_to_publish(room):
                await self._cluster.settle(room)
            await room.settle()

    def close(self) -> None:
        """Stop opening, unloading and reloading; idempotent."""
        for slot in self._slots.values():
            if slot.unloading is not None:
                slot.unloading.cancel()
        self._errands.close()
