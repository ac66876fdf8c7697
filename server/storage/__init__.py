"""The seam between rooms and durable memory: what every store promises.

A document is a snapshot (one update) and the entries that are not in it, or not known to be. Stores
keep bytes and know nothing of what they mean; the contract suite in ``tests/contracts/store`` runs over
every implementation.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from crdt.errors import CowriteError

__all__ = [
    "Backlog",
    "DocumentUnreadable",
    "Entry",
    "PartlyStored",
    "SchemaTooNew",
    "Snapshot",
    "Store",
    "StoreClosed",
    "StoreUnavailable",
    "Stored",
]


class StoreUnavailable(CowriteError):
    """The store cannot answer now (disk full, locked, gone); the same call may succeed later."""


class SchemaTooNew(CowriteError):
    """What is stored was written by a later version of this program."""


class StoreClosed(CowriteError):
    """The store was closed before the call; nothing was done."""


class DocumentUnreadable(CowriteError):
    """What is stored cannot be turned into the document; an operator has to look."""


class Entry(NamedTuple):
    """One accepted update of one document, at its place in the log.

    A tuple, for one is made of every flush: it takes a third of the time of a frozen dataclass.
    """

    document: str
    position: int
    """Grows with each entry of the document: by one from 1, or with a bus as its stream counts."""
    update: bytes


class PartlyStored(StoreUnavailable):
    """Some documents of an ``append`` could not be stored; the others are (B9).

    Repeating the whole call is harmless; repeating only what is not stored lets the others be acknowledged.
    """

    def __init__(self, unstored: Sequence[Entry], taken: Sequence[Entry], reason: str) -> None:
        super().__init__(f"{len(unstored)} entries are not stored: {reason}")
        self.unstored = unstored
        """The entries that are not stored, or may not be: of each document all or none."""
        self.taken = taken
        """Of the others those that ``append`` would have returned."""
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was folded, as one update."""

    update: bytes
    position: int
    """Whoever has the snapshot and all entries of the store lacks nothing that the log had up to here."""
    depth: int
    """How deeply shared types nest in it (crdt/update.py)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a store holds of one document."""

    snapshot: Snapshot | None
    generation: int
    """Grows with every replaced snapshot, from 0: the compare-and-set token of ``replace``."""
    entries: Sequence[Entry]
    """All entries that are there, in order of position. One that came late lies at or below the snapshot's
    position, and may be in the snapshot or not (D12)."""
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

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Make all entries durable, those of a document in one transaction; return only when they are.

        Idempotent by (document, position): the first one written stays. Returns those that are **not**
        stored, because another update has their position (D13). One that was folded meanwhile comes
        back, which is harmless: whether a snapshot holds it cannot be told from its position. After an
        error, of each document all or none are stored: call again with the same entries. Raises
        ``PartlyStored`` where it is known which documents are.
        """

    async def load(self, document: str) -> Stored:
        """Read one document; an unknown one is empty, with generation 0.

        An entry whose bytes do not match their checksum is moved to quarantine, logged as an
        error, and left out of the answer. Raises ``DocumentUnreadable`` when the snapshot itself
        is damaged; nothing is moved or deleted then.
        """

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Store ``snapshot`` and delete the entries at the positions ``folded``, in one transaction.

        Nothing else is deleted: an entry that ``load`` did not show is in no snapshot (D12). Returns False,
        and changes nothing, unless the stored generation is still ``generation`` (0 where there is no
        snapshot); on success it grows by one. Positions of snapshots never go back.
        """

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries, largest first.

        One that cannot be counted is left out and logged, and keeps nobody from the others.
        """

    async def reclaim(self) -> None:
        """Give the space of deleted entries back to the system."""

    async def close(self) -> None:
        """Finish the calls under way and release everything; idempotent.

        A ``backlog`` or ``reclaim`` under way may end with ``StoreClosed``.
        """
