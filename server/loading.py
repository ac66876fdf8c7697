"""Builds the live document from what the store holds, without stalling the loop.

A failed load is never an empty document: it raises, and whoever waits is told to come back
(references/protocol.md, D4).
"""

import asyncio
import logging
from dataclasses import dataclass

from crdt.compaction import REPLAY_WIDTH
from crdt.document import Document, DocumentBroken
from crdt.errors import ProtocolError
from crdt.merging import merge
from crdt.replay import take_all
from crdt.rewriting import rewritten
from crdt.update import Update
from server.slices import in_slices
from server.storage import DocumentUnreadable, Store, Stored

__all__ = ["Loaded", "Tail", "load"]

logger = logging.getLogger("cowrite.rooms")


@dataclass(slots=True)
class Tail:
    """What the log holds after the snapshot."""

    rows: int = 0
    size_bytes: int = 0
    grown_at: float = 0.0
    """When the latest entry came, by the loop's clock."""

    def add(self, update: bytes, now: float) -> None:
        """Count one entry."""
        self.rows += 1
        self.size_bytes += len(update)
        self.grown_at = now


@dataclass(slots=True)
class Loaded:
    """A document as the store knows it."""

    document: Document
    waiting: list[Update]
    """Entries that need others that the store has lost; they stay in the log until those come back."""
    position: int
    """The highest position ever given out."""
    tail: Tail
    snapshot_position: int
    """Up to which this lacks nothing that the stream had (``Snapshot.position``)."""


async def load(store: Store, name: str) -> Loaded:
    """Load one document; raises ``StoreUnavailable`` or ``DocumentUnreadable``."""
    stored = await store.load(name)
    try:
        document, waiting = await _build(stored, [Update(entry.update) for entry in stored.entries])
    except (ProtocolError, DocumentBroken) as error:
        logger.warning("reading the log once more: %s", error, extra={"document": name})
        try:
            # An older version may have logged what yrs, which merges, misreads.
            document, waiting = await _build(stored, [rewritten(entry.update) for entry in stored.entries])
        except (ProtocolError, DocumentBroken) as error:
            raise DocumentUnreadable(f"{name!r}: {error}") from error
    tail = Tail()
    now = asyncio.get_running_loop().time()
    for entry in stored.entries:
        tail.add(entry.update, now)
    folded = stored.snapshot.position if stored.snapshot else 0
    return Loaded(document, waiting, stored.last_position, tail, folded)


async def _build(stored: Stored, updates: list[Update]) -> tuple[Document, list[Update]]:
    """Return the document, and what waits of the ``updates`` in its log."""
    document = Document()
    if stored.snapshot is not None:
        await in_slices(document.restoring(stored.snapshot.update, stored.snapshot.depth))
    waiting: list[Update] = []
    for index in range(0, len(updates), REPLAY_WIDTH):
        intake = document.intake(merge(updates[index : index + REPLAY_WIDTH]))
        await in_slices(intake.steps())
        if intake.rest is not None:
            waiting.append(intake.rest)
    return document, take_all(document, waiting)
