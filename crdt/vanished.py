"""What a document deletes by itself, told by nobody: whatever came into something that was deleted, and the
entry of a map that another one, written at the same time, replaced. What vanishes else, an engine has lost.
"""

from collections.abc import Mapping, Sequence

from crdt.content import GC, SKIP
from crdt.meaning import Statement
from crdt.ranges import extend, is_within, joined, touches
from crdt.runs import Place, RunReader

__all__ = ["Vanished"]

Ranges = Mapping[int, Sequence[tuple[int, int]]]


class Vanished:
    """Hears once more all that went into a snapshot, for where that stood which has ``vanished`` from it.

    ``deleted`` is all that the snapshot deletes. Where something stood is followed from origin to origin.
    """

    __slots__ = (
        "_containers",
        "_deleted",
        "_entries",
        "_explained",
        "_followed",
        "_replaced",
        "_statement",
        "_vanished",
    )

    def __init__(self, statement: Statement, deleted: Ranges, vanished: Ranges) -> None:
        self._statement = statement
        self._deleted = deleted
        self._vanished = vanished
        self._explained: dict[int, list[tuple[int, int]]] = {}
        self._entries: dict[Place, set[tuple[int, int]]] = {}
        """The first entries of maps, by their places."""
        self._replaced: list[tuple[int, int, Place]] = []
        """First entries that have vanished: it takes another one to replace them."""
        self._followed: set[tuple[int, int]] = set()
        """Vanished clocks behind which something was written."""
        self._containers: dict[tuple[int, int], Place | None] = {}
        """What structs of the snapshot stand in, as far as that was asked."""

    def hear(self, update: bytes) -> None:
        """Take one input; raises ``Malformed``."""
        reader = RunReader(update)
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            for _ in range(count):
                clock = reader.clock
                reader.read_struct(client)
                if reader.kind not in (GC, SKIP):
                    self._hear(client, clock, reader)

    def _hear(self, client: int, clock: int, reader: RunReader) -> None:
        place = reader.place()
        if place.key is not None:
            self._entries.setdefault(place, set()).add((client, clock))
        if place.left is not None and self._has_vanished(*place.left):
            self._followed.add(place.left)
        if not touches(clock, reader.clock, self._vanished.get(client, ())):
            return
        container = self._container(place)
        if container is None or self._is_deleted(container.parent):
            extend(self._explained.setdefault(client, []), [(clock, reader.clock)])
        elif container.key is not None and not self._is_collected(client, clock):
            if place == container:
                self._replaced.append((client, clock, place))
            else:
                extend(self._explained.setdefault(client, []), [(clock, reader.clock)])

    def are_explained(self) -> bool:
        """Whether all of it is something that a document deletes by itself."""
        for client, clock, place in self._replaced:
            if len(self._entries[place]) > 1 or (client, clock) in self._followed:
                extend(self._explained.setdefault(client, []), [(clock, clock + 1)])
        explained = {client: joined(ranges) for client, ranges in self._explained.items()}
        return all(
            is_within(clock, end, explained.get(client, ()))
            for client, ranges in self._vanished.items()
            for clock, end in ranges
        )

    def _container(self, place: Place) -> Place | None:
        """Follow the origins to the struct that names its parent; None where one was collected on the way.

        Only what stood in something deleted is collected, and all of it.
        """
        passed = []
        container: Place | None = place
        while container is not None and (beside := container.left or container.right) is not None:
            if beside in self._containers:
                container = self._containers[beside]
                break
            passed.append(beside)
            struct = self._statement.struct_at(*beside)
            container = None if struct is None or struct.kind == GC else struct.place
        self._containers |= dict.fromkeys(passed, container)
        return container

    def _has_vanished(self, client: int, clock: int) -> bool:
        return is_within(clock, clock + 1, self._vanished.get(client, ()))

    def _is_collected(self, client: int, clock: int) -> bool:
        struct = self._statement.struct_at(client, clock)
        return struct is not None and struct.kind == GC

    def _is_deleted(self, parent: tuple[int, int] | str | None) -> bool:
        if not isinstance(parent, tuple):
            return False
        return is_within(parent[1], parent[1] + 1, self._deleted.get(parent[0], ()))
