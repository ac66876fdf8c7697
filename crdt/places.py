"""Where every struct of a document stands: how deep, and whether under a key of a map; and which are types.

yrs deletes recursively and overflows its stack at about 45,000 levels, which many small updates can
build up, so depth is bounded as structs are accepted (references/protocol.md, U8). It reads freed memory
once several values in one struct under a key were split (U17), and fails at a parent that is no shared
type (U18). A struct stands where its parent or one of its origins stands.
"""

from bisect import bisect_right
from collections.abc import Iterator

from crdt.content import DELETED, GC, TYPE
from crdt.errors import NotTaken
from crdt.update import SLICE, StructReader, read_clients_count

__all__ = ["MAX_DEPTH", "Places"]

MAX_DEPTH = 1_000

_IS_TYPE, _KEYED, _LEVEL = 1, 2, 4
"""A place is a number: the depth times four, and two flags."""


class Places:
    """The place of every accepted struct, kept as runs: text typed in one place is one run.

    ``base`` is the depth of everything that is not recorded: that of the deepest struct in the
    snapshot a document was loaded from, which is never less than the truth. All else that such a
    document has to know of the snapshot is learnt when it is first needed, and nothing is recorded before.
    """

    __slots__ = ("_base", "_runs", "deepest", "is_learnt", "is_plain")

    def __init__(self, base: int = 0, *, is_learnt: bool = True) -> None:
        self._base = base * _LEVEL
        self._runs: dict[int, tuple[list[int], list[int]]] = {}
        self.deepest = base
        self.is_learnt = is_learnt
        self.is_plain = is_learnt and not base
        """Whether it is known that nothing stands anywhere but in a root, and that nothing is a type."""

    def learning(self, written: bytes) -> Iterator[None]:
        """Note what yrs has written, which flags every struct under a key; pause now and then."""
        reader = StructReader(written)
        for _ in range(read_clients_count(reader, 3)):
            count, client = reader.read_section_header()
            for index in range(1, count + 1):
                clock = reader.clock
                reader.read_struct(client)
                is_type = _IS_TYPE if reader.kind == TYPE else 0
                self._put(client, clock, self._base | is_type | (_KEYED if reader.has_key else 0))
                if index % SLICE == 0:
                    yield

    def become(self, learnt: "Places") -> None:
        """Take over what was learnt, unless that has happened already: ``self`` knows more since."""
        if not self.is_learnt:
            self._runs = learnt._runs
            self.is_learnt, self.is_plain = True, not learnt._runs and not self._base

    def record(self, client: int, clock: int, known: int, reader: StructReader) -> int:
        """Note the struct that ``reader`` has just read at (``client``, ``clock``).

        Return the kind as which it is to enter: its own, DELETED (U17) or GC (U18). ``known`` is the client's
        clock in the document: what was known before stays where it was, whatever a repetition says. Clocks of
        one client ascend, or start again where a refused update left off. Raises ``NotTaken`` above
        ``MAX_DEPTH``.
        """
        if reader.clock <= known or not self.is_learnt or self.is_plain and not reader.has_place:
            return reader.kind
        place = self._place_of(reader)
        if place is None:
            self._put(client, max(clock, known), self._base)
            return GC
        if clock < known:
            place = _beside(place, self._at(client, known - 1))
        depth = place // _LEVEL
        if depth > MAX_DEPTH:
            raise NotTaken("shared types nest too deeply")
        self.deepest = max(self.deepest, depth)
        self._put(client, max(clock, known), place | _IS_TYPE if reader.kind == TYPE else place)
        return DELETED if place & _KEYED and reader.length > 1 and reader.kind != GC else reader.kind

    def record_text(
        self, client: int, clock: int, end: int, left: tuple[int, int] | None, right: tuple[int, int] | None
    ) -> bool:
        """Note text at (``client``, ``clock``) beside what is known; False if it may be under a key."""
        if not self.is_learnt:
            return end - clock == 1
        place = self._beside(left, right)
        if place & _KEYED:
            return False
        self._put(client, clock, place)
        return True

    def _put(self, client: int, clock: int, place: int) -> None:
        clocks, places = self._runs.setdefault(client, ([], []))
        while clocks and clocks[-1] >= clock:
            clocks.pop()
            places.pop()
        if place != (places[-1] if places else self._base):
            self.is_plain = False
            clocks.append(clock)
            places.append(place)

    def _place_of(self, reader: StructReader) -> int | None:
        """Return the place that a struct names, None where its parent is no shared type."""
        if reader.left is not None or reader.right is not None:
            return self._beside(reader.left, reader.right)
        place = _KEYED if reader.has_key else 0
        if reader.parent is None:
            return place
        parent = self._at(*reader.parent)
        return parent // _LEVEL * _LEVEL + _LEVEL + place if parent & _IS_TYPE else None

    def _beside(self, left: tuple[int, int] | None, right: tuple[int, int] | None) -> int:
        # yrs passes over a left origin that was collected: the deeper one is never less than the truth.
        if right is None:
            return 0 if left is None else self._at(*left) & ~_IS_TYPE
        return self._at(*right) & ~_IS_TYPE if left is None else _beside(self._at(*left), self._at(*right))

    def _at(self, client: int, clock: int) -> int:
        runs = self._runs.get(client)
        if runs is None:
            return self._base
        index = bisect_right(runs[0], clock)
        return runs[1][index - 1] if index else self._base


def _beside(one: int, other: int) -> int:
    """Return the deeper place of two, under a key if one of them is."""
    return max(one, other) // _LEVEL * _LEVEL | (one | other) & _KEYED
