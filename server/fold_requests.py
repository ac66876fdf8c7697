"""When the log of a room is folded: once it is at rest, and not while it grows.

A long log that is folded as soon as it is long is folded again and again while somebody brings a large
document, and just when the others come to see it: a fold takes the memory of a second document. So it is left
alone as long as it grows and people are there, within bounds. Knows nothing of how a fold is done.
"""

import asyncio

from server.compaction import Compactor
from server.journal import Journal
from server.loading import Tail
from server.room import Room
from server.tasks import Errands

__all__ = ["FoldRequests"]

QUIET_S = 5.0
"""A long log that has not grown for so long is folded."""

OVERDUE = 8
"""A log so many times as long as a long one is folded though it grows, for somebody may have to load it: that
takes 30 ms for 8,000 keystrokes, and 3 s for 8 MB of formatted paragraphs, whose snapshot takes 0.2 s. No
bound in time is needed: keystrokes without a pause are cheap to load, and sweeps fold what has 1,000 rows."""


class FoldRequests:
    """Asks ``compactor`` to fold; ``errands`` owns what waits, at most one for each room.

    Where that is cancelled nothing is lost: the log is in the store, and a sweep finds it.
    """

    def __init__(self, compactor: Compactor, journal: Journal, errands: Errands) -> None:
        self._compactor = compactor
        self._journal = journal
        self._errands = errands
        self._loop = asyncio.get_running_loop()
        self._left: set[Room] = set()
        """Long ones that everybody has left, until they are stored."""

    def look(self, room: Room) -> None:
        """Have a long log folded while people are there; to be called now and then."""
        if self._compactor.is_long(room.tail) and self._journal.trouble is None:
            is_at_rest = self._loop.time() - room.tail.grown_at >= QUIET_S
            if is_at_rest or self._compactor.is_long(room.tail, OVERDUE):
                self._request(room)

    def left(self, room: Room) -> None:
        """Learn that somebody has left: a long log is folded when nobody is there any more."""
        if self._is_due_when_left(room) and room not in self._left:
            self._left.add(room)
            self._errands.start(self._fold_left(room))

    def unloaded(self, room: Room) -> None:
        """Have folded what has come since the last request: the room, all of it stored, leaves memory."""
        if room.tail.rows:
            self._request(room)

    def _is_due_when_left(self, room: Room) -> bool:
        return not room.members and self._compactor.takes_requests and self._compactor.is_long(room.tail)

    async def _fold_left(self, room: Room) -> None:
        try:
            await room.settle()
        finally:
            self._left.discard(room)
        if self._is_due_when_left(room):
            self._request(room)

    def _request(self, room: Room) -> None:
        room.tail = Tail()
        self._compactor.request(room.name)
