"""What an update brings and what it needs, in numbers: what the tests of the core compare."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from crdt.errors import Malformed
from crdt.update import SKIP, DeleteRange, StructReader, read_delete_set

__all__ = ["Summary", "summarise"]


@dataclass(slots=True)
class Summary:
    """What an update brings and what it needs to be integrated."""

    brings: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """For each client the clock ranges of its structs, as (first, end)."""
    needs: dict[int, int] = field(default_factory=dict)
    """For each client the clock up to which it must be known first, the update's own structs included."""
    deletes: list[DeleteRange] = field(default_factory=list)

    def need(self, client: int, clock: int) -> None:
        """Add that ``client`` must be known up to ``clock``."""
        if clock > self.needs.get(client, 0):
            self.needs[client] = clock


def summarise(update: bytes) -> Summary:
    """Walk a whole update and say what it brings and needs; raises ``Malformed``."""
    summary = Summary()
    reader = StructReader(update)
    for _ in range(reader.read_count(3)):
        count, client = reader.read_section_header()
        if client in summary.brings:
            raise Malformed("client twice in an update")
        summary.need(client, reader.clock)
        summary.brings[client] = list(_ranges(reader, client, count, summary))
    for deleted in read_delete_set(reader):
        summary.deletes.append(deleted)
        summary.need(deleted.client, deleted.end)
    return summary


def _ranges(reader: StructReader, client: int, count: int, summary: Summary) -> Iterator[tuple[int, int]]:
    first = reader.clock
    for _ in range(count):
        start = reader.clock
        reader.read_struct(client)
        if reader.kind == SKIP:
            if start > first:
                yield first, start
            first = reader.clock
        for reference in (reader.left, reader.right, reader.parent):
            if reference is not None:
                summary.need(reference[0], reference[1] + 1)
    if reader.clock > first:
        yield first, reader.clock
