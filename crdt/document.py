"""One live document: a pycrdt Doc that never holds anything pending, and the clock table beside it.

The log is the truth and the Doc a cache of it: what the Doc says of itself (state vector, diff, full
state) is complete only because the gate lets nothing in that would have to wait
(references/protocol.md, G1–G6). Knows no peer, no room, no store.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from sys import maxsize

from pycrdt import Doc, Snapshot, Text

from crdt.capacity import Capacity
from crdt.clock_check import ClockCheck
from crdt.cut import PIECE_LIMIT_BYTES, Cut, Piece
from crdt.errors import NotTaken, ProtocolError
from crdt.gate import Inspection
from crdt.keystroke import read_keystroke
from crdt.limits import Limits
from crdt.places import Places
from crdt.reading import Reading
from crdt.rewriting import Removed, Rewriting
from crdt.stand_ins import StandIns, may_be_altered
from crdt.state_vector import (
    StateVector,
    check_state_vector,
    decode_state_vector,
    encode_state_vector,
)
from crdt.surrogates import SurrogatePairs
from crdt.update import EMPTY_UPDATE, DeleteRange, Update, encode_update
from crdt.yrs import DocumentBroken, integrate, yrs

__all__ = ["Document", "DocumentBroken", "Intake"]

_MANY = 1_000
"""Clients of whom yrs writes the state vector: of 45,000 in 3 ms, where Python takes 21."""

_NOTHING = b"\x00"
"""The state vector of who has nothing."""


RANGE_BYTES = 20
"""What a deletion adds to a document at most, where it cuts a struct in two."""

CURRENT = 2**18
"""Added to the depth of what is folded: a snapshot without it is of a time that kept nothing beside yrs."""

KEPT_BESIDE = 2**16
"""Added to the depth of a document that holds what yrs would alter: then a snapshot of it has to be read."""

PLAIN = 2**17
"""Added to the depth of a document in which all stands in roots, and nothing is a type or under a key."""


class Document:
    """The live state of one document. All methods are synchronous; none keeps its arguments."""

    __slots__ = ("_capacity", "_check", "_doc", "_stand_ins", "clocks", "pairs", "places", "size_bytes")

    def __init__(self) -> None:
        self._doc: Doc[Text] | None = None
        """Made by the first update: an empty one takes 2.7 KB."""
        self.clocks: dict[int, int] = {}
        """For each client the next clock expected from it: the state vector, without asking yrs."""
        self.places = Places()
        self.pairs = SurrogatePairs()
        self.size_bytes = 0
        """How large it may be: what is deleted is taken off when it is measured."""
        self._check = ClockCheck()
        self._stand_ins = StandIns()
        self._capacity = Capacity()

    @classmethod
    def from_snapshot(cls, snapshot: bytes, depth: int) -> "Document":
        """Load what ``encode`` once returned; ``depth`` is its ``depth`` then.

        Raises ``Malformed`` when the bytes are not an update.
        """
        document = cls()
        deque(document.restoring(snapshot, depth), maxlen=0)
        return document

    def restoring(self, snapshot: bytes, depth: int) -> Iterator[None]:
        """Do the same with a new document, pausing now and then."""
        hidden = Update(snapshot)
        if depth & KEPT_BESIDE or not depth & CURRENT and may_be_altered(snapshot):
            for step in self._stand_ins.hiding(snapshot):
                if step is not None:
                    hidden = step
                yield
        integrate(self._live, hidden)
        self.size_bytes = len(snapshot)
        self.clocks = decode_state_vector(self._live.get_state())
        self.places = Places(depth & ~(KEPT_BESIDE | PLAIN | CURRENT), is_learnt=depth & PLAIN != 0)
        self.pairs.record_all(snapshot)

    def become(self, other: "Document") -> None:
        """Take over the state of ``other``, which must not be used afterwards."""
        self._doc, self.clocks = other._doc, other.clocks
        self.places, self.pairs = other.places, other.pairs
        self._check, self._stand_ins = other._check, other._stand_ins
        self.size_bytes, self._capacity = other.size_bytes, other._capacity

    @property
    def depth(self) -> int:
        """How deeply shared types nest, with ``KEPT_BESIDE`` and ``PLAIN`` where they are true of it."""
        kept_beside = KEPT_BESIDE if self._stand_ins else 0
        return self.places.deepest | kept_beside | (PLAIN if self.places.is_plain else 0)

    @property
    def state_vector(self) -> StateVector:
        """What is known, for a sync step 1."""
        if len(self.clocks) < _MANY:
            return encode_state_vector(self.clocks)
        with yrs():
            return StateVector(self._live.get_state())

    def encode(self) -> Update:
        """Return the whole document as one update; raises ``DocumentBroken``."""
        return self.diff(_NOTHING)

    def diff(self, state_vector: bytes) -> Update:
        """Return what a peer with ``state_vector`` lacks, and every deletion.

        Raises ``Malformed`` when the bytes are not a state vector, and ``DocumentBroken``.
        """
        check_state_vector(state_vector)
        if self._doc is None:
            return EMPTY_UPDATE
        self._compare_clocks()
        with yrs():
            return self._stand_ins.reveal(self._doc.get_update(state_vector))

    def marks(self) -> bytes:
        """Return every deletion and the state vector, which together tell all that is in it."""
        with yrs():
            return Snapshot.from_doc(self._live).encode()

    def intake(
        self,
        update: bytes,
        *,
        is_complete: bool = False,
        limits: Limits | None = None,
        untold: Sequence[DeleteRange] = (),
    ) -> "Intake":
        """Begin to take ``update``; ``is_complete`` for a sync step 2, which repeats known deletions.

        ``limits`` where it is new: what another node or the log has taken already has to be taken. ``untold``
        is that of the former intake of which this is the rest.
        """
        return Intake(self, update, limits, untold, is_complete=is_complete)

    def admit(self, inspection: Inspection, limits: Limits) -> None:
        """Raise ``NotTaken`` where there is no place for what an update brings (L8)."""
        clocks = self.clocks
        new_bytes = sum(
            stop - start
            for client, _, _, start, stop in inspection.sections
            if inspection.ends[client] > clocks.get(client, 0)
        )
        # What is deleted is let in though it makes a full document larger, up to what a message may be.
        limit_bytes = limits.document_bytes if new_bytes else 2 * limits.document_bytes
        added_bytes = new_bytes + RANGE_BYTES * inspection.deletes.count
        self._measure(added_bytes, limit_bytes, limits)
        if self.size_bytes + added_bytes > limit_bytes:
            raise NotTaken("the document is full")
        newcomers = sum(client not in clocks for client in inspection.ends)
        if newcomers and len(clocks) + newcomers > limits.clients:
            raise NotTaken("the document has too many client ids")
        self.size_bytes += RANGE_BYTES * inspection.deletes.count

    def content_limit(self, coming_bytes: int, limits: Limits) -> int:
        """Return how large the content of one struct may be in an update of ``coming_bytes`` (U16).

        Content that has no place by itself is left out, and what its author writes behind it is not.
        """
        if coming_bytes <= PIECE_LIMIT_BYTES:
            return limits.content_bytes
        self._measure(coming_bytes, limits.document_bytes, limits)
        return min(limits.content_bytes, max(PIECE_LIMIT_BYTES, limits.document_bytes - self.size_bytes))

    def _measure(self, coming_bytes: int, limit_bytes: int, limits: Limits) -> None:
        """Look how large the document is where there seems to be no place for what comes."""
        if self.size_bytes + coming_bytes > limit_bytes and self._capacity.is_due(self.size_bytes, limits):
            self.size_bytes = len(self.encode())
            self._capacity.measured(self.size_bytes, is_full=self.size_bytes + coming_bytes > limit_bytes)

    def take_keystroke(self, update: bytes) -> bool:
        """Take ``update`` if it is a keystroke that fits at once; False leaves it to ``intake``.

        Raises ``Malformed`` or ``DocumentBroken``.
        """
        keystroke = read_keystroke(update)
        if keystroke is None or not keystroke.fits(self.clocks, self.pairs):
            return False
        client, clock, end, left, right, is_deletion = keystroke
        if not (
            is_deletion or self.places.is_plain or self.places.record_text(client, clock, end, left, right)
        ):
            return False
        integrate(self._live, update)
        if is_deletion:
            self.size_bytes += RANGE_BYTES
            self._capacity.has_deleted = True
        else:
            self._check.moved.setdefault(client, clock)
            self.clocks[client] = end
            self.size_bytes += len(update)
        return True

    @property
    def is_large_and_unlearnt(self) -> bool:
        """Whether it may take longer than a step to find out where its structs stand."""
        return not self.places.is_learnt and self.size_bytes > PIECE_LIMIT_BYTES

    def learning(self) -> Iterator[None]:
        """Learn where all that a snapshot brought stands, pausing now and then; raises ``DocumentBroken``."""
        places = Places(self.places.deepest)
        known: dict[int, int] = {}
        while known != self.clocks:
            written, known = self.diff(encode_state_vector(known)), dict(self.clocks)
            yield from places.learning(written)
        self.places.become(places)

    def knows(self, deleted: DeleteRange) -> bool:
        """Whether all of a range has come."""
        return deleted.end <= self.clocks.get(deleted.client, 0)

    def apply(self, piece: Piece, reading: Reading) -> None:
        """Integrate what the gate let through, whose content yrs reads in the way of ``reading`` at worst.

        Raises ``Malformed`` or ``DocumentBroken``.
        """
        self.size_bytes += len(piece.update)
        self._capacity.has_deleted = True
        is_altered = reading is Reading.ALTERED
        integrate(self._live, self._stand_ins.hide(piece.update) if is_altered else piece.update)
        for client, end in piece.ends.items():
            known = self.clocks.get(client, 0)
            if end > known:
                self._check.moved.setdefault(client, known)
                self.clocks[client] = end
        self._compare_clocks()
        if self._stand_ins.is_due:
            with yrs():
                self._stand_ins.review(self._live.get_update())

    def _compare_clocks(self) -> None:
        """G7."""
        with yrs():
            state = self._live.get_state()
        if not self._check.agrees(state, self.clocks):
            raise DocumentBroken("yrs has read an update otherwise than the walker")

    def apply_deletes(self, update: Update) -> Update | None:
        """Integrate deletions and return those that were new, None when all were known."""
        new: list[Update] = []
        doc = self._live
        subscription = doc.observe(lambda event: new.append(Update(event.update)))
        try:
            integrate(doc, update)
        finally:
            doc.unobserve(subscription)
        self._compare_clocks()
        self.size_bytes += len(update)
        self._capacity.has_deleted = True
        return new[0] if new else None

    @property
    def _live(self) -> Doc[Text]:
        if self._doc is None:
            self._doc = Doc()
        return self._doc


class Intake:
    """One update on its way into a document.

    ``steps`` does the work. A small update is done in one step; a large one pauses between slices
    of a few milliseconds, and other updates may be taken in the pauses.
    """

    __slots__ = (
        "_document",
        "_is_complete",
        "_limits",
        "_reading",
        "_update",
        "gaps",
        "not_taken",
        "removed",
        "rest",
        "untold",
    )

    def __init__(
        self,
        document: Document,
        update: bytes,
        limits: Limits | None,
        untold: Sequence[DeleteRange],
        *,
        is_complete: bool,
    ) -> None:
        self._document = document
        self._update = update
        self._limits = limits
        self._is_complete = is_complete
        self._reading = Reading.ALIKE
        self.rest: Update | None = None
        """Afterwards: what waits for something that the document does not know yet."""
        self.gaps: frozenset[tuple[int, int]] = frozenset()
        """Afterwards: what ``rest`` waits for, as (client, clock known so far)."""
        self.removed: list[Removed] = []
        """Afterwards: what was taken as deleted, because it is beyond a limit."""
        self.untold = tuple(untold)
        """Afterwards: what of that has to wait, and whose deletion its author has to be told yet."""
        self.not_taken: NotTaken | None = None
        """Afterwards: why no more of it was taken than the parts that were yielded."""

    def steps(self) -> Iterator[Update | None]:
        """Take the update: yield every accepted part once it is integrated, None for a pause.

        The parts hold all that was new, in an order in which any peer can integrate them. Raises
        ``Malformed`` or ``TooLarge``, and ``DocumentBroken`` when the document must be loaded anew.
        """
        try:
            yield from self._steps()
        except NotTaken as error:
            if self._limits is None:
                raise
            self.not_taken = error

    def _steps(self) -> Iterator[Update | None]:
        document = self._document
        content_limit_bytes = maxsize
        if self._limits is not None:
            content_limit_bytes = document.content_limit(len(self._update), self._limits)
        inspection = Inspection(self._update, document.clocks, document.pairs, content_limit_bytes)
        yield from inspection.steps()
        if inspection.reading >= Reading.UNREADABLE:
            rewriting = Rewriting(inspection, content_limit_bytes)
            yield from rewriting.steps()
            inspection = Inspection(rewriting.update, document.clocks, document.pairs)
            yield from inspection.steps()
            self.removed = [removed for removed in rewriting.removed if not document.knows(removed.range)]
            self.untold += tuple(removed.range for removed in self.removed)
        if self._limits is not None:
            document.admit(inspection, self._limits)
        self._reading = inspection.reading
        repeats_deletes = self._is_complete and bool(inspection.deletes)
        if inspection.needs_places and not document.places.is_learnt:
            yield from document.learning()
        if not inspection.ends and not inspection.deletes:
            return
        is_small = len(inspection.update) <= PIECE_LIMIT_BYTES
        if inspection.fits and not repeats_deletes and is_small and self._may_enter_whole(inspection):
            document.apply(Piece(inspection.update, inspection.ends), inspection.reading)
            yield inspection.update
            yield from self._tell_deleted()
            return
        cut = Cut(inspection, document.clocks, document.places, document.pairs)
        for piece in cut.pieces():
            yield None if piece is None else self._take(piece)
        self.rest, self.gaps = cut.rest, cut.gaps
        self.removed += cut.removed
        yield from self._tell_deleted()

    def _tell_deleted(self) -> Iterator[Update]:
        """Yield the deletion of what came in as deleted: only its author, who has the content, needs it."""
        gone = [deleted for deleted in self.untold if self._document.knows(deleted)]
        if gone:
            self.untold = tuple(deleted for deleted in self.untold if deleted not in gone)
            yield encode_update((), gone)

    def run(self) -> list[Update]:
        """Take the update without a pause and return the accepted parts; raises as ``steps``."""
        parts: list[Update] = []
        try:
            parts += filter(None, self.steps())
        except ProtocolError as error:
            if parts:
                raise DocumentBroken("refused in part: the document holds what the log never will") from error
            raise
        return parts

    def _may_enter_whole(self, inspection: Inspection) -> bool:
        places = self._document.places
        if inspection.has_pairs or places.is_learnt and (inspection.has_places or not places.is_plain):
            return inspection.record(places)
        return True

    def _take(self, piece: Piece) -> Update | None:
        if not piece.ends:
            return self._document.apply_deletes(piece.update)
        self._document.apply(piece, self._reading)
        return piece.update
