"""Whether a snapshot says what its log says: all that came in is there as it came in, and nothing else is.

The proof comes from the inputs, read by nobody but us, and not from who made the snapshot: so an engine that
loses, invents or misreads something is found out (references/protocol.md, D6). What becomes of it all, the
order of a text for instance, follows from what is compared here, and is the engine's.
"""

from collections import defaultdict

from crdt.content import SKIP
from crdt.encoding import Decoder
from crdt.errors import CowriteError
from crdt.meaning import Statement
from crdt.ranges import by_client, common, extend, gaps, is_within, joined
from crdt.runs import RunReader
from crdt.state_vector import decode_state_vector
from crdt.update import read_delete_ranges, read_delete_set
from crdt.vanished import Vanished

__all__ = ["Evidence", "FoldRefused"]


class FoldRefused(CowriteError):
    """The snapshot would not hold everything that went into it; the log has to stay as it is."""


class Evidence:
    """Hears all that went into a snapshot, in any order, and then tells whether that is what it says.

    ``marks`` are its deletions and its state vector as a fresh Doc has read them.
    """

    __slots__ = ("_agreed", "_clocks", "_deleted", "_statement", "_told")

    def __init__(self, statement: Statement, marks: bytes) -> None:
        self._statement = statement
        decoder = Decoder(marks)
        self._deleted = by_client(read_delete_ranges(decoder))
        self._clocks = decode_state_vector(marks[decoder.position :])
        self._agreed: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """The clocks of which an input says the same as the snapshot."""
        self._told: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """The clocks that an input deletes, or has nothing left of."""

    def hear(self, update: bytes) -> None:
        """Take one input; raises ``FoldRefused`` where the snapshot lacks any of it, or ``Malformed``."""
        reader = RunReader(update)
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            known = min(self._clocks.get(client, 0), self._statement.ends.get(client, 0))
            for _ in range(count):
                clock = reader.clock
                agreed = self._statement.agreement(client, reader)
                if reader.kind == SKIP:
                    continue
                if reader.clock > known:
                    raise FoldRefused("structs are missing from the snapshot")
                if reader.is_empty:
                    extend(self._told[client], [(clock, reader.clock)])
                else:
                    extend(self._agreed[client], agreed)
        for client, clock, end in read_delete_set(reader):
            if not is_within(clock, end, self._deleted.get(client, ())):
                raise FoldRefused("a deletion is missing from the snapshot")
            extend(self._told[client], [(clock, end)])

    def vanished(self) -> Vanished | None:
        """Return what the snapshot deletes though no input does, None for nothing.

        Raises ``FoldRefused`` where it says what no input says.
        """
        vanished = {}
        for client, end in self._clocks.items():
            deleted = self._deleted.get(client, [])
            if gaps(joined([*self._agreed[client], *deleted]), end):
                raise FoldRefused("the snapshot says what the log does not say")
            if untold := common(deleted, gaps(joined(self._told[client]), end)):
                vanished[client] = untold
        return Vanished(self._statement, self._deleted, vanished) if vanished else None
