"""Cuts an update at struct boundaries: what can be integrated now, in pieces, and what has to wait.

A sync step 2 may carry good structs and, behind a gap, others; and a large update is better taken in
pieces, between which the event loop runs (references/protocol.md, G3, G4).
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from crdt.content import DELETED
from crdt.errors import TooLarge
from crdt.gate import Inspection
from crdt.places import Places
from crdt.rewriting import Removed, as_kind
from crdt.surrogates import SurrogatePairs
from crdt.update import SKIP, SLICE, DeleteRange, Run, StructReader, Update, encode_update

__all__ = ["PIECE_LIMIT_BYTES", "Cut", "Piece"]

PIECE_LIMIT_BYTES = 65_536
"""Larger updates are inspected in slices and taken in pieces of about this size (a struct is whole)."""

HELD_RANGES_LIMIT = 2**18
"""Deletions in one update of what is not known: each takes 350 bytes, and no client means so many."""

RANGES_A_PIECE = 2_048
"""Deleted ranges in one piece: in a document of 800,000 structs yrs takes 0.1 s for them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an update that can be integrated now."""

    update: Update
    ends: Mapping[int, int]
    """For each client the clock up to which it is known once the piece is integrated."""


@dataclass(slots=True, eq=False)
class _Section:
    """Where the cutting stands in one section."""

    client: int
    reader: StructReader
    left: int
    """Structs not passed yet."""
    stop: int
    """Offset behind the last struct."""


@dataclass(slots=True)
class _Span:
    """Accepted neighbours of one client, not handed out yet."""

    clock: int
    count: int
    start: int
    stop: int
    end: int
    written: bytes = b""
    """What is before ``start``, where a struct enters otherwise than it came."""


@dataclass(slots=True)
class Cut:
    """Cuts an inspected update at struct boundaries: what can be integrated, in pieces, and the rest.

    Every piece must be integrated, and ``clocks`` moved, before the next one is asked for. Structs
    that are known already are left out; deletions come last, in pieces of their own.
    """

    inspection: Inspection
    clocks: Mapping[int, int]
    places: Places
    pairs: SurrogatePairs
    rest: Update | None = None
    """After the last piece: what waits for something unknown."""
    gaps: frozenset[tuple[int, int]] = frozenset()
    """After the last piece: what the rest waits for, as (client, clock known so far)."""
    removed: list[Removed] = field(default_factory=list)
    """What was taken as deleted, because of its place."""
    _spans: dict[int, _Span] = field(default_factory=dict)
    _waiting: dict[int, list[tuple[int, int, _Section]]] = field(default_factory=dict)
    """For each client a heap of sections, by the clock that it must reach before they go on."""
    _size_bytes: int = 0
    _split: list[DeleteRange] = field(default_factory=list)
    """Pairs that the next struct would split."""
    _deleted: list[DeleteRange] = field(default_factory=list)
    """What the next piece brings as deleted."""

    def pieces(self) -> Iterator[Piece | None]:
        """Yield what can be integrated, in order; None is a place to pause. Raises ``TooLarge``."""
        queue: deque[_Section] = deque()
        for section in self._sections():
            queue.append(section)
            if len(queue) % SLICE == 0:
                yield None
        passed = 0
        while queue:
            section = queue.popleft()
            while section.left and (need := self._pass(section)) is None:
                if self._split:
                    yield self._hand_out()
                    yield self._delete_split()
                queue.extend(self._woken(section.client))
                passed += 1
                if self._size_bytes >= PIECE_LIMIT_BYTES or passed % SLICE == 0:
                    yield self._hand_out()
            if section.left:
                assert need is not None
                heappush(self._waiting.setdefault(need[0], []), (need[1], section.client, section))
            if not queue:
                yield self._hand_out()
                queue.extend(woken for client in self._waiting for woken in self._woken(client))
        yield from self._delete_pieces()

    def _sections(self) -> Iterator[_Section]:
        for client, clock, count, start, stop in self.inspection.sections:
            reader = StructReader(self.inspection.update, start)
            reader.clock = clock
            yield _Section(client, reader, count, stop)

    def _pass(self, section: _Section) -> tuple[int, int] | None:
        """Move over the next struct, or return the (client, clock) that must be known first."""
        reader, client = section.reader, section.client
        start, clock = reader.position, reader.clock
        reader.read_struct(client)
        known = self._known(client)
        if reader.kind != SKIP and reader.clock > known:
            need = (client, clock) if clock > known else self._missing(reader)
            self._split = [] if need else self.pairs.split_by(reader)
            if need is not None or self._split:
                reader.position, reader.clock = start, clock
                return need
            self._take(client, clock, start, reader)
        section.left -= 1
        return None

    def _missing(self, reader: StructReader) -> tuple[int, int] | None:
        for reference in (reader.left, reader.right, reader.parent):
            if reference is not None and reference[1] >= self._known(reference[0]):
                return reference[0], reference[1] + 1
        return None

    def _known(self, client: int) -> int:
        span = self._spans.get(client)
        known = self.clocks.get(client, 0)
        return known if span is None else max(known, span.end)

    def _take(self, client: int, clock: int, start: int, reader: StructReader) -> None:
        known = self._known(client)
        kind = self.places.record(client, clock, known, reader)
        self._size_bytes += reader.position - start
        span = self._spans.get(client)
        if span is None:
            span = self._spans[client] = _Span(clock, 0, start, start, clock)
        assert span.stop == start, "a client's structs in one piece are neighbours"
        span.count += 1
        span.stop, span.end = reader.position, reader.clock
        if kind == reader.kind:
            self.pairs.record(client, clock, reader)
            return
        span.written += reader.data[span.start : start] + as_kind(kind, start, reader)
        span.start = span.stop
        if kind == DELETED:
            deleted = DeleteRange(client, max(clock, known), reader.clock)
            self._deleted.append(deleted)
            self.removed.append(Removed(deleted, reader.kind, reader.position - reader.content_at))

    def _woken(self, client: int) -> Iterator[_Section]:
        waiting = self._waiting.get(client)
        known = self._known(client)
        while waiting and waiting[0][0] <= known:
            yield heappop(waiting)[2]

    def _hand_out(self) -> Piece | None:
        if not self._spans:
            return None
        update = self.inspection.update
        runs = [
            Run(client, span.clock, span.count, span.written + update[span.start : span.stop])
            for client, span in self._spans.items()
        ]
        ends = {client: span.end for client, span in self._spans.items()}
        piece = Piece(encode_update(runs, self._deleted), ends)
        self._spans, self._deleted = {}, []
        self._size_bytes = 0
        return piece

    def _delete_split(self) -> Piece:
        for pair in self._split:
            self.pairs.forget(pair)
        return Piece(encode_update((), self._split), {})

    def _delete_pieces(self) -> Iterator[Piece | None]:
        ready: list[DeleteRange] = []
        held: list[DeleteRange] = []
        for index, (client, clock, end) in enumerate(self.inspection.deletes, 1):
            if index % SLICE == 0:
                yield None
            known = self.clocks.get(client, 0)
            if clock < known:
                ready.append(self.pairs.widen(DeleteRange(client, clock, min(end, known))))
            if end > known:
                held.append(DeleteRange(client, max(clock, known), end))
                if len(held) > HELD_RANGES_LIMIT:
                    raise TooLarge("too many deletions of what is not known")
            if len(ready) == RANGES_A_PIECE:
                yield Piece(encode_update((), ready), {})
                ready = []
        if ready:
            yield Piece(encode_update((), ready), {})
        self._keep_rest(held)

    def _keep_rest(self, held: list[DeleteRange]) -> None:
        runs = []
        gaps = {(deleted.client, self.clocks.get(deleted.client, 0)) for deleted in held}
        for client, waiting in self._waiting.items():
            for _, _, section in waiting:
                reader = section.reader
                content = reader.data[reader.position : section.stop]
                runs.append(Run(section.client, reader.clock, section.left, content))
            if waiting:
                gaps.add((client, self.clocks.get(client, 0)))
        if runs or held:
            self.rest = encode_update(runs, held)
            self.gaps = frozenset(gaps)
