"""Where surrogate pairs stand, for yrs must never split one.

A character above U+FFFF counts as two in JavaScript, so an edit may fall between its halves. Yjs then
keeps two replacement characters; yrs 0.28 counts the character on one side and loses text on the
other. So whoever splits a pair deletes it, and everybody hears of that (references/protocol.md, G6).
"""

import re

from crdt.update import DeleteRange, StructReader

__all__ = ["SurrogatePairs"]

_MAY_HOLD_ONE = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
"""A character of four bytes; or numbers that happen to look like one."""


class SurrogatePairs:
    """The clocks of the second halves of the pairs in a document, deleted ones among them."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[int, set[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._seconds)

    def record(self, client: int, clock: int, reader: StructReader) -> None:
        """Note the pairs in the struct that ``reader`` has just read at (``client``, ``clock``)."""
        if reader.pairs:
            self._seconds.setdefault(client, set()).update(clock + offset for offset in reader.pairs)

    def record_all(self, update: bytes) -> None:
        """Note the pairs in a whole update; raises ``Malformed``."""
        if _MAY_HOLD_ONE.search(update) is None:
            return
        reader = StructReader(update)
        for _ in range(reader.read_count(3)):
            count, client = reader.read_section_header()
            for _ in range(count):
                clock = reader.clock
                reader.read_struct(client)
                self.record(client, clock, reader)

    def forget(self, pair: DeleteRange) -> None:
        """Let a deleted pair be split from now on."""
        self._seconds[pair.client].discard(pair.end - 1)

    def splits(self, client: int, clock: int) -> bool:
        """Whether an edit right before ``clock`` falls between two halves."""
        seconds = self._seconds.get(client)
        return seconds is not None and clock in seconds

    def split_by(self, reader: StructReader) -> list[DeleteRange]:
        """Return the pairs that the struct just read would split."""
        places = []
        if reader.left is not None:
            places.append((reader.left[0], reader.left[1] + 1))
        if reader.right is not None:
            places.append(reader.right)
        return [
            DeleteRange(client, clock - 1, clock + 1)
            for client, clock in places
            if self.splits(client, clock)
        ]

    def widen(self, deleted: DeleteRange) -> DeleteRange:
        """Return the range without half a pair at either end."""
        client, clock, end = deleted
        return DeleteRange(client, clock - self.splits(client, clock), end + self.splits(client, end))
