"""One document, live on this node: takes what its members send, batches it, logs it, fans it out.

Everything between an arriving message and the frames that leave is synchronous, so nothing can come
in between and no lock is needed. Rules of the room (references/protocol.md, R1–R9):

- the first change after a quiet spell goes out at the end of the loop's turn (R2, server/pace.py);
- a flush merges what was accepted into entries: each is one frame on the wire and one row in the
  store (R3);
- fan-out does not wait for the disk, acknowledgements do (D1).
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol, assert_never

from crdt.awareness import GRACE_S, Awareness
from crdt.dialects import Dialect
from crdt.document import Document, take_all
from crdt.errors import CloseCode
from crdt.messages import AwarenessUpdate, Message, SyncStatus, SyncUpdate
from crdt.session import Accepted, Acknowledge, Announce, Discarded, Effect, Ingest, Reply, SendDiff
from crdt.state_vector import StateVector
from crdt.update import Update
from server.batch import Batch
from server.fan_out import FanOut
from server.join import JoinCache
from server.loading import Loaded
from server.log_writer import LogWriter
from server.member import Member, PauseReason
from server.pace import Pace
from server.storage import Entry
from server.transport import Frame

__all__ = ["Owner", "Room"]

logger = logging.getLogger("cowrite.room")


class Owner(Protocol):
    """Who keeps the rooms of this node."""

    def broken(self, room: "Room") -> None:
        """Learn that yrs failed and the document has to be loaded anew."""

    def failed(self, room: "Room") -> None:
        """Learn that the room cannot go on: something accepted will neither be logged nor fanned out."""

    def grown(self, room: "Room") -> None:
        """Learn that ``room.tail`` has grown on disk."""


class Room:
    """A live document and its members."""

    def __init__(self, name: str, loaded: Loaded, owner: Owner, log: LogWriter, dialect: Dialect) -> None:
        self.name = name
        self.owner = owner
        self.document = loaded.document
        self.awareness = Awareness()
        self.members: set[Member] = set()
        self.position = loaded.position
        """Of the latest entry handed to the log."""
        self.stored_position = loaded.position
        """Up to which everything is durable."""
        self.tail = loaded.tail
        """What the log holds after the snapshot."""
        self.fanned_out_at = 0.0
        """When everybody was last written to, by the loop's clock."""
        self._waiting = loaded.waiting
        self._log = log
        self._dialect = dialect
        self._loop = asyncio.get_running_loop()
        self._fan_out = FanOut(lambda: self.document.state_vector)
        self._joins = JoinCache(self.document, dialect)
        self._batch = Batch()
        self._announced: dict[int, None] = {}
        self._unacknowledged: set[Member] = set()
        self._holding: set[Member] = set()
        self._pace = Pace(self._flush)
        self._settled = asyncio.Event()
        self._settled.set()
        self._is_suspended = False

    def join(self, member: Member) -> None:
        """Take in a member and open its session."""
        self.members.add(member)
        self._fan_out.add(member)
        self.perform(member, member.session.open())

    def leave(self, member: Member, *, clean: bool) -> None:
        """Let a member go; ``clean`` when its close frame came."""
        self.members.discard(member)
        self._holding.discard(member)
        self._unacknowledged.discard(member)
        self._fan_out.remove(member)
        self.perform(member, member.session.close(self._loop.time(), clean=clean))
        if not clean:
            self._loop.call_later(GRACE_S, self.expire)

    def fall_behind(self, member: Member) -> None:
        """Send nothing more to a member whose write budget is exceeded (R6)."""
        self._fan_out.fall_behind(member, is_sending=self._pace.is_due)

    def catch_up(self, member: Member) -> None:
        """Send to a drained member again, first all that it missed (R6)."""
        had = self._fan_out.catch_up(member)
        if had is not None:
            self.answer(member, had)
            if present := self.awareness.present:
                member.write(self._frame(AwarenessUpdate(self.awareness.encode(present))))

    def answer(self, member: Member, state_vector: StateVector) -> None:
        """Send what a peer with ``state_vector`` lacks; raises ``Malformed``."""
        for frame in self._joins.answer(state_vector, self._loop.time()):
            member.write(frame)

    def perform(self, member: Member, effects: Sequence[Effect]) -> None:
        """Carry out what a session returned."""
        for effect in effects:
            match effect:
                case Accepted(update):
                    self._accept(update)
                    if self._log.is_full:
                        member.pause(PauseReason.LOG)
                case Announce(clients):
                    self._announce(clients)
                case Acknowledge(payload):
                    self._acknowledge(member, payload)
                case Reply(message):
                    member.send(self._frame(message))
                case SendDiff(state_vector):
                    member.answer(state_vector)
                case Ingest(steps):
                    member.ingest(steps)
                case Discarded(size_bytes):
                    logger.warning(
                        "%r: dropped %d bytes that waited for edits unknown", self.name, size_bytes
                    )
                case _:
                    assert_never(effect)
        if member.session.waits and member in self.members:
            self._holding.add(member)

    def _accept(self, update: Update) -> None:
        if self._holding or self._waiting:
            self._loop.call_soon(self._retry)
        self._batch.add(update)
        self._joins.extend(update)
        self._settled.clear()
        self._pace.request()

    def _announce(self, clients: Sequence[int]) -> None:
        self._announced.update(dict.fromkeys(clients))
        self._pace.request()

    def _acknowledge(self, member: Member, payload: bytes) -> None:
        position = self.position + len(self._batch)
        if self.stored_position >= position:
            member.send(self._frame(SyncStatus(payload)))
        else:
            member.acknowledge(position, payload)
            self._unacknowledged.add(member)

    def _retry(self) -> None:
        """Try again what waited for something that may have come (S5)."""
        if self._is_suspended:
            return
        holding, self._holding = self._holding, set()
        for member in holding:
            member.retry()
        if self._waiting:
            self._waiting = take_all(self.document, self._waiting, self._accept)

    def _flush(self) -> None:
        try:
            self._fan_out.send(self._take_frames())
        except Exception:
            logger.critical("cannot flush", extra={"document": self.name}, exc_info=True)
            self.owner.failed(self)
            self._settled.set()
        self.fanned_out_at = self._loop.time()

    def _take_frames(self) -> list[Frame]:
        frames = []
        for entry in self._batch.take():
            self.position += 1
            self._log.append(self, Entry(self.name, self.position, entry))
            self.tail.add(entry)
            frames.append(self._frame(SyncUpdate(entry)))
        if self._announced:
            frames.append(self._frame(AwarenessUpdate(self.awareness.encode(self._announced))))
            self._announced = {}
        return frames

    def _frame(self, message: Message) -> Frame:
        return Frame(self._dialect.encode(message))

    def stored(self, position: int) -> None:
        """Learn that everything up to ``position`` is durable, and acknowledge it (D1)."""
        self.stored_position = position
        self._unacknowledged = {member for member in list(self._unacknowledged) if member.stored(position)}
        if position == self.position and not self._batch:
            self._settled.set()
        self.owner.grown(self)

    async def settle(self) -> None:
        """Wait until everything accepted is durable, or the room was given up."""
        self._pace.flush_now()
        await self._settled.wait()

    def expire(self) -> None:
        """Withdraw clients that are gone; drop shared answers that nobody asks for."""
        now = self._loop.time()
        if gone := self.awareness.expire(now):
            self._announce(gone)
        self._joins.expire(now)

    def suspend(self) -> None:
        """Take nothing into the document and tell nobody of it until it is replaced."""
        self._is_suspended = True
        for member in list(self.members):
            member.pause(PauseReason.RELOAD)

    def replace_document(self, loaded: Loaded) -> None:
        """Go on with the document as it was loaded anew; everything accepted must be durable."""
        self.document.become(loaded.document)
        self._waiting = loaded.waiting
        self._joins.drop()
        self._is_suspended = False
        self._loop.call_soon(self._retry)

    def forget(self) -> None:
        """Give the memory back at once: the room is in cycles, which are collected some time later."""
        self.document.become(Document())
        self._joins.drop()

    def resume(self, reason: PauseReason) -> None:
        """Process again, in the order in which members come."""
        for member in list(self.members):
            member.resume(reason)

    def close(self, code: CloseCode) -> None:
        """Close every connection."""
        for member in list(self.members):
            member.close(code)
