"""Whether some updates say all that a document holds: asked where the same thing would be told twice."""

from collections.abc import Iterable, Iterator

from crdt.document import Document, DocumentBroken
from crdt.encoding import Decoder
from crdt.errors import ProtocolError
from crdt.update import DeleteRange, Update, read_delete_ranges
from crdt.waiting import Waiting

__all__ = ["Coverage"]


class Coverage:
    """Takes ``updates`` into a document of their own, and compares it with ``document`` as it was first."""

    __slots__ = ("_made", "_updates", "_waiting", "_wanted", "is_whole")

    def __init__(self, updates: Iterable[bytes], document: Document) -> None:
        self._wanted = document.marks()
        self._updates = updates
        self._made = Document()
        self._waiting = Waiting()
        self.is_whole = False
        """Afterwards: whether the updates, with nothing before them, make all of the document and no more.

        A False may be wrong, where yrs failed at one of them; a True is certain."""

    def steps(self) -> Iterator[None]:
        """Take the updates, pausing now and then; one that no document would take is passed over."""
        try:
            for update in self._updates:
                yield from self._take(update)
                while (ready := self._waiting.pop_ready(self._made.clocks)) is not None:
                    yield from self._take(ready)
            self.is_whole = _read(self._made.marks()) == _read(self._wanted)
        except DocumentBroken:
            return

    def _take(self, update: bytes) -> Iterator[None]:
        intake = self._made.intake(update)
        try:
            for _ in intake.steps():
                yield
        except ProtocolError:
            return
        if intake.rest is not None:
            self._waiting.add(Update(intake.rest), intake.gaps)


def _read(marks: bytes) -> tuple[set[DeleteRange], dict[int, int]]:
    decoder = Decoder(marks)
    deletions = set(read_delete_ranges(decoder))
    return deletions, {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_count(2))}
