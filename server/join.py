"""The whole document as frames, encoded once and shared by everybody who joins with nothing.

A storm of joiners costs one encoding: the base goes out first, as an update, then a sync step 2 with
what was accepted since (references/protocol.md, R4).
"""

from crdt.dialects import Dialect
from crdt.document import Document
from crdt.merging import merge
from crdt.messages import SyncStep2, SyncUpdate
from crdt.state_vector import StateVector
from crdt.update import EMPTY_UPDATE, Update
from server.transport import Frame, frame_of

__all__ = ["JoinCache"]

SMALL_BYTES = 16_384
"""Up to this size a document is encoded anew after an edit, which takes 50 µs, and has no base."""

TAIL_MIN_BYTES = 65_536
IDLE_S = 30.0
"""A base that nobody asked for in this time is dropped."""

DIFFS_LIMIT_BYTES = 4 * 2**20
"""The answers to other state vectors kept until the next edit; beyond it they start anew."""

_EMPTY_STATE = b"\x00"


class JoinCache:
    """Answers to sync step 1, shared as long as they are true."""

    __slots__ = (
        "_base",
        "_dialect",
        "_diffs",
        "_diffs_bytes",
        "_document",
        "_tail",
        "_tail_bytes",
        "_used_at",
    )

    def __init__(self, document: Document, dialect: Dialect) -> None:
        self._document = document
        self._dialect = dialect
        self._base: Frame | None = None
        self._tail: list[Update] = []
        self._tail_bytes = 0
        self._diffs: dict[bytes, Frame] = {}
        self._diffs_bytes = 0
        self._used_at = 0.0

    def extend(self, update: Update) -> None:
        """Learn of an accepted update."""
        self._drop_diffs()
        if self._base is None:
            return
        self._tail.append(update)
        self._tail_bytes += len(update)
        if self._tail_bytes > max(TAIL_MIN_BYTES, len(self._base) // 8):
            self.drop()

    def answer(self, state_vector: StateVector, now: float) -> list[Frame]:
        """Return the frames that bring a peer with ``state_vector`` up to date, a sync step 2 last.

        Raises ``Malformed`` when the bytes are not a state vector.
        """
        self._used_at = now
        if state_vector == _EMPTY_STATE and self._base is not None:
            return self._base_and_tail(self._base)
        frame = self._diffs.get(state_vector)
        if frame is not None:
            return [frame]
        update = self._document.diff(state_vector)
        is_base = state_vector == _EMPTY_STATE and len(update) > SMALL_BYTES
        is_empty = update == EMPTY_UPDATE
        message = self._dialect.encode(SyncUpdate(update) if is_base else SyncStep2(update))
        del update  # Two copies of 4 MB at a time are enough.
        frame = frame_of(message)
        if is_base:
            self._base = frame
            return self._base_and_tail(frame)
        if not is_empty:
            # Else it is as soon made as found, and 500 bytes for each document that nobody has written.
            self._keep_diff(state_vector, frame)
        return [frame]

    def _keep_diff(self, state_vector: StateVector, frame: Frame) -> None:
        size_bytes = len(state_vector) + len(frame)
        if self._diffs_bytes + size_bytes > DIFFS_LIMIT_BYTES:
            self._drop_diffs()
        if size_bytes <= DIFFS_LIMIT_BYTES:
            self._diffs[state_vector] = frame
            self._diffs_bytes += size_bytes

    def _drop_diffs(self) -> None:
        self._diffs.clear()
        self._diffs_bytes = 0

    def _base_and_tail(self, base: Frame) -> list[Frame]:
        tail = merge(self._tail)
        self._tail = [tail] if self._tail else []
        return [base, frame_of(self._dialect.encode(SyncStep2(tail)))]

    def expire(self, now: float) -> None:
        """Drop what nobody asked for lately."""
        if now - self._used_at > IDLE_S:
            self.drop()

    def drop(self) -> None:
        """Forget everything."""
        self._base = None
        self._tail = []
        self._tail_bytes = 0
        self._drop_diffs()
