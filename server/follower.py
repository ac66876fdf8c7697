"""Brings what other nodes append to a document into its room: in order, without holes.

The doorbell tells quickly and may miss; the stream is the truth (references/protocol.md, B3–B7).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from enum import Enum, IntEnum, auto

from crdt.document import DocumentBroken
from crdt.errors import ProtocolError
from crdt.update import Update
from server.bus import Bus, BusEntry, BusUnavailable, Position, birth_of, follows
from server.hearing import hear, hear_everybody
from server.lost_stream import fill_again
from server.missing import Missing
from server.room import Room
from server.slices import in_slices
from server.storage import DocumentUnreadable, Store, Stored, StoreUnavailable
from server.tasks import Tasks

__all__ = ["Follower"]

logger = logging.getLogger("cowrite.bus")

RETRY_MIN_S, RETRY_MAX_S = 0.1, 2.0


class _Phase(Enum):
    BEGINNING = auto()
    """The room is brought up to date, and what rings has to wait."""
    FOLLOWING = auto()
    CLOSED = auto()


class _Doubt(IntEnum):
    """What of the stream has to be read."""

    NOTHING = 0
    REST = 1
    """What comes after the latest position known."""
    ALL = 2
    """What it held already, too: something that was read had to be dropped."""


class Follower:
    """The listener of one room, from ``begin`` until it is closed.

    ``filling`` is held by the one of the node's followers that fills its stream again (B6).
    """

    def __init__(
        self,
        room: Room,
        store: Store,
        bus: Bus,
        position: Position,
        tasks: Tasks,
        filling: asyncio.Lock,
        *,
        known: Position,
    ) -> None:
        self.position = position
        """Up to which the room has everything that the stream had."""
        self._known = known
        """What the stream had reached when the room was loaded; 0 once it was read."""
        self.has_to_publish = False
        """Whether the stream was lost, and this room has not filled it again."""
        self._room = room
        self._store = store
        self._bus = bus
        self._tasks = tasks
        self._reading: asyncio.Task[None] | None = None
        self._filling = filling
        self._phase = _Phase.BEGINNING
        self._doubt = _Doubt.NOTHING
        self._is_reading = False
        """Whether what rings has to wait for what is being read."""
        self._out_of_doubt: asyncio.Event | None = None
        self._missing = Missing(room, self._complete_from_store, tasks)

    def entry_arrived(self, entry: BusEntry) -> None:
        """Take an entry where it follows; read the stream where it does not."""
        if entry.position <= self.position:
            return
        is_free = self._phase is _Phase.FOLLOWING and not self._is_reading
        if is_free and follows(entry.position, self.position):
            self._take_at_once(entry.update)
            self.position = entry.position
        else:
            self.doubt()

    def _take_at_once(self, update: bytes) -> None:
        try:
            deque(self._steps(update), maxlen=0)
        except DocumentBroken:
            self._room.owner.broken(self._room)  # ``start_over`` follows.

    def presence_arrived(self, node: str, update: bytes) -> None:
        """Pass on what another node tells of its connections."""
        hear(self._room, node, update)

    async def hear_everybody(self) -> None:
        """Take what the other nodes keep of their presence; raises ``BusUnavailable``."""
        await hear_everybody(self._room, self._bus)

    def doubt(self, *, from_beginning: bool = False) -> None:
        """Read the stream from the latest position known, once more if that is under way."""
        self._doubt = max(self._doubt, _Doubt.ALL if from_beginning else _Doubt.REST)
        if self._phase is _Phase.FOLLOWING and self._reading is None:
            self._reading = self._tasks.create_task(self._read())

    async def complete(self) -> None:
        """Take all that the stream holds now, once.

        Raises ``BusUnavailable``, what the store raises, and ``DocumentBroken``: then the document has to be
        loaded anew, and the entry that yrs failed at will be skipped.
        """
        known, had_to_publish = self._known, self.has_to_publish
        await self._read_once()
        # Others who have all that the stream has do not see that it lost what the store has (B6).
        self.has_to_publish = had_to_publish or self.position < known

    def begin(self) -> None:
        """Follow from now on: the room is known to its owner, and can be loaded anew."""
        if self._phase is _Phase.BEGINNING:
            self._phase = _Phase.FOLLOWING
        if self._doubt or self.has_to_publish:
            self.doubt()

    async def start_over(self, position: Position, known: Position) -> None:
        """Follow from ``position``, for the document was loaded anew; ``known`` as at the beginning.

        Returns when all that the stream holds was taken; raises as ``complete``.
        """
        self._stop()  # What is being read belongs to the former document, and so does the position after it.
        if self._phase is _Phase.FOLLOWING:
            self._phase = _Phase.BEGINNING
        self.doubt()  # Not settled before all of it is done.
        self.position, self._known = position, known
        await self.complete()
        self._missing.start_over()
        self.begin()

    @property
    def is_settled(self) -> bool:
        """Whether the room has what the stream has, and nothing of it was lost; True when closed."""
        return self._phase is _Phase.CLOSED or not (self._doubt or self.has_to_publish or self._reading)

    async def settle(self) -> None:
        """Wait until it is settled."""
        while not self.is_settled:
            self._out_of_doubt = self._out_of_doubt or asyncio.Event()
            await self._out_of_doubt.wait()

    def close(self) -> None:
        """Read nothing more; idempotent."""
        self._phase = _Phase.CLOSED
        self._stop()
        self._missing.close()
        self._leave_doubt()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _leave_doubt(self) -> None:
        if self._out_of_doubt is not None:
            self._out_of_doubt.set()
        self._out_of_doubt = None

    async def _read(self) -> None:
        delay_s, is_cut_off = RETRY_MIN_S, False
        while self._doubt or self.has_to_publish:
            doubt, self._doubt = self._doubt, _Doubt.NOTHING
            try:
                await self._catch_up(doubt)
            except DocumentBroken:
                self._room.owner.broken(self._room)  # ``start_over`` follows.
                break
            except Exception as error:
                # Even a bug must not end the following: edits would be taken and heard by nobody.
                if not is_cut_off:
                    self._warn(error)
                is_cut_off = True
                self._doubt = max(self._doubt, doubt, _Doubt.REST)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
            else:
                if is_cut_off:
                    logger.warning("follows again", extra={"document": self._room.name})
                delay_s, is_cut_off = RETRY_MIN_S, False
        self._reading = None
        self._leave_doubt()

    def _warn(self, error: Exception) -> None:
        is_known = isinstance(error, (BusUnavailable, StoreUnavailable, DocumentUnreadable))
        extra = {"document": self._room.name}
        logger.warning("cannot follow now: %s", error, extra=extra, exc_info=not is_known)

    async def _catch_up(self, doubt: _Doubt) -> None:
        self._is_reading = True
        try:
            await self._read_once(doubt)
            if self.has_to_publish:
                await fill_again(self._room, self._bus, self._filling, self._read_once)
                self.has_to_publish = False
        finally:
            self._is_reading = False
        await self.hear_everybody()

    async def _read_once(self, doubt: _Doubt = _Doubt.REST) -> None:
        """Take what the stream holds after ``position``, or all; note if it lost what this room may have."""
        position = self.position
        after = Position(0) if doubt is _Doubt.ALL else position
        reading = await self._bus.read(self._room.name, after)
        went_back = reading.last < max(position, self._known)
        if went_back:
            # What was appended since lies below what this room had seen (B6).
            reading = await self._bus.read(self._room.name, Position(0))
        if went_back or not reading.is_gapless:
            await self._complete_from_store()
        was_reborn = not reading.is_gapless and birth_of(reading.last) != birth_of(position)
        await in_slices(step for entry in reading.entries for step in self._steps(entry.update))
        self.position = reading.last if went_back else max(self.position, reading.last)
        self._known = Position(0)
        if reading.unreadable:
            self._missing.ask(reading.unreadable)
        self.has_to_publish |= went_back or was_reborn

    async def _complete_from_store(self) -> Stored:
        stored = await self._store.load(self._room.name)
        held = [entry.update for entry in stored.entries]
        updates = held if stored.snapshot is None else [stored.snapshot.update, *held]
        await in_slices(step for update in updates for step in self._steps(update))
        return stored

    def _steps(self, update: bytes) -> Iterator[None]:
        """Take an update in steps; raises ``DocumentBroken``."""
        try:
            yield from self._room.relay.take(Update(update))
        except ProtocolError as error:
            logger.error("skipped a bad entry: %s", error, extra={"document": self._room.name})
        yield
