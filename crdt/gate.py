"""The gap guard: lets into a document only what can be integrated at once.

yrs 0.28 never retries some of the structs that it keeps pending, and leaves all of them out of what
it encodes. So a struct enters only after everything it refers to: the clock before it, its origins,
its parent, and for a deletion the clocks it deletes (references/protocol.md, G1–G5).
"""

from collections.abc import Iterator, Mapping
from sys import maxsize

from crdt.content import ANY, JSON, STRING
from crdt.errors import Malformed
from crdt.places import Places
from crdt.reading import Reading
from crdt.surrogates import SurrogatePairs
from crdt.update import SKIP, SLICE, Deletes, StructReader, Update, read_clients_count

__all__ = ["Inspection"]


class Inspection:
    """One walk over a whole update: is it well-formed, and can all of it be integrated in its order?

    Nothing is recorded before ``steps`` has ended, so a malformed update leaves no trace.
    """

    __slots__ = (
        "_clocks",
        "_pairs",
        "deletes",
        "ends",
        "fits",
        "has_pairs",
        "has_places",
        "needs_places",
        "reader",
        "reading",
        "sections",
        "update",
    )

    def __init__(
        self,
        update: bytes,
        clocks: Mapping[int, int],
        pairs: SurrogatePairs,
        content_limit_bytes: int = maxsize,
    ) -> None:
        self.update = Update(update)
        self.reader = StructReader(update, 0, content_limit_bytes)
        self._clocks = clocks
        self._pairs = pairs
        self.ends: dict[int, int] = {}
        """What the update would make known, for each of its clients."""
        self.sections: list[tuple[int, int, int, int, int]] = []
        """For each section: client, first clock, number of structs, their first and last offset."""
        self.deletes: Deletes
        """Afterwards: what it deletes."""
        self.fits = True
        """Whether everything is new and can be integrated struct by struct, as it stands."""
        self.has_places = False
        """Whether any struct stands elsewhere than in the text of a root, or is a type."""
        self.needs_places = False
        """Whether anything new can only be taken when it is known where the rest stands (U17, U18)."""
        self.has_pairs = False
        """Whether any text holds a surrogate pair."""
        self.reading = Reading.ALIKE
        """How yrs reads the content that it reads worst."""

    def steps(self) -> Iterator[None]:
        """Walk the update, pausing now and then; raises ``Malformed``."""
        reader = self.reader
        previous = None
        for number in range(1, read_clients_count(reader, 3) + 1):
            count, client = reader.read_section_header()
            if client in self.ends:
                raise Malformed("client twice in an update")
            if previous is not None and client > previous:
                self.fits = False
            previous = client
            clock, start = reader.clock, reader.position
            known = self._clocks.get(client, 0)
            if clock > known:
                self.fits = False
            yield from self._walk_section(client, count)
            if reader.clock <= known:
                self.fits = False
            self.sections.append((client, clock, count, start, reader.position))
            if number % SLICE == 0:
                yield
        self.deletes = Deletes(self.update, reader.position)
        for index, deleted in enumerate(self.deletes, 1):
            self.deletes.count = index
            if not self._knows(deleted.client, deleted.end - 1):
                self.fits = False
            if self._pairs and self._pairs.widen(deleted) != deleted:
                self.fits = False
            if index % SLICE == 0:
                yield
        if self.has_pairs and (self.deletes or sum(count for _, _, count, _, _ in self.sections) > 1):
            # It may split its own pairs.
            self.fits = False

    def _walk_section(self, client: int, count: int) -> Iterator[None]:
        reader = self.reader
        ends = self.ends
        known = self._clocks.get(client, 0)
        for index in range(1, count + 1):
            reader.read_struct(client)
            if reader.kind == SKIP or self.fits and not self._is_ready(reader):
                self.fits = False
            if reader.has_place:
                self.has_places = True
            if (reader.parent is not None or reader.length > 1) and reader.clock > known:
                self.needs_places |= _needs_places(reader)
            if reader.pairs:
                self.has_pairs = True
            if reader.reading > self.reading:
                self.reading = reader.reading
            ends[client] = reader.clock
            if index % SLICE == 0:
                yield

    def _is_ready(self, reader: StructReader) -> bool:
        return (
            (reader.left is None or self._knows(*reader.left))
            and (reader.right is None or self._knows(*reader.right))
            and (reader.parent is None or self._knows(*reader.parent))
            and not (self._pairs and self._pairs.split_by(reader))
        )

    def _knows(self, client: int, clock: int) -> bool:
        return clock < self._clocks.get(client, 0) or clock < self.ends.get(client, 0)

    def record(self, places: Places) -> bool:
        """Note where the structs of a fitting update stand and its pairs; raises ``NotTaken``.

        Return whether all of them can enter as they are.
        """
        is_taken = True
        for client, clock, count, start, _ in self.sections:
            reader = StructReader(self.update, start)
            reader.clock = clock
            for _ in range(count):
                clock = reader.clock
                reader.read_struct(client)
                kind = places.record(client, clock, self._clocks.get(client, 0), reader)
                if kind != reader.kind:
                    is_taken = False
                else:
                    self._pairs.record(client, clock, reader)
        return is_taken


def _needs_places(reader: StructReader) -> bool:
    if reader.parent is not None:
        return True
    return reader.kind in (JSON, STRING, ANY) and (
        reader.has_key or reader.left is not None or reader.right is not None
    )
