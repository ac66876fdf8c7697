"""A store that forgets everything when the process ends: for tests and ``--store memory``."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from server.storage import Backlog, Entry, Snapshot, StoreClosed, Stored

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Document:
    snapshot: Snapshot | None = None
    generation: int = 0
    last_position: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)

    def in_order(self) -> list[Entry]:
        return [self.entries[position] for position in sorted(self.entries)]


class MemoryStore:
    """A ``Store`` in a dictionary; every call is over when it returns to the event loop."""

    def __init__(self) -> None:
        self._documents: dict[str, _Document] = {}
        self._is_closed = False

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Keep all entries; see ``Store.append``."""
        self._check_open()
        return [entry for entry in entries if self._keep(entry) != entry]

    def _keep(self, entry: Entry) -> Entry:
        """Return what is at the entry's position then."""
        document = self._documents.setdefault(entry.document, _Document())
        document.last_position = max(document.last_position, entry.position)
        return document.entries.setdefault(entry.position, entry)

    async def load(self, document: str) -> Stored:
        """Read one document; see ``Store.load``."""
        self._check_open()
        held = self._documents.get(document, _Document())
        return Stored(held.snapshot, held.generation, held.in_order(), held.last_position)

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Put ``snapshot`` in the place of what was folded; see ``Store.replace``."""
        self._check_open()
        held = self._documents.get(document, _Document())
        if held.generation != generation:
            return False
        assert held.snapshot is None or held.snapshot.position <= snapshot.position, "a snapshot goes back"
        held.snapshot = snapshot
        held.generation += 1
        held.last_position = max(held.last_position, snapshot.position)
        for position in folded:
            held.entries.pop(position, None)
        self._documents[document] = held
        return True

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries; see ``Store.backlog``."""
        self._check_open()
        waiting = [
            Backlog(name, len(held.entries), sum(len(entry.update) for entry in held.entries.values()))
            for name, held in self._documents.items()
            if held.entries
        ]
        return sorted(waiting, key=lambda document: document.size_bytes, reverse=True)

    async def reclaim(self) -> None:
        """Do nothing: deleted entries are gone already."""
        self._check_open()

    async def close(self) -> None:
        """Forget everything; idempotent."""
        self._is_closed = True
        self._documents.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreClosed("the store is closed")
