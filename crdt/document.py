"""One live document: a pycrdt Doc that never holds anything pending, and the clock table beside it.

The log is the truth and the Doc a cache of it: what the Doc says of itself (state vector, diff, full
state) is complete only because the gate lets nothing in that would have to wait
(references/protocol.md, G1–G6). Knows no peer, no room, no store.
"""

from collections.abc import Callable, Iterable, Iterator

from pycrdt import Doc, Snapshot, Text, TransactionEvent, merge_updates

from crdt.cut import PIECE_LIMIT_BYTES, Cut, Piece
from crdt.errors import ProtocolError
from crdt.gate import Inspection
from crdt.keystroke import read_keystroke
from crdt.nesting import Nesting
from crdt.state_vector import (
    StateVector,
    check_state_vector,
    decode_state_vector,
    encode_state_vector,
)
from crdt.surrogates import SurrogatePairs
from crdt.update import EMPTY_UPDATE, Update
from crdt.yrs import DocumentBroken, integrate, yrs

__all__ = ["Document", "DocumentBroken", "Intake", "merge"]

_MERGE_WIDTH = 64
"""``merge_updates`` is superlinear: 4,000 updates at once take 115 ms, in a tree of 64 they take 6 ms."""

_MANY = 1_000
"""Clients of whom yrs writes the state vector: of 45,000 in 3 ms, where Python takes 21."""

_NOTHING = b"\x00"
"""The state vector of who has nothing."""


def merge(updates: list[Update]) -> Update:
    """Merge updates, given in an order in which they can be integrated, into one; idempotent."""
    while len(updates) > 1:
        with yrs():
            updates = [
                Update(merge_updates(*updates[index : index + _MERGE_WIDTH]))
                for index in range(0, len(updates), _MERGE_WIDTH)
            ]
    return updates[0] if updates else EMPTY_UPDATE


class Document:
    """The live state of one document. All methods are synchronous; none keeps its arguments."""

    __slots__ = ("_doc", "clocks", "nesting", "pairs")

    def __init__(self) -> None:
        self._doc: Doc[Text] | None = None
        """Made by the first update: an empty one takes 2.7 KB."""
        self.clocks: dict[int, int] = {}
        """For each client the next clock expected from it: the state vector, without asking yrs."""
        self.nesting = Nesting()
        self.pairs = SurrogatePairs()

    @classmethod
    def from_snapshot(cls, snapshot: bytes, depth: int) -> "Document":
        """Load what ``encode`` once returned; ``depth`` is its ``depth`` then.

        Raises ``Malformed`` when the bytes are not an update.
        """
        document = cls()
        document._apply(snapshot)
        document.clocks = decode_state_vector(document._live.get_state())
        document.nesting = Nesting(depth)
        document.pairs.record_all(snapshot)
        return document

    def become(self, other: "Document") -> None:
        """Take over the state of ``other``, which must not be used afterwards."""
        self._doc, self.clocks = other._doc, other.clocks
        self.nesting, self.pairs = other.nesting, other.pairs

    @property
    def depth(self) -> int:
        """How deeply shared types nest."""
        return self.nesting.deepest

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
        with yrs():
            return Update(self._doc.get_update(state_vector))

    def marks(self) -> bytes:
        """Return every deletion and the state vector, which together tell all that is in it."""
        with yrs():
            return Snapshot.from_doc(self._live).encode()

    def intake(self, update: bytes, *, is_complete: bool = False) -> "Intake":
        """Begin to take ``update``; ``is_complete`` for a sync step 2, which repeats known deletions."""
        return Intake(self, update, is_complete=is_complete)

    def take_keystroke(self, update: bytes) -> bool:
        """Take ``update`` if it is a keystroke that fits at once; False leaves it to ``intake``.

        Raises ``Malformed`` or ``DocumentBroken``.
        """
        keystroke = read_keystroke(update)
        if keystroke is None or not keystroke.fits(self.clocks, self.pairs):
            return False
        client, clock, end, left, right, is_deletion = keystroke
        if self.nesting.deepest and not is_deletion:
            self.nesting.record_text(client, clock, left, right)
        self._apply(update)
        if not is_deletion:
            self.clocks[client] = end
        return True

    def apply(self, piece: Piece) -> None:
        """Integrate what the gate let through; raises ``Malformed`` or ``DocumentBroken``."""
        self._apply(piece.update)
        for client, end in piece.ends.items():
            if end > self.clocks.get(client, 0):
                self.clocks[client] = end

    def apply_deletes(self, update: Update) -> Update | None:
        """Integrate deletions and return those that were new, None when all were known."""
        new: list[Update] = []
        doc = self._live
        subscription = doc.observe(lambda event: new.append(_update_of(event)))
        try:
            self._apply(update)
        finally:
            doc.unobserve(subscription)
        return new[0] if new else None

    @property
    def _live(self) -> Doc[Text]:
        if self._doc is None:
            self._doc = Doc()
        return self._doc

    def _apply(self, update: bytes) -> None:
        integrate(self._live, update)


