"""One WebSocket on one document: decodes in order, obeys the room, watches over its own health.

The transport calls it, the room calls it, a ticker calls it; nothing in it waits. Reading stops while
any ``PauseReason`` holds; what one frame brought beyond that is processed afterwards, in order.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator

from crdt.dialects import Dialect
from crdt.document import DocumentBroken
from crdt.effects import Effect, SendDiff
from crdt.errors import CloseCode, ProtocolError
from crdt.limits import Limits
from crdt.messages import AwarenessUpdate, Message, PermissionDenied
from crdt.session import Session
from crdt.state_vector import StateVector
from server.health import Health
from server.member import PauseReason
from server.owner import Host
from server.room import Room
from server.slices import SLICE_S
from server.transport import Frame, Transport, frame_of

__all__ = ["Connection"]

TURN_BYTES, MESSAGE_BYTES = 65_536, 300
"""What is taken before others have their turn, and what a message costs beyond its bytes: 5 to 10 ms."""

TOO_LARGE_TO_TAKE = f"{CloseCode.TOO_LARGE}: too large for one message, edits are not saved"
"""What is said before the connection closes."""

_numbers = itertools.count(1)
_NO_REASONS: frozenset[PauseReason] = frozenset()  # shared, for an empty one takes 216 bytes


class Connection:
    """A member of a room, and the sink of its transport; ``host`` hears when it has left the room."""

    def __init__(
        self,
        transport: Transport,
        room: Room,
        dialect: Dialect,
        health: Health,
        limits: Limits,
        host: Host,
    ) -> None:
        self.number = next(_numbers)
        """Names the connection in the log and in the presence table; never used twice."""
        self.session = Session(self.number, room.document, room.presence.awareness, limits)
        self.room = room
        self.transport = transport
        self._dialect = dialect
        self._health = health
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._pauses = _NO_REASONS
        self._backlog: deque[Message] | None = None  # an empty one takes 760 bytes
        """The rest of a frame with several messages, while paused: no more than that frame."""
        self._ingesting: Iterator[list[Effect]] | None = None
        self._asked: StateVector | None = None
        """The sync step 1 that came while it was behind: the latest is answered when it has drained."""
        self._turn_bytes = TURN_BYTES
        self._is_open = True
        self._departure: bool | None = None
        """Whether the connection, which is lost, ended cleanly."""

    def message_received(self, payload: bytes) -> None:
        """Take one frame."""
        if not self._is_open:
            return
        try:
            messages = self._dialect.decode(payload)
            if len(messages) == 1 and not self._backlog and not self._pauses:
                self.room.perform(self, self.session.receive(messages[0], self._loop.time()))
            else:
                self._backlog = deque((*(self._backlog or ()), *messages))
                self._process_backlog()
        except (ProtocolError, DocumentBroken) as error:
            self._refuse(error)
        self._turn_bytes -= len(payload) + MESSAGE_BYTES
        if self._turn_bytes <= 0:
            self._turn_bytes = TURN_BYTES
            self.pause(PauseReason.TURN)
            self._loop.call_soon(self.resume, PauseReason.TURN)

    def text_received(self) -> None:
        """Refuse a text frame: the protocol is binary."""
        self._log_and_close(CloseCode.TEXT_FRAME, "text frame")

    def malformed_received(self, code: int, reason: str) -> None:
        """Say in words that a message was too large: clients do not show a code, and stop at this one."""
        if code == CloseCode.TOO_LARGE:
            self.transport.write(frame_of(self._dialect.encode(PermissionDenied(TOO_LARGE_TO_TAKE))))
        self._host.refused(self, code, reason)

    def pause_writing(self) -> None:
        """Fall behind: the write budget is exceeded (R6)."""
        self._health.fall_behind(self._loop.time())
        self.room.fall_behind(self)

    def resume_writing(self) -> None:
        """Catch up with all that was missed."""
        self._health.drain()
        # While the document is loaded anew, nothing of the old one is told: ``resume`` does it then.
        if self._is_open and PauseReason.RELOAD not in self._pauses:
            self._catch_up()

    def _catch_up(self) -> None:
        self.room.catch_up(self)
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._perform(lambda: [SendDiff(asked)])
            self.resume(PauseReason.QUESTION)

    def connection_lost(self, *, clean: bool) -> None:
        """Leave the room as soon as everything received is taken: a large last update is not lost."""
        self._departure = clean
        self._leave_when_done()

    @property
    def is_leaving(self) -> bool:
        """Whether the connection is lost, and not all that was received from it is taken."""
        return self._departure is not None and self in self.room.members

    def _leave_when_done(self) -> None:
        is_busy = self._is_open and (self._ingesting is not None or bool(self._backlog))
        if self._departure is not None and not is_busy:
            self.transport.resume_reading()  # else what it sent last counts as being taken for ever
            self.leave(clean=self._departure)

    def leave(self, *, clean: bool) -> None:
        """Leave the room at once; idempotent."""
        if self in self.room.members:
            self._is_open = False
            self._backlog = None
            self._ingesting = None
            self.room.leave(self, clean=clean)
            self._host.forget(self)

    def _process_backlog(self) -> None:
        while self._backlog and not self._pauses and self._is_open:
            self._receive(self._backlog.popleft())
        if not self._backlog:
            self._backlog = None

    def _receive(self, message: Message) -> None:
        self._perform(lambda: self.session.receive(message, self._loop.time()))

    def _perform(self, take: Callable[[], list[Effect]]) -> None:
        try:
            self.room.perform(self, take())
        except (ProtocolError, DocumentBroken) as error:
            self._refuse(error)

    def _refuse(self, error: ProtocolError | DocumentBroken) -> None:
        if isinstance(error, ProtocolError):
            self._log_and_close(error.code, str(error))
        else:
            self._log_and_close(CloseCode.MALFORMED, str(error))
            self.room.owner.broken(self.room)

    def note(self, kind: str, text: str) -> None:
        """Have logged what the peer has brought about: one line of many."""
        self._host.noted(self, kind, text)

    def send(self, frame: Frame) -> None:
        """Send to this peer alone; a peer that is behind and asks for more and more is closed."""
        if self._health.is_flooded(len(frame)):
            self.close(CloseCode.OVERLOADED)
        else:
            self.transport.write(frame)

    def answer(self, state_vector: StateVector) -> None:
        """Send what a peer with ``state_vector`` lacks, now or when it has drained."""
        if self._health.is_behind:
            self._asked = state_vector
            if len(state_vector) > TURN_BYTES:
                self.pause(PauseReason.QUESTION)
        else:
            try:
                self.room.answer(self, state_vector)
            except DocumentBroken:
                # Not this peer's fault: it comes back and finds the document loaded anew.
                self.close(CloseCode.RESTART)
                self.room.owner.broken(self.room)

    def retry(self) -> None:
        """Try again what the session holds back."""
        if self._is_open and PauseReason.RELOAD not in self._pauses:
            self._perform(lambda: self.session.retry(self._loop.time()))

    def ingest(self, steps: Iterator[list[Effect]]) -> None:
        """Drive a large update in slices; nothing else is read from the peer meanwhile."""
        self._ingesting = steps
        self.pause(PauseReason.INGEST)
        self._loop.call_soon(self._ingest_slice)

    def _ingest_slice(self) -> None:
        ends_at = time.monotonic() + SLICE_S
        while self._ingesting is not None and self._is_open:
            if time.monotonic() > ends_at:
                self._loop.call_soon(self._ingest_slice)
                return
            self._perform(self._next_step)
        self._leave_when_done()

    def _next_step(self) -> list[Effect]:
        assert self._ingesting is not None
        effects = next(self._ingesting, None)
        if effects is None:
            self._ingesting = None
            self.resume(PauseReason.INGEST)
            return []
        return effects

    def pause(self, reason: PauseReason) -> None:
        """Process nothing until every reason is over; idempotent."""
        if reason is PauseReason.RELOAD and self._ingesting is not None:
            # What was taken of it went into the document that is given up: the peer sends it again.
            self.close(CloseCode.RESTART)
        self._pauses |= {reason}
        self.transport.pause_reading()

    def resume(self, reason: PauseReason) -> None:
        """End one reason; idempotent."""
        self._pauses -= {reason}
        if reason is PauseReason.RELOAD and self._is_open and not self._health.is_behind:
            self._catch_up()
        self._process_backlog()
        if not self._pauses:
            self.transport.resume_reading()
        self._leave_when_done()

    def close(self, code: CloseCode) -> None:
        """Close the connection with a code and its fixed phrase; idempotent."""
        if self._is_open:
            self._is_open = False
            self.transport.close(code, code.phrase)
            self._leave_when_done()

    def _log_and_close(self, code: CloseCode, reason: str) -> None:
        if self._is_open:
            self._host.refused(self, code, reason)
            self.close(code)

    def tick(self, now: float) -> None:
        """Look after the connection: ping, keepalive, a dead or a stuck peer (T5)."""
        if self.transport.take_activity() or self.transport.is_reading_paused:
            self._health.hear(now)
        if self._health.is_dead(now):
            self.transport.abort()
            return
        if self._health.is_behind:
            self._health.measure(now, self.transport.unsent_bytes)
            if self._health.is_stuck(now):
                self._log_and_close(CloseCode.OVERLOADED, "took nothing for too long")
                return
        if self._health.wants_ping(now):
            self.transport.ping()
        if self._health.wants_keepalive(now, self.room.fanned_out_at):
            self.transport.write(frame_of(self._dialect.encode(AwarenessUpdate(b"\x00"))))
        if self.session.waits:
            self.retry()
