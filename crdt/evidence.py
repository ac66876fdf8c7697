"""Whether a snapshot says what its log says: all that came in is there as it came in, and nothing else is.

The proof comes from the inputs, read by nobody but us, and not from who made the snapshot: so an engine that
loses, invents or misreads something is found out (references/protocol.md, D6). What becomes of it all, the
order of a text for instance, follows from what is compared here, and is the engine's.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from crdt.encoding import Decoder
from crdt.errors import CowriteError
from crdt.meaning import Run, RunReader, joined_ranges
from crdt.update import SKIP, read_delete_ranges, read_delete_set

__all__ = ["Evidence", "FoldRefused"]


class FoldRefused(CowriteError):
    """The snapshot would not hold everything that went into it; the log has to stay as it is."""


@dataclass(slots=True)
class _Section:
    """The structs of one client in the snapshot, and which of its clocks are accounted for."""

    clocks: "array[int]" = field(default_factory=lambda: array("Q"))
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    end: int = 0
    latest: Run | None = None
    """The struct looked at latest: a log asks for one after the other."""
    accounted: list[tuple[int, int]] = field(default_factory=list)

    def account(self, clock: int, end: int) -> None:
        """Note that an input says the same of these clocks."""
        if self.accounted and self.accounted[-1][1] == clock:
            self.accounted[-1] = (self.accounted[-1][0], end)
        else:
            self.accounted.append((clock, end))


class Evidence:
    """Hears all that went into a ``snapshot``, in any order, and then tells whether that is what it says.

    ``marks`` are its deletions and its state vector as a fresh Doc has read them. Holds no struct but one of
    each client, and of the others where they are.
    """

    __slots__ = ("_clocks", "_deleted", "_reader", "_sections", "_snapshot", "_wanted")

    def __init__(self, snapshot: bytes, marks: bytes) -> None:
        self._snapshot = snapshot
        self._deleted: dict[int, list[tuple[int, int]]] = {}
        decoder = Decoder(marks)
        for client, clock, end in read_delete_ranges(decoder):
            self._deleted.setdefault(client, []).append((clock, end))
        self._clocks = {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_count(2))}
        self._sections: dict[int, _Section] = {}
        self._wanted: dict[int, list[tuple[int, int]]] = {}
        """What the inputs delete."""
        self._reader = RunReader(snapshot)
        self._index()

    def _index(self) -> None:
        reader = self._reader
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            if reader.clock:
                raise FoldRefused("the snapshot is not complete in itself")
            section = self._sections[client] = _Section()
            for _ in range(count):
                section.clocks.append(reader.clock)
                section.offsets.append(reader.position)
                reader.read_struct(client)
            section.end = reader.clock

    def hear(self, update: bytes) -> None:
        """Take one input; raises ``FoldRefused`` where the snapshot lacks a struct of it, or ``Malformed``."""
        reader = RunReader(update)
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            section = self._sections.get(client)
            for _ in range(count):
                run = reader.read_run(client)
                if run.kind == SKIP:
                    continue
                if section is None or run.end > min(section.end, self._clocks.get(client, 0)):
                    raise FoldRefused("structs are missing from the snapshot")
                if not run.is_empty:
                    self._compare(section, run)
        for client, clock, end in read_delete_set(reader):
            self._wanted.setdefault(client, []).append((clock, end))

    def _compare(self, section: _Section, run: Run) -> None:
        clock = run.clock
        while clock < run.end:
            held = section.latest
            if held is None or not held.clock <= clock < held.end:
                held = section.latest = self._read(section, run.client, clock)
            end = min(run.end, held.end)
            if _agree(held, run, clock, end):
                section.account(clock, end)
            clock = end

    def _read(self, section: _Section, client: int, clock: int) -> Run:
        index = bisect_right(section.clocks, clock) - 1
        self._reader.position, self._reader.clock = section.offsets[index], section.clocks[index]
        return self._reader.read_run(client)

    def check(self) -> None:
        """Raise ``FoldRefused`` unless everything that was heard is there, and nothing else."""
        for client, ranges in self._wanted.items():
            if not _covers(self._deleted.get(client, []), ranges):
                raise FoldRefused("a deletion is missing from the snapshot")
        for client, end in self._clocks.items():
            section = self._sections.get(client, _Section())
            if not _covers([*section.accounted, *self._deleted.get(client, [])], [(0, end)]):
                raise FoldRefused("the snapshot says what the log does not say")


def _agree(held: Run, run: Run, clock: int, end: int) -> bool:
    """Whether both say the same of the clocks from ``clock`` to ``end``, which both have."""
    return (
        held.kind == run.kind
        and held.right == run.right
        and _place(held, clock) == _place(run, clock)
        and held.content[clock - held.clock : end - held.clock]
        == run.content[clock - run.clock : end - run.clock]
    )


def _place(run: Run, clock: int) -> tuple[object, ...]:
    """Inside a struct everything stands behind what is before it."""
    if clock == run.clock:
        return run.left, run.parent, run.key
    return (run.client, clock - 1), None, None


def _covers(ranges: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> bool:
    """Whether ``ranges`` hold all of ``wanted``."""
    held = joined_ranges(ranges)
    for clock, end in wanted:
        index = bisect_right(held, (clock, 2**53)) - 1
        if index < 0 or held[index][1] < end:
            return False
    return True
