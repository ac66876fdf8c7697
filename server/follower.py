"""Brings what other nodes append to a document into its room: in order, without holes.

The doorbell tells quickly and may miss; the stream is the truth and is read whenever the positions leave
a doubt. A gap that the stream no longer holds is filled from the store; a stream that was lost with
Redis is filled again from this room (references/protocol.md, B3–B7).
"""

import asyncio
import logging
import random

from crdt.document import DocumentBroken
from crdt.errors import ProtocolError
from crdt.update import Update
from server.bus import Bus, BusEntry, BusUnavailable, Position, birth_of, follows
from server.room import Room
from server.storage import DocumentUnreadable, Store, StoreUnavailable

__all__ = ["Follower"]

logger = logging.getLogger("cowrite.bus")

RETRY_MIN_S, RETRY_MAX_S = 0.1, 2.0

REPUBLISH_WITHIN_S = 1.0
"""All nodes notice a lost stream at once; they fill it again one after another."""


class Follower:
    """The listener of one room, until it is closed."""

    def __init__(
        self, room: Room, store: Store, bus: Bus, position: Position, tasks: asyncio.TaskGroup
    ) -> None:
        self.position = position
        """Up to which the room has everything."""
        self._room = room
        self._store = store
        self._bus = bus
        self._tasks = tasks
        self._reading: asyncio.Task[None] | None = None
        self._is_in_doubt = False

    def entry_arrived(self, entry: BusEntry) -> None:
        """Take an entry where it follows; read the stream where it does not."""
        if entry.position <= self.position:
            return
        if self._reading is None and follows(entry.position, self.position):
            self._take(entry.update)
            self.position = entry.position
        else:
            self.doubt()

    def presence_arrived(self, node: str, update: bytes) -> None:
        """Pass on what another node tells of its connections."""
        try:
            self._room.presence.hear_node(node, update, asyncio.get_running_loop().time())
        except ProtocolError as error:
            logger.error("bad presence from node %s: %s", node, error, extra={"document": self._room.name})

    async def hear_everybody(self) -> None:
        """Take what the other nodes keep of their presence; raises ``BusUnavailable``."""
        living = await self._bus.living_nodes()
        everybody = await self._bus.presence(self._room.name)
        try:
            self._room.presence.hear_all(everybody, living, asyncio.get_running_loop().time())
        except ProtocolError as error:
            logger.error("bad presence: %s", error, extra={"document": self._room.name})

    def doubt(self) -> None:
        """Read the stream from the latest position known, once more if that is under way."""
        self._is_in_doubt = True
        if self._reading is None:
            self._reading = self._tasks.create_task(self._read())

    async def complete(self) -> None:
        """Take all that the stream holds now, once; raises ``BusUnavailable`` and what the store raises."""
        await self._read_once()

    def start_over(self, position: Position) -> None:
        """Follow from ``position``, for the document was loaded anew."""
        self.position = position
        self.doubt()

    def close(self) -> None:
        """Read nothing more; idempotent."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> None:
        delay_s = RETRY_MIN_S
        while self._is_in_doubt:
            self._is_in_doubt = False
            try:
                if await self._read_once():
                    await self._fill_again()
                await self.hear_everybody()
                delay_s = RETRY_MIN_S
            except (BusUnavailable, StoreUnavailable, DocumentUnreadable) as error:
                logger.warning("cannot follow now: %s", error, extra={"document": self._room.name})
                self._is_in_doubt = True
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
        self._reading = None

    async def _read_once(self) -> bool:
        """Take what the stream holds after ``position``; tell whether it lost what this room may have."""
        reading = await self._bus.read(self._room.name, self.position)
        if not reading.is_gapless:
            await self._complete_from_store()
        was_lost = not reading.is_gapless and (
            birth_of(reading.last) != birth_of(self.position) or reading.last < self.position
        )
        for entry in reading.entries:
            self._take(entry.update)
        self.position = max(self.position, reading.last)
        return was_lost

    async def _fill_again(self) -> None:
        logger.warning("the stream was lost, publishing the document", extra={"document": self._room.name})
        await asyncio.sleep(random.uniform(0, REPUBLISH_WITHIN_S))
        self._room.republish()

    async def _complete_from_store(self) -> None:
        stored = await self._store.load(self._room.name)
        if stored.snapshot is not None:
            self._take(stored.snapshot.update)
        for entry in stored.entries:
            self._take(entry.update)

    def _take(self, update: bytes) -> None:
        try:
            self._room.take_relayed(Update(update))
        except ProtocolError as error:
            logger.error("skipped a bad entry: %s", error, extra={"document": self._room.name})
        except DocumentBroken:
            self._room.owner.broken(self._room)
