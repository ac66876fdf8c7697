"""Entries on their way to be durable, and how they become fewer while they wait.

Knows neither the bus nor the store.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from crdt.document import DocumentBroken
from crdt.merging import merge
from crdt.update import Update
from server.batch import ENTRY_LIMIT_BYTES
from server.storage import Entry

__all__ = ["Item", "Origin", "merged", "size_of"]

logger = logging.getLogger("cowrite.journal")


class Origin(Protocol):
    """Who hands entries over: a room."""

    name: str
    position: int
    """Of the latest entry; counted here when there is no bus."""

    def stored(self, count: int) -> None:
        """Learn that ``count`` more entries are durable, the oldest first."""


class Item(NamedTuple):
    """One or more entries of a room, merged."""

    origin: Origin
    entry: Entry
    """With a bus at position 0 until the stream has given it one."""
    stands_for: int = 1
    """How many of the room's entries it stands for."""
    is_final: bool = False
    """Whether it stays as it is, because yrs failed to merge it."""

    @property
    def size_bytes(self) -> int:
        """Of the update."""
        return len(self.entry.update)

    @property
    def is_full(self) -> bool:
        """Whether it is merged with no other any more."""
        return self.is_final or self.size_bytes > ENTRY_LIMIT_BYTES // 2

    def at(self, position: int) -> "Item":
        """Return it with the position that it was given."""
        return self._replace(entry=self.entry._replace(position=position))


def size_of(items: Iterable[Item]) -> int:
    """Count the bytes of all updates."""
    return sum(item.size_bytes for item in items)


def merged(items: Iterable[Item]) -> Iterator[Item]:
    """Yield fewer items for those of one document, in order, each merged within the limit of an entry (R3).

    To be called again with what it yielded and what has come since: a byte is merged a few times, however
    often that is.
    """
    group: list[Item] = []
    size_bytes = 0
    for item in items:
        if group and not _fits(item, group[-1], size_bytes):
            yield from _as_one(group)
            group, size_bytes = [], 0
        group.append(item)
        size_bytes += item.size_bytes
    # More may come to the last group. What is larger than all behind it waits until as much has come.
    start = 0
    while start < len(group) - 1 and 2 * group[start].size_bytes > size_bytes:
        size_bytes -= group[start].size_bytes
        yield group[start]
        start += 1
    yield from _as_one(group[start:])


def _fits(item: Item, last: Item, size_bytes: int) -> bool:
    is_open = not (item.is_full or last.is_full) and item.origin is last.origin
    return is_open and size_bytes + item.size_bytes <= ENTRY_LIMIT_BYTES


def _as_one(group: Sequence[Item]) -> Iterable[Item]:
    if len(group) < 2:
        return group
    origin = group[0].origin
    try:
        update = merge([Update(item.entry.update) for item in group])
    except DocumentBroken as error:
        logger.error("cannot merge what waits: %s", error, extra={"document": origin.name})
        return [item._replace(is_final=True) for item in group]
    return [Item(origin, Entry(origin.name, 0, update), sum(item.stands_for for item in group))]
