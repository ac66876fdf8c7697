"""When a document that seems to be full is looked at once more: it is encoded for that.

Its size is the sum of what has come: nobody counts what goes with a deletion (references/protocol.md, L8).
"""

from crdt.limits import Limits

__all__ = ["Capacity"]

_SHARE = 64
_AFTER_MAX = 64


class Capacity:
    """What is known since the latest measure."""

    __slots__ = ("_after", "_measured_bytes", "_refusals", "has_deleted")

    def __init__(self) -> None:
        self._measured_bytes = 0
        self._refusals = 0
        self._after = 0
        """Refusals until another measure is worth its while, twice as many each time that it was not."""
        self.has_deleted = False
        """Whether anything may have been deleted since."""

    def is_due(self, size_bytes: int, limits: Limits) -> bool:
        """Whether to measure: a share of what it may hold has come since, or something was deleted."""
        if size_bytes - self._measured_bytes >= limits.document_bytes // _SHARE:
            return True
        self._refusals += 1
        return self.has_deleted and self._refusals >= self._after

    def measured(self, size_bytes: int, *, is_full: bool) -> None:
        """Note a measure, and whether what was asked for has no place all the same."""
        self._measured_bytes = size_bytes
        self._refusals = 0
        self._after = min(max(1, 2 * self._after), _AFTER_MAX) if is_full else 0
        self.has_deleted = False
