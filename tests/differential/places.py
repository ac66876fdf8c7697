"""Where structs sit: the order that integration gives to a sequence, and what somebody sees of it.

Nobody writes beside what he has not seen, nor sees the end of a text without its beginning: of origins that
no such person could have written Yjs itself makes this or that, depending on what it hears first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.crdt.build import Id

__all__ = ["Place", "Span"]


@dataclass(frozen=True, slots=True)
class Span:
    """What is not to be split: one clock, or the two of a surrogate pair."""

    first: Id
    last: Id
    left: Id | None
    right: Id | None
    """Its origins."""
    time: int
    """When it was written: a count of structs."""


@dataclass(slots=True, eq=False)
class Place:
    """A sequence, or one key, of a root or of an item."""

    parent: str | Id
    key: str | None = None
    time: int = 0
    """When the item was written; nobody is in it who has not seen it."""
    spans: list[Span] = field(default_factory=list)

    def seen_by(self, client: int, time: int) -> list[Span]:
        """Return what ``client`` sees who has heard of everything up to ``time``."""
        return [span for span in self.spans if span.time <= time or span.first[0] == client]

    def insert(self, spans: Sequence[Span]) -> None:
        """Put in what one struct holds, where Yjs puts it (``Item.integrate``)."""
        if spans:
            index = self._index_for(spans[0])
            self.spans[index:index] = spans

    def _index_for(self, span: Span) -> int:
        index = start = self._index_behind(span.left)
        passed: set[Id] = set()
        conflicting: set[Id] = set()
        for at, other in enumerate(self.spans[start:], start + 1):
            if other.first == span.right:
                break
            passed.add(other.last)
            conflicting.add(other.last)
            if other.left == span.left:
                if other.first[0] < span.first[0]:
                    index = at
                    conflicting.clear()
                elif other.right == span.right:
                    break
            elif other.left in passed:
                if other.left not in conflicting:
                    index = at
                    conflicting.clear()
            else:
                break
        return index

    def _index_behind(self, left: Id | None) -> int:
        return next((at for at, span in enumerate(self.spans, 1) if left in (span.first, span.last)), 0)
