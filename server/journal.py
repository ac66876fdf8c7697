"""Carries the entries of every room to where they are durable: the bus, if there is one, then the store.

There is one ordered writer for each of the two. With a bus the stream gives an entry its position, and
the store keeps it under that, so that appending twice is harmless; without one the room counts. Rooms
are told when their entries are durable, in order. What waits is bounded by a budget, beyond which rooms
stop reading from connections that write (references/protocol.md, D2–D5).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from crdt.document import merge
from crdt.update import Update
from server.bus import Bus, PartlyAppended, Position
from server.stage import Stage, Unsent
from server.storage import Entry, Store

__all__ = ["Acknowledge", "Journal", "Origin"]


class Acknowledge(Enum):
    """What an entry has to pass before it is acknowledged (D1)."""

    STORED = "stored"
    """The store has it on disk."""
    STREAMED = "streamed"
    """The bus has it: as durable as Redis is."""


class Origin(Protocol):
    """Who hands entries over: a room."""

    name: str
    position: int
    """Of the latest entry; counted here when there is no bus."""

    def stored(self, count: int) -> None:
        """Learn that ``count`` more entries are durable, the oldest first."""


@dataclass(frozen=True, slots=True)
class _Item:
    origin: Origin
    update: Update
    count: int
    """How many of the room's entries it stands for."""
    position: int = 0


class Journal:
    """The way from rooms to the disk.

    When it is full (``is_full``) nothing is refused, for what is in a document has to be kept; the
    rooms pause whoever writes, and ``on_room`` tells them when to go on.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus | None,
        *,
        acknowledge: Acknowledge,
        budget_bytes: int,
        on_room: Callable[[], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._acknowledge = acknowledge
        self._budget_bytes = budget_bytes
        self._on_room = on_room
        self._storing = Stage[_Item]("store", self._append_to_store)
        self._publishing = Stage[_Item]("publish", self._append_to_bus, self._merge_by_document)
        self._empty = asyncio.Event()
        self._empty.set()
        self._was_full = False
        self.waiting_bytes = 0
        """Bytes of the entries that have not come to their end."""

    @property
    def trouble(self) -> str | None:
        """Why nothing becomes durable at the moment."""
        return self._publishing.trouble or self._storing.trouble

    @property
    def is_full(self) -> bool:
        """Whether more than the budget waits."""
        if self.waiting_bytes > self._budget_bytes:
            self._was_full = True
        return self._was_full

    def append(self, origin: Origin, update: Update) -> None:
        """Hand over the next entry of a room."""
        self.waiting_bytes += len(update)
        self._empty.clear()
        if self._bus is None:
            origin.position += 1
            self._storing.put(_Item(origin, update, 1, origin.position))
        else:
            self._publishing.put(_Item(origin, update, 1))

    async def run(self) -> None:
        """Write for ever; cancel it after ``drain``."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._storing.run())
            stages.create_task(self._publishing.run())

    async def drain(self) -> None:
        """Wait until everything handed over so far is durable."""
        await self._empty.wait()

    async def _append_to_bus(self, items: Sequence[_Item]) -> None:
        assert self._bus is not None
        trouble = None
        positions: Sequence[Position | None]
        try:
            positions = await self._bus.append([(item.origin.name, item.update) for item in items])
        except PartlyAppended as error:
            positions, trouble = error.positions, str(error)
        for item, position in zip(items, positions, strict=True):
            if position is not None:
                self._appended(item, position)
        if trouble is not None:
            unsent = [item for item, position in zip(items, positions, strict=True) if position is None]
            raise Unsent(unsent, trouble)

    def _appended(self, item: _Item, position: Position) -> None:
        if self._acknowledge is Acknowledge.STREAMED:
            item.origin.stored(item.count)
        self._storing.put(_Item(item.origin, item.update, item.count, position))

    async def _append_to_store(self, items: Sequence[_Item]) -> None:
        await self._store.append([Entry(item.origin.name, item.position, item.update) for item in items])
        self.waiting_bytes -= sum(len(item.update) for item in items)
        for item in items:
            if self._acknowledge is Acknowledge.STORED:
                item.origin.stored(item.count)
        if not self.waiting_bytes:
            self._empty.set()
        if self._was_full and self.waiting_bytes <= self._budget_bytes // 2:
            self._was_full = False
            self._on_room()

    def _merge_by_document(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """While the bus is away: one item a document, for what people type meanwhile merges well."""
        by_origin: dict[Origin, list[_Item]] = {}
        for item in items:
            by_origin.setdefault(item.origin, []).append(item)
        merged = [
            _Item(origin, merge([item.update for item in waiting]), sum(item.count for item in waiting))
            for origin, waiting in by_origin.items()
        ]
        self.waiting_bytes += sum(len(item.update) for item in merged) - sum(
            len(item.update) for item in items
        )
        return merged
