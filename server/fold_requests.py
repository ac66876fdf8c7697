"""When the log of a room is folded: once it is at rest, and not while it grows.

A long log that is folded as soon as it is long is folded again and again while somebody brings a large
document, and just when the others come to see it: a fold takes the memory of a second document. So it is left
alone as long as it grows and people are there, within bounds. Knows nothing of how a fold is done.
"""

import asyncio

from server.compaction import Compactor
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
    """Asks ``compactor`` to fold; ``errands`` owns what waits.

    Where that is cancelled nothing is lost: the log is in the store, where it is loaded from, and swept.
    """

    def __init__(self, compactor: Compactor, errands: Errands) -> None:
        self._compactor = compactor
        self._errands = errands
        self._loop = asyncio.get_running_loop()

    def look(self, room: Room) -> None:
        """Have a long log folded while people are there; to be called now and then."""
        is_at_rest = self._loop.time() - room.tail.grown_at >= QUIET_S
        if self._compactor.is_long(room.tail, 1 if is_at_rest else OVERDUE):
            self._request(room)

    def left(self, room: Room) -> None:
        """Learn that somebody has left: a long log is folded when nobody is there any more."""
        if not room.members and self._compactor.is_long(room.tail):
            self._errands.start(self._fold_left(room))

    def unloaded(self, room: Room) -> None:
        """Have whatever there is folded: the room, all of it stored, goes out of memory."""
        if room.tail.rows:
            self._request(room)

    async def _fold_left(self, room: Room) -> None:
        await room.settle()
        if not room.members and self._compactor.is_long(room.tail):
            self._request(room)

    def _request(self, room: Room) -> None:
        room.tail = Tail()
        self._compactor.request(room.name)
