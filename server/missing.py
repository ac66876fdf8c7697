"""Entries of a stream that cannot be read: the store is asked for the rows at their positions (B7)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from crdt.document import DocumentBroken
from server.bus import Position
from server.room import Room
from server.storage import DocumentUnreadable, Stored, StoreUnavailable
from server.tasks import Tasks

__all__ = ["Missing"]

logger = logging.getLogger("cowrite.bus")

MISSING_RETRY_S = 2.0
MISSING_LIMIT_S = 12.0
"""How long the store is asked for an entry that cannot be read: its row may be on its way from another node,
and may as well never have been written."""


class Missing:
    """What one room lacks: ``complete`` takes all that the store has."""

    __slots__ = ("_complete", "_completing", "_missing", "_room", "_tasks")

    def __init__(self, room: Room, complete: Callable[[], Awaitable[Stored]], tasks: Tasks) -> None:
        self._room = room
        self._complete = complete
        self._tasks = tasks
        self._missing: dict[Position, float] = {}
        """Until when the store is asked for each."""
        self._completing: asyncio.Task[None] | None = None

    def ask(self, unreadable: Iterable[Position]) -> None:
        """Ask for more, while the stream is followed beyond it."""
        give_up_at = asyncio.get_running_loop().time() + MISSING_LIMIT_S
        self._missing |= dict.fromkeys(unreadable, give_up_at)
        if self._missing and self._completing is None:
            self._completing = self._tasks.create_task(self._complete_all())

    def start_over(self) -> None:
        """Ask again, for the document was loaded anew."""
        self.close()
        self.ask(())

    def close(self) -> None:
        """Ask for nothing more; idempotent."""
        if self._completing is not None:
            self._completing.cancel()
            self._completing = None

    async def _complete_all(self) -> None:
        fields = {"document": self._room.name}
        while self._missing:
            try:
                self._strike_off(await self._complete())
            except DocumentBroken:
                self._room.owner.broken(self._room)  # ``start_over`` follows.
                return
            except DocumentUnreadable as error:
                logger.error("cannot complete: %s", error, extra=fields)
                self._missing.clear()
            except Exception as error:
                is_known = isinstance(error, StoreUnavailable)
                logger.warning("cannot complete now: %s", error, extra=fields, exc_info=not is_known)
            if self._missing:
                await asyncio.sleep(MISSING_RETRY_S)
        self._completing = None

    def _strike_off(self, stored: Stored) -> None:
        folded = stored.snapshot.position if stored.snapshot else 0
        held = {entry.position for entry in stored.entries}
        now = asyncio.get_running_loop().time()
        for position, give_up_at in list(self._missing.items()):
            if position <= folded or position in held:
                del self._missing[position]
            elif now >= give_up_at:
                del self._missing[position]
                logger.error(
                    "gave up an entry that cannot be read, the store has none at %d",
                    position,
                    extra={"document": self._room.name},
                )