def _update_of(event: TransactionEvent) -> Update:
    return Update(event.update)


class Intake:
    """One update on its way into a document.

    ``steps`` does the work. A small update is done in one step; a large one pauses between slices
    of a few milliseconds, and other updates may be taken in the pauses.
    """

    __slots__ = ("_document", "_is_complete", "_update", "gaps", "rest")

    def __init__(self, document: Document, update: bytes, *, is_complete: bool) -> None:
        self._document = document
        self._update = update
        self._is_complete = is_complete
        self.rest: Update | None = None
        """Afterwards: what waits for something that the document does not know yet."""
        self.gaps: frozenset[tuple[int, int]] = frozenset()
        """Afterwards: what ``rest`` waits for, as (client, clock known so far)."""

    def steps(self) -> Iterator[Update | None]:
        """Take the update: yield every accepted part once it is integrated, None for a pause.

        The parts hold all that was new, in an order in which any peer can integrate them. Raises
        ``Malformed`` or ``TooLarge``, and ``DocumentBroken`` when the document must be loaded anew.
        """
        document = self._document
        inspection = Inspection(self._update, document.clocks, document.pairs)
        yield from inspection.steps()
        repeats_deletes = self._is_complete and bool(inspection.deletes)
        if inspection.fits and not repeats_deletes and len(self._update) <= PIECE_LIMIT_BYTES:
            if inspection.ends or inspection.deletes:
                yield self._take_whole(inspection)
            return
        cut = Cut(inspection, document.clocks, document.nesting, document.pairs)
        for piece in cut.pieces():
            yield None if piece is None else self._take(piece)
        self.rest, self.gaps = cut.rest, cut.gaps

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

    def _take_whole(self, inspection: Inspection) -> Update:
        document = self._document
        if inspection.nests or inspection.has_pairs or document.nesting.deepest:
            inspection.record(document.nesting)
        document.apply(Piece(inspection.update, inspection.ends))
        return inspection.update

    def _take(self, piece: Piece) -> Update | None:
        if not piece.ends:
            return self._document.apply_deletes(piece.update)
        self._document.apply(piece)
        return piece.update


def take_all(
    document: Document, updates: Iterable[Update], accept: Callable[[Update], None] = lambda part: None
) -> list[Update]:
    """Take updates in any order as far as possible, telling ``accept`` every part that was new.

    Returns what still waits for something unknown; raises as ``Intake.steps``.
    """
    waiting = list(updates)
    progress = True
    while waiting and progress:
        progress = False
        rests = []
        for update in waiting:
            intake = document.intake(update)
            for part in intake.run():
                accept(part)
                progress = True
            if intake.rest is not None:
                rests.append(intake.rest)
        waiting = rests
    return waiting
