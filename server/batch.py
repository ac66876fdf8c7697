"""Accepted updates on their way to be entries: merged once, for the wire, the store and the stream."""

from crdt.merging import merge
from crdt.update import Update

__all__ = ["ENTRY_LIMIT_BYTES", "Batch"]

ENTRY_LIMIT_BYTES = 65_536
"""The largest merged entry; one update above it is an entry by itself."""


class Batch:
    """What was accepted since the last flush, in order; ``len`` tells how many entries it will be."""

    __slots__ = ("_are_plain", "_groups", "_last_bytes", "size_bytes")

    def __init__(self) -> None:
        self._groups: list[list[Update]] = []
        self._are_plain: list[bool] = []
        """For each group whether there is nothing in it but typed text and deletions."""
        self._last_bytes = 0
        self.size_bytes = 0
        """Of the updates, before they are merged."""

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, update: Update, *, is_plain: bool = False) -> None:
        """Append an update, which belongs to the entry that is last now; ``is_plain`` as in ``merge``."""
        if not self._groups or self._last_bytes + len(update) > ENTRY_LIMIT_BYTES:
            self._groups.append([])
            self._are_plain.append(True)
            self._last_bytes = 0
        self._groups[-1].append(update)
        if not is_plain:
            self._are_plain[-1] = False
        self._last_bytes += len(update)
        self.size_bytes += len(update)

    def take(self) -> list[Update]:
        """Return the entries and begin anew."""
        if not self._groups:
            return []
        groups, self._groups = self._groups, []
        are_plain, self._are_plain = self._are_plain, []
        self.size_bytes = 0
        return [merge(group, is_plain=is_plain) for group, is_plain in zip(groups, are_plain, strict=True)]
