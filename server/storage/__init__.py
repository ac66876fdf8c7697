"""The seam between rooms and durable memory: what every store promises.

A document is a snapshot (one update that holds everything up to a position) and the entries after
it. Stores keep bytes and know nothing of what they mean; the contract suite in
``tests/contracts/test_store.py`` runs over every implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crdt.errors import CowriteError

__all__ = [
    "Backlog",
    "DocumentUnreadable",
    "Entry",
    "Snapshot",
    "Store",
    "StoreClosed",
    "StoreUnavailable",
    "Stored",
]


class StoreUnavailable(CowriteError):
    """The store cannot answer now (disk full, locked, gone); the same call may succeed later."""


class StoreClosed(CowriteError):
    """The store was closed before the call; nothing was done."""


class DocumentUnreadable(CowriteError):
    """What is stored cannot be turned into the document; an operator has to look."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted update of one document, at its place in the log."""

    document: str
    position: int
    """Starts at 1 and grows by one for each entry of the document."""
    update: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything up to and including ``position``, as one update."""

    update: bytes
    position: int
    depth: int
    """How deeply shared types nest in it (crdt/update.py)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a store holds of one document."""

    snapshot: Snapshot | None
    generation: int
    """Grows with every replaced snapshot, from 0: the compare-and-set token of ``replace``."""
    entries: Sequence[Entry]
    """The entries after the snapshot's position, in order of position."""
    last_position: int
    """The highest position ever given out (0: none), quarantined rows included."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A document whose entries wait to be folded into a snapshot."""

    document: str
    rows: int
    size_bytes: int


class Store(Protocol):
    """Durable memory for documents.

    Every method may be called from the event loop at any time and in any overlap. Calls of
    ``append`` take effect in the order in which they were made. Raises ``StoreUnavailable``
    wherever the world, not the data, is at fault, and ``StoreClosed`` after ``close``.

    A call that is cancelled may or may not still take effect, as a whole; an ``append`` always does,
    in its turn. Calls wait in no bounded queue here: each caller waits for its own call, and bounds
    what it has not yet stored.
    """

    async def append(self, entries: Sequence[Entry]) -> None:
        """Make all entries durable, in one transaction; return only when they are.

        Idempotent by (document, position): the first one written stays, and an entry that a snapshot
        already holds is never seen again. After an error, all or none of them are stored: call again
        with the same entries.
        """

    async def load(self, document: str) -> Stored:
        """Read one document; an unknown one is empty, with generation 0.

        An entry whose bytes do not match their checksum is moved to quarantine, logged as an
        error, and left out of the answer. Raises ``DocumentUnreadable`` when the snapshot itself
        is damaged; nothing is moved or deleted then.
        """

    async def replace(self, document: str, snapshot: Snapshot, *, generation: int) -> bool:
        """Store ``snapshot`` and delete the entries up to its position, in one transaction.

        Returns False, and changes nothing, unless the stored generation is still ``generation`` (0
        where there is no snapshot); on success it grows by one. Positions of snapshots never go back.
        """

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries after their snapshot, largest first."""

    async def reclaim(self) -> None:
        """Give the space of deleted entries back to the system."""

    async def close(self) -> None:
        """Finish the calls under way and release everything; idempotent.

        A ``backlog`` or ``reclaim`` under way may end with ``StoreClosed``.
        """
