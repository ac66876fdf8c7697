"""Carries the entries of every room to the store: one ordered writer for the whole node.

Rooms hand entries over and are told when they are durable. While the store is unavailable the same
entries are tried again, in order; what waits is bounded by a budget, beyond which rooms stop reading
from connections that write (references/protocol.md, D2–D5).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from server.storage import Entry, Store, StoreUnavailable

__all__ = ["LogWriter", "Origin"]

logger = logging.getLogger("cowrite.log")

BATCH_LIMIT = 5_000
"""Entries committed together at most: about 50 ms of SQLite."""

RETRY_MIN_S, RETRY_MAX_S = 0.05, 2.0


class Origin(Protocol):
    """Who hands entries over: a room."""

    def stored(self, position: int) -> None:
        """Learn that everything up to ``position`` is durable."""


class LogWriter:
    """The queue between rooms and the store.

    When it is full (``is_full``) nothing is refused, for what is in a document has to be logged; the
    rooms pause whoever writes, and ``on_room`` tells them when to go on.
    """

    def __init__(self, store: Store, budget_bytes: int, on_room: Callable[[], None]) -> None:
        self._store = store
        self._budget_bytes = budget_bytes
        self._on_room = on_room
        self._queue: deque[tuple[Origin, Entry]] = deque()
        self._arrival = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._was_full = False
        self.waiting_bytes = 0
        """Bytes of the entries that are not durable yet."""
        self.trouble: str | None = None
        """Why nothing can be stored at the moment."""

    @property
    def is_full(self) -> bool:
        """Whether more than the budget waits."""
        if self.waiting_bytes > self._budget_bytes:
            self._was_full = True
        return self._was_full

    def append(self, origin: Origin, entry: Entry) -> None:
        """Queue one entry; entries of one document arrive in order of position."""
        self._queue.append((origin, entry))
        self.waiting_bytes += len(entry.update)
        self._arrival.set()
        self._empty.clear()

    async def run(self) -> None:
        """Write for ever; cancel it after ``drain``."""
        while True:
            await self._arrival.wait()
            await self._write_batch()

    async def drain(self) -> None:
        """Wait until everything queued so far is durable."""
        await self._empty.wait()

    async def _write_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_LIMIT))]
        entries = [entry for _, entry in batch]
        await self._append_until_stored(entries)
        self.waiting_bytes -= sum(len(entry.update) for entry in entries)
        for origin, entry in batch:
            origin.stored(entry.position)
        if not self._queue:
            self._arrival.clear()
            self._empty.set()
        if self._was_full and self.waiting_bytes <= self._budget_bytes // 2:
            self._was_full = False
            self._on_room()

    async def _append_until_stored(self, entries: list[Entry]) -> None:
        delay_s = RETRY_MIN_S
        while True:
            try:
                await self._store.append(entries)
            except Exception as error:
                # Even a bug of a store must not end the writer: the same entries are tried again.
                if self.trouble is None:
                    is_known = isinstance(error, StoreUnavailable)
                    logger.error("cannot store, trying until it works: %s", error, exc_info=not is_known)
                self.trouble = f"cannot store: {error}"
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            else:
                if self.trouble is not None:
                    logger.warning("storing works again")
                self.trouble = None
                return
