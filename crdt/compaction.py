"""Folds a document's log into one snapshot, and proves that nothing was lost on the way.

The proof comes from the inputs, not from the result's own maker: every clock and every deletion that
the old snapshot and the updates bring must be found in the new snapshot as a fresh Doc reads it
(references/protocol.md, D6).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from pycrdt import Doc, Snapshot, Text

from crdt.document import Document, merge, take_all
from crdt.encoding import Decoder
from crdt.errors import CowriteError
from crdt.summary import summarise
from crdt.update import DeleteRange, Update, read_delete_ranges

__all__ = ["REPLAY_WIDTH", "FoldRefused", "Folded", "fold"]

REPLAY_WIDTH = 1_000
"""Updates merged before they are applied: 260,000 in one transaction take 5.4 s, this way 0.5 s."""


class FoldRefused(CowriteError):
    """The snapshot would not hold everything that went into it; the log has to stay as it is."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A snapshot that was proved to hold all that went into it."""

    update: Update
    depth: int
    """How deeply shared types nest in it."""


def fold(snapshot: bytes | None, depth: int, updates: Sequence[bytes]) -> Folded:
    """Return one snapshot for ``snapshot`` (of that ``depth``) and the ``updates`` after it.

    Raises ``FoldRefused`` when anything would be missing, ``Malformed`` for bytes that are no update.
    """
    # In one document of sixty yrs joins some structs only as it loads: what it then encodes stays.
    folded = Update(_load(_replay(snapshot, depth, updates)).get_update())
    inputs = updates if snapshot is None else [snapshot, *updates]
    _check_coverage(_read_again(folded), inputs)
    walked = Document()
    if take_all(walked, [folded]):
        raise FoldRefused("the snapshot is not complete in itself")
    return Folded(folded, walked.depth)


# Each of these has a Doc of its own, which ends with it: a document of 4 MB takes 30 MB as a Doc.


def _replay(snapshot: bytes | None, depth: int, updates: Sequence[bytes]) -> Update:
    """Return the whole document as yrs encodes it."""
    document = Document() if snapshot is None else Document.from_snapshot(snapshot, depth)
    groups = (
        merge([Update(update) for update in updates[index : index + REPLAY_WIDTH]])
        for index in range(0, len(updates), REPLAY_WIDTH)
    )
    if take_all(document, groups):
        raise FoldRefused("updates wait for others that the log does not hold")
    return document.encode()


def _read_again(folded: Update) -> bytes:
    """Return what a fresh Doc finds in it: its Yjs snapshot."""
    reloaded = _load(folded)
    if reloaded.get_update() != folded:
        raise FoldRefused("the snapshot changes when it is loaded")
    return Snapshot.from_doc(reloaded).encode()


def _load(update: bytes) -> Doc[Text]:
    doc: Doc[Text] = Doc()
    doc.apply_update(update)
    return doc


def _check_coverage(state: bytes, inputs: Sequence[bytes]) -> None:
    """``state`` is a Yjs snapshot: the delete set, then the state vector."""
    decoder = Decoder(state)
    deleted: dict[int, list[DeleteRange]] = {}
    for deletion in read_delete_ranges(decoder):
        deleted.setdefault(deletion.client, []).append(deletion)
    for ranges in deleted.values():
        ranges.sort()
    clocks = {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_count(2))}
    for update in inputs:
        summary = summarise(update)
        for client, brought in summary.brings.items():
            if brought and brought[-1][1] > clocks.get(client, 0):
                raise FoldRefused("structs are missing from the snapshot")
        for deletion in summary.deletes:
            if not _is_covered(deletion, deleted.get(deletion.client, [])):
                raise FoldRefused("a deletion is missing from the snapshot")


def _is_covered(deletion: DeleteRange, ranges: Sequence[DeleteRange]) -> bool:
    """Whether ascending ``ranges`` of the same client hold all of ``deletion``."""
    clock = deletion.clock
    first = bisect_right(ranges, clock, key=attrgetter("clock")) - 1
    for known in islice(ranges, max(first, 0), None):
        if not known.clock <= clock < known.end:
            return False
        clock = known.end
        if clock >= deletion.end:
            return True
    return False
