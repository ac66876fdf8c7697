"""Whether a snapshot says what its log says: all that came in is there as it came in, and nothing else is.

The proof comes from the inputs, read by nobody but us, and not from who made the snapshot: so an engine that
loses, invents or misreads something is found out (references/protocol.md, D6). What becomes of it all, the
order of a text for instance, follows from what is compared here, and is the engine's.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter

from crdt.encoding import Decoder
from crdt.errors import CowriteError
from crdt.meaning import Statement, by_client, joined
from crdt.runs import RunReader
from crdt.state_vector import decode_state_vector
from crdt.update import SKIP, read_delete_ranges, read_delete_set

__all__ = ["Evidence", "FoldRefused"]


class FoldRefused(CowriteError):
    """The snapshot would not hold everything that went into it; the log has to stay as it is."""


class Evidence:
    """Hears all that went into a snapshot, in any order, and then tells whether that is what it says.

    ``marks`` are its deletions and its state vector as a fresh Doc has read them.
    """

    __slots__ = ("_accounted", "_clocks", "_deleted", "_statement")

    def __init__(self, statement: Statement, marks: bytes) -> None:
        self._statement = statement
        decoder = Decoder(marks)
        self._deleted = by_client(read_delete_ranges(decoder))
        self._clocks = decode_state_vector(marks[decoder.position :])
        self._accounted: dict[int, list[tuple[int, int]]] = {}
        """The clocks of which an input says the same as the snapshot."""

    def hear(self, update: bytes) -> None:
        """Take one input; raises ``FoldRefused`` where the snapshot lacks any of it, or ``Malformed``."""
        reader = RunReader(update)
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            known = min(self._clocks.get(client, 0), self._statement.ends.get(client, 0))
            accounted = self._accounted.setdefault(client, [])
            for _ in range(count):
                agreed = self._statement.agreement(client, reader)
                if reader.kind != SKIP and reader.clock > known:
                    raise FoldRefused("structs are missing from the snapshot")
                if not reader.is_empty:
                    _extend(accounted, agreed)
        for client, clock, end in read_delete_set(reader):
            if not _is_within(clock, end, self._deleted.get(client, [])):
                raise FoldRefused("a deletion is missing from the snapshot")

    def check(self) -> None:
        """Raise ``FoldRefused`` where the snapshot says what no input says."""
        for client, end in self._clocks.items():
            known = joined(chain(self._accounted.get(client, []), self._deleted.get(client, [])))
            if not _is_within(0, end, known):
                raise FoldRefused("the snapshot says what the log does not say")


def _extend(ranges: list[tuple[int, int]], more: Iterable[tuple[int, int]]) -> None:
    """Add ``more``, which mostly goes on where the last range ended."""
    for clock, end in more:
        if ranges and ranges[-1][1] == clock:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((clock, end))


def _is_within(clock: int, end: int, ranges: list[tuple[int, int]]) -> bool:
    """Whether one of ``ranges``, which are joined, holds all of it."""
    index = bisect_right(ranges, clock, key=itemgetter(0)) - 1
    return index >= 0 and end <= ranges[index][1]
