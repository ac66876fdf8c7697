"""Folds a document's log into one snapshot, and proves that nothing was lost on the way.

Two things are proved of the new snapshot: a fresh Doc reads from it what it says (crdt/meaning.py), and it
says what the old snapshot and the updates say (crdt/evidence.py; references/protocol.md, D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crdt.document import CURRENT, Document, DocumentBroken
from crdt.errors import ProtocolError
from crdt.evidence import Evidence, FoldRefused
from crdt.meaning import Statement
from crdt.merging import merge
from crdt.replay import take_all
from crdt.rewriting import rewritten
from crdt.update import Update

__all__ = ["REPLAY_WIDTH", "FoldRefused", "Folded", "fold"]

REPLAY_WIDTH = 1_000
"""Updates merged before they are applied: 260,000 in one transaction take 5.4 s, this way 0.5 s."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A snapshot that was proved to hold all that went into it."""

    update: Update
    depth: int
    """How deeply shared types nest in it, and what else ``Document.from_snapshot`` is to know of it."""


def fold(snapshot: bytes | None, depth: int, updates: Sequence[bytes]) -> Folded:
    """Return one snapshot for ``snapshot`` (of that ``depth``) and the ``updates`` after it.

    It is ``snapshot`` itself, byte for byte, where the updates bring nothing new. Raises ``FoldRefused`` when
    anything would be missing, ``Malformed`` for bytes that are no update.
    """
    try:
        return _fold(snapshot, depth, updates)
    except (FoldRefused, ProtocolError, DocumentBroken):
        # An older version may have logged what yrs misreads.
        as_of_today = [rewritten(update) for update in updates]
        if as_of_today == list(updates):
            raise
        return _fold(snapshot, depth, as_of_today)


def _fold(snapshot: bytes | None, depth: int, updates: Sequence[bytes]) -> Folded:
    folded, bound = _settle(*_replay(snapshot, depth, updates))
    statement = Statement(folded)
    evidence = Evidence(statement, _read_again(folded, bound, statement))
    _check(evidence, updates if snapshot is None else [snapshot, *updates])
    if snapshot is not None and statement.is_that_of(snapshot):
        folded = Update(snapshot)
    return Folded(folded, _depth_of(folded))


# Each of these has a Doc of its own, which ends with it: a document of 4 MB takes 30 MB as a Doc.


def _replay(snapshot: bytes | None, depth: int, updates: Sequence[bytes]) -> tuple[Update, int]:
    """Return the whole document as yrs encodes it, and a depth that it does not exceed."""
    document = Document() if snapshot is None else Document.from_snapshot(snapshot, depth)
    groups = (
        merge([Update(update) for update in updates[index : index + REPLAY_WIDTH]])
        for index in range(0, len(updates), REPLAY_WIDTH)
    )
    if take_all(document, groups):
        raise FoldRefused("updates wait for others that the log does not hold")
    return document.encode(), document.depth


def _settle(update: Update, depth: int) -> tuple[Update, int]:
    """Load and encode it once more: in one document of sixty yrs joins some structs only as it loads."""
    document = Document.from_snapshot(update, depth)
    return document.encode(), document.depth


def _read_again(folded: Update, depth: int, statement: Statement) -> bytes:
    """Return the deletions and the state vector that a fresh Doc finds in it."""
    document = Document.from_snapshot(folded, depth)
    if not statement.is_that_of(document.encode()):
        raise FoldRefused("the snapshot changes when it is loaded")
    return document.marks()


def _check(evidence: Evidence, inputs: Sequence[bytes]) -> None:
    for update in inputs:
        evidence.hear(update)
    vanished = evidence.vanished()
    if vanished is None:
        return
    for update in inputs:
        vanished.hear(update)
    if not vanished.are_explained():
        raise FoldRefused("the snapshot deletes what nobody has deleted")


def _depth_of(folded: Update) -> int:
    walked = Document()
    if take_all(walked, [folded]):
        raise FoldRefused("the snapshot is not complete in itself")
    return walked.depth | CURRENT
