"""One peer's side of the sync protocol on one document. Knows no socket, no clock, no other peer.

Rules of the machine (references/protocol.md, S1–S10):

- the server asks first: a sync step 1 opens the session, for offline edits come only as its answer (S1);
- an update that needs something unknown is held back, and its sender asked once for each gap (S4);
- held-back updates are tried again when the document has grown; the buffer is bounded, and what
  falls out of it is never acknowledged (S5);
- an acknowledgement waits while anything earlier from the peer is held back (S6).
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import assert_never

from crdt.awareness import Awareness
from crdt.cut import PIECE_LIMIT_BYTES
from crdt.document import Document, Intake
from crdt.effects import (
    Accepted,
    Acknowledge,
    Announce,
    Discarded,
    Effect,
    Ingest,
    Refused,
    Reply,
    SendDiff,
)
from crdt.errors import CloseCode, NotTaken, ProtocolError, TooLarge
from crdt.keystroke import KEYSTROKE_LIMIT_BYTES
from crdt.limits import Limits
from crdt.messages import (
    AwarenessQuery,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
)
from crdt.update import DeleteRange, Update

__all__ = ["Session"]

HELD_LIMIT = 64
HELD_LIMIT_BYTES = 262_144
HELD_LIMIT_S = 30.0
"""The bounds of what one peer may have held back (S5)."""

STATUS_LIMIT_BYTES = 64
"""The largest payload of a sync status, which clients fill with a counter (S7)."""

UNANSWERED_LIMIT = 1_024
"""The most acknowledgements that wait; beyond it the oldest are dropped, for a later one covers them."""

TAKEN_OUT = f"{CloseCode.TOO_LARGE}: something was too large and was taken out"
NOT_SAVED = f"{CloseCode.TOO_LARGE}: {{}}, edits are not saved"
"""What a peer is told that stays (S10)."""

_NO_GAPS: frozenset[tuple[int, int]] = frozenset()
"""Shared by all who have none: an empty one takes 216 bytes."""


@dataclass(frozen=True, slots=True)
class _Held:
    update: Update
    gaps: frozenset[tuple[int, int]]
    since: float
    untold: Sequence[DeleteRange]
    """As that of its intake."""


_age = attrgetter("since")


class Session:
    """One peer on one document. All methods are synchronous and return what must happen, in order.

    ``receive`` and ``retry`` raise ``ProtocolError`` for the peer's mistakes, and ``DocumentBroken``.
    """

    __slots__ = (
        "_asked",
        "_awareness",
        "_document",
        "_has_lost",
        "_held",
        "_limits",
        "_told",
        "_unanswered",
        "peer",
    )

    def __init__(self, peer: int, document: Document, awareness: Awareness, limits: Limits) -> None:
        self.peer = peer
        """The number of the connection."""
        self._document = document
        self._awareness = awareness
        self._limits = limits
        self._told: NotTaken | None = None
        """What the peer was told of the edits that are not taken."""
        self._held: list[_Held] = []
        self._asked = _NO_GAPS
        self._has_lost = False
        self._unanswered: list[bytes] = []

    def open(self) -> list[Effect]:
        """Begin: ask for what the peer has (S1) and show who is here (S2)."""
        return [Reply(SyncStep1(self._document.state_vector)), *self._everybody()]

    def receive(self, message: Message, now: float) -> list[Effect]:
        """Take one message from the peer."""
        match message:
            case SyncUpdate(update):
                return self._take(update, now, is_complete=False)
            case AwarenessUpdate(body):
                return self._hear(body, now)
            case SyncStep1(state_vector):
                return [SendDiff(state_vector)]
            case SyncStep2(update):
                return self._take(update, now, is_complete=True)
            case SyncStatus(payload):
                if len(payload) > STATUS_LIMIT_BYTES:
                    raise TooLarge("sync status too large")
                self._unanswered.append(payload)
                del self._unanswered[:-UNANSWERED_LIMIT]
                return self._answer()
            case AwarenessQuery():
                return self._everybody() or [Reply(AwarenessUpdate(b"\x00"))]
            case _:
                assert_never(message)

    def _everybody(self) -> list[Effect]:
        parts = self._awareness.encode_parts(self._awareness.present)
        return [Reply(AwarenessUpdate(part)) for part in parts]

    @property
    def waits(self) -> bool:
        """Whether anything is held back: then ``retry`` has to be called as the document grows."""
        return bool(self._held)

    def retry(self, now: float) -> list[Effect]:
        """Try again what is held back and may have become possible; drop what is too old (S5)."""
        effects: list[Effect] = []
        while (held := next(filter(self._may_go_on, self._held), None)) is not None:
            intake = self._document.intake(held.update, limits=self._limits, untold=held.untold)
            try:
                effects += map(Accepted, intake.run())
            except ProtocolError:
                if effects:
                    # What was accepted must get out; the next call comes back here and raises.
                    return effects
                raise
            self._held.remove(held)
            effects += self._refused(intake) + self._hold(intake, held.since)
        effects += self._discard(now)
        return effects + self._answer()

    def recall(self) -> list[Effect]:
        """Have the peer announce its presence anew, for others may not show it (A7)."""
        recalled = self._awareness.recall(self.peer)
        return [] if recalled is None else [Reply(AwarenessUpdate(recalled))]

    def close(self, now: float, *, clean: bool) -> list[Effect]:
        """End: withdraw the peer's presence, at once after a close frame, else after a grace."""
        gone = self._awareness.leave(self.peer, now, clean=clean)
        return [Announce(gone)] if gone else []

    def _take(self, update: Update, now: float, *, is_complete: bool) -> list[Effect]:
        document = self._document
        if (
            len(update) <= KEYSTROKE_LIMIT_BYTES
            and not is_complete
            and document.size_bytes < self._limits.document_bytes
            and document.take_keystroke(update)
        ):
            return [Accepted(update, is_plain=True)]
        intake = document.intake(update, is_complete=is_complete, limits=self._limits)
        if len(update) > PIECE_LIMIT_BYTES or document.is_large_and_unlearnt:
            return [Ingest(self._ingest(intake, now, is_complete=is_complete))]
        effects: list[Effect] = [Accepted(part) for part in intake.run()]
        return effects + self._taken(intake, now, is_complete=is_complete)

    def _ingest(self, intake: Intake, now: float, *, is_complete: bool) -> Iterator[list[Effect]]:
        for part in intake.steps():
            yield [] if part is None else [Accepted(part)]
        yield self._taken(intake, now, is_complete=is_complete)

    def _taken(self, intake: Intake, now: float, *, is_complete: bool) -> list[Effect]:
        refused = self._refused(intake)
        if intake.not_taken is not None:
            return refused
        if intake.rest is None and is_complete:
            # A whole step 2 repeats all that the peer ever sent (S5).
            self._held.clear()
            self._has_lost = False
            self._told = None
            return refused + self._answer()
        if intake.rest is None:
            return refused
        return refused + self._hold(intake, now) + self._discard(now)

    def _refused(self, intake: Intake) -> list[Effect]:
        """Tell what was not taken: to the peer in words, and to the log (S10)."""
        effects: list[Effect] = [Refused(f"taken as deleted: {removed}") for removed in intake.removed]
        if effects:
            effects.append(Reply(PermissionDenied(TAKEN_OUT)))
        if intake.not_taken is not None:
            self._has_lost = True
            if str(self._told) != str(intake.not_taken):
                self._told = intake.not_taken
                effects += [
                    Refused(str(intake.not_taken)),
                    Reply(PermissionDenied(NOT_SAVED.format(intake.not_taken))),
                ]
        return effects

    def _hold(self, intake: Intake, since: float) -> list[Effect]:
        if intake.rest is None or any(held.update == intake.rest for held in self._held):
            return []
        self._asked = self._asked if self._held else _NO_GAPS
        insort(self._held, _Held(intake.rest, intake.gaps, since, intake.untold), key=_age)
        if intake.gaps <= self._asked:
            return []
        self._asked |= intake.gaps
        return [Reply(SyncStep1(self._document.state_vector))]

    def _may_go_on(self, held: _Held) -> bool:
        clocks = self._document.clocks
        return any(clocks.get(client, 0) > known for client, known in held.gaps)

    def _discard(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        size_bytes = sum(len(held.update) for held in self._held)
        while self._held and (
            len(self._held) > HELD_LIMIT
            or size_bytes > HELD_LIMIT_BYTES
            or now - self._held[0].since > HELD_LIMIT_S
        ):
            oldest = self._held.pop(0)
            size_bytes -= len(oldest.update)
            self._has_lost = True
            effects.append(Discarded(len(oldest.update)))
        return effects

    def _answer(self) -> list[Effect]:
        if self._held or self._has_lost:
            return []
        effects: list[Effect] = [Acknowledge(payload) for payload in self._unanswered]
        self._unanswered.clear()
        return effects

    def _hear(self, update: bytes, now: float) -> list[Effect]:
        heard = self._awareness.receive(update, self.peer, now)
        effects: list[Effect] = [
            Discarded(flaw.size_bytes, f"presence: {flaw.reason}") for flaw in heard.flaws.values()
        ]
        if heard.changed or heard.moved:
            effects.append(Announce(heard.changed + heard.moved, heard.is_recalled))
        if heard.corrected:
            effects.append(Reply(AwarenessUpdate(self._awareness.encode(heard.corrected))))
        return effects + self.recall() if heard.is_recalled else effects
