"""When the presence of each room is published: many documents at a time, the rooms of one in order."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable

from server.pace import PRESENCE_INTERVAL_S
from server.room import Room

__all__ = ["Publisher"]

AT_ONCE = 64
"""How many documents are published at a time: those on a server that is away must not hold up the others."""

RETRY_S = 0.5


class Publisher:
    """Calls ``publish`` for each room that has changed, as often as members are told (R5).

    It returns whether that worked. What waits is which rooms have changed: bounded by their number.
    """

    def __init__(self, publish: Callable[[Room], Awaitable[bool]]) -> None:
        self._publish = publish
        self._changed: defaultdict[str, dict[Room, None]] = defaultdict(dict)
        self._arrivals: asyncio.Queue[str] = asyncio.Queue()
        self._busy: set[str] = set()
        """The documents that are being published, or wait in ``_arrivals``."""
        self._turns = asyncio.Semaphore(AT_ONCE)

    def changed(self, room: Room) -> None:
        """Have a room published, once more where that is under way."""
        self._changed[room.name][room] = None
        if room.name not in self._busy:
            self._busy.add(room.name)
            self._arrivals.put_nowait(room.name)

    async def run(self) -> None:
        """Publish for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._publish_all(await self._arrivals.get()))

    async def _publish_all(self, document: str) -> None:
        """Publish a document until nothing of it waits: nobody else does meanwhile, which keeps the order."""
        while document in self._changed:
            async with self._turns:
                rooms = self._changed.pop(document)
                failures = [room for room in rooms if not await self._publish(room)]
            await asyncio.sleep(RETRY_S if failures else PRESENCE_INTERVAL_S)
        self._busy.discard(document)
