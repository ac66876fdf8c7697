"""One document, live on this node: takes what its members send, batches it, logs it, fans it out.

Everything between an arriving message and the frames that leave is synchronous, so nothing can come
in between and no lock is needed. Rules of the room (references/protocol.md, R1–R10):

- the first change after a quiet spell goes out at the end of the loop's turn (R2, server/pace.py);
- a flush merges what was accepted into entries: each is one frame on the wire and one row in the
  store (R3);
- fan-out does not wait for the disk, acknowledgements do (D1).
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import assert_never

from crdt.dialects import Dialect
from crdt.document import Document, DocumentBroken
from crdt.effects import Accepted, Acknowledge, Announce, Discarded, Effect, Ingest, Refused, Reply, SendDiff
from crdt.errors import CloseCode
from crdt.messages import AwarenessUpdate, Outgoing, SyncStatus, SyncUpdate
from crdt.state_vector import StateVector
from crdt.update import EMPTY_UPDATE, Update
from server.batch import Batch
from server.fan_out import FanOut
from server.join import JoinCache
from server.journal import Journal
from server.loading import Loaded
from server.member import Member, PauseReason
from server.owner import Owner
from server.pace import FLUSH_INTERVAL_S, PRESENCE_INTERVAL_S, RELAY_INTERVAL_S, Pace
from server.presence import Presence
from server.receipts import Receipts
from server.relay import Relay
from server.transport import Frame, frame_of

__all__ = ["Room"]

logger = logging.getLogger("cowrite.room")


class Room:
    """A live document and its members."""

    def __init__(self, name: str, loaded: Loaded, owner: Owner, journal: Journal, dialect: Dialect) -> None:
        self.name = name
        self.owner = owner
        self.document = loaded.document
        self._pace = Pace(self._flush)
        self.presence = Presence(
            partial(self._pace.request, PRESENCE_INTERVAL_S), lambda: owner.presence_changed(self)
        )
        self.members: dict[Member, None] = {}  # 64 bytes while it is empty, where a set takes 216
        self.position = loaded.position
        """Of the latest entry, where no bus gives positions."""
        self.tail = loaded.tail
        """What the log holds after the snapshot."""
        self.fanned_out_at = 0.0
        """When everybody was last written to, by the loop's clock."""
        self._journal = journal
        self._dialect = dialect
        self._loop = asyncio.get_running_loop()
        self._fan_out = FanOut(lambda: self.document.state_vector)
        self._joins = JoinCache(self.document, dialect)
        self._batch = Batch()
        self._relayed = Batch()
        """Entries of other nodes: they are sent, not logged again."""
        self._receipts = Receipts()
        self.relay = Relay(self, loaded.waiting)

    def join(self, member: Member) -> None:
        """Take in a member and open its session."""
        self.members[member] = None
        self._fan_out.add(member)
        self.perform(member, member.session.open())

    def leave(self, member: Member, *, clean: bool) -> None:
        """Let a member go; ``clean`` when its close frame came."""
        self.members.pop(member, None)
        self.relay.forget(member)
        self._receipts.forget(member)
        self._fan_out.remove(member)
        self.perform(member, member.session.close(self._loop.time(), clean=clean))
        if not clean:
            self.presence.withdraw_in_time()

    def fall_behind(self, member: Member) -> None:
        """Send nothing more to a member whose write budget is exceeded (R6)."""
        self._fan_out.fall_behind(member, is_sending=self._pace.is_due)

    def catch_up(self, member: Member) -> None:
        """Send to a drained member again, first all that it missed (R6)."""
        had = self._fan_out.catch_up(member)
        if had is not None:
            self.answer(member, had)
            for everybody in self.presence.everybody():
                member.transport.write(self._frame(AwarenessUpdate(everybody)))

    def answer(self, member: Member, state_vector: StateVector) -> None:
        """Send what a peer with ``state_vector`` lacks; raises ``Malformed``."""
        for frame in self._joins.answer(state_vector, self._loop.time()):
            member.transport.write(frame)

    def perform(self, member: Member, effects: Sequence[Effect]) -> None:
        """Carry out what a session returned."""
        for effect in effects:
            match effect:
                case Accepted(update, is_plain):
                    self.accept(update, is_plain=is_plain)
                    if self._journal.is_full:
                        member.pause(PauseReason.LOG)
                case Announce(clients, are_asked):
                    self.presence.changed(clients, are_asked=are_asked)
                case Acknowledge(payload):
                    self._acknowledge(member, payload)
                case Reply(message):
                    member.send(self._frame(message))
                case SendDiff(state_vector):
                    member.answer(state_vector)
                case Ingest(steps):
                    member.ingest(steps)
                case Refused(reason):
                    member.note("refused", f"an edit was not taken: {reason}")
                case Discarded(size_bytes, reason):
                    member.note(reason, f"dropped {size_bytes} bytes: {reason}")
                case _:
                    assert_never(effect)
        if member.session.waits and member in self.members:
            self.relay.hold(member)

    def accept(self, update: Update, *, is_plain: bool = False) -> None:
        """Log and send what has entered the document; ``is_plain`` as in ``Accepted``."""
        self._receipts.begin()
        self._journal.expect(len(update))
        self._grow(update, self._batch, FLUSH_INTERVAL_S, is_plain=is_plain)

    def _grow(self, update: Update, batch: Batch, interval_s: float, *, is_plain: bool = False) -> None:
        self.relay.grown()
        batch.add(update, is_plain=is_plain)
        self._joins.extend(update)
        self._pace.request(interval_s)

    def _acknowledge(self, member: Member, payload: bytes) -> None:
        if self._receipts.ask(member, payload, len(self._batch)):
            member.send(self._frame(SyncStatus(payload)))
        else:
            self._journal.hurry()

    def pass_on(self, update: Update) -> None:
        """Send what has entered the document from another node."""
        self._grow(update, self._relayed, RELAY_INTERVAL_S)

    async def log_has_space(self) -> None:
        """Wait while too much waits for the disk."""
        await self._journal.has_space()

    def republish(self) -> None:
        """Hand the whole document to the journal: the stream was lost, and others may lack anything.

        Raises ``DocumentBroken``, also while the document is loaded anew.
        """
        if self.relay.is_suspended:
            raise DocumentBroken("about to be replaced")
        document = self.document.encode()
        self._receipts.begin()
        self._hand_over(document)

    def _flush(self) -> None:
        try:
            self._fan_out.send(self._take_frames())
        except Exception:
            logger.critical("cannot flush", extra={"document": self.name}, exc_info=True)
            self.owner.failed(self)
            self._receipts.give_up()
        self.fanned_out_at = self._loop.time()

    def _take_frames(self) -> list[Frame]:
        # Relayed entries first: they cannot depend on what no other node has seen.
        entries = self._relayed.take()
        for entry in entries:
            self.tail.add(entry, self._loop.time())
        self._journal.expect(-self._batch.size_bytes)
        for entry in self._batch.take():
            self._hand_over(entry)
            entries.append(entry)
        frames = [self._frame(SyncUpdate(entry)) for entry in entries]
        return frames + [self._frame(AwarenessUpdate(news)) for news in self.presence.take_for_members()]

    def _hand_over(self, entry: Update) -> None:
        self._receipts.hand_over()
        self._journal.append(self, entry, is_awaited=self._receipts.are_awaited)
        self.tail.add(entry, self._loop.time())

    def _frame(self, message: Outgoing) -> Frame:
        return frame_of(self._dialect.encode(message))

    def stored(self, count: int) -> None:
        """Learn that ``count`` more entries are durable, and acknowledge them (D1)."""
        for member, payload in self._receipts.stored(count, is_more_coming=bool(self._batch)):
            member.send(self._frame(SyncStatus(payload)))

    async def settle(self) -> None:
        """Wait until everything accepted is durable, or the room was given up."""
        self._pace.flush_now()
        self._journal.hurry()
        await self._receipts.settle()

    def expire(self) -> None:
        """Withdraw clients that are gone; drop shared answers that nobody asks for."""
        now = self._loop.time()
        self.presence.expire(now)
        self._joins.expire(now)

    def suspend(self) -> None:
        """Take nothing into the document and tell nobody of it until it is replaced."""
        self.relay.suspend()
        for member in list(self.members):
            member.pause(PauseReason.RELOAD)

    def replace_document(self, loaded: Loaded) -> None:
        """Go on with the document as it was loaded anew; everything accepted must be durable."""
        had = self.document.state_vector
        self.document.become(loaded.document)
        self.relay.start_over(loaded.waiting)
        self._joins.drop()
        # The log may hold what other nodes appended meanwhile; in the stream it is no news any more (B16).
        missed = self.document.diff(had)
        if missed != EMPTY_UPDATE:
            self._fan_out.send([self._frame(SyncUpdate(missed))])

    def recall(self) -> None:
        """Have every member announce its presence anew, for other nodes believed that it was gone (A7)."""
        for member in list(self.members):
            self.perform(member, member.session.recall())

    def forget(self) -> None:
        """Give the memory back at once: the room is in cycles, which are collected some time later."""
        self.relay.suspend()
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
