"""Carries the entries of every room to where they are durable: the bus, if there is one, then the store.

There is one writer for each of the two, which keeps the order of each document; one that is refused waits,
and holds up no other. With a bus the stream gives an entry its position, and the store keeps it under
that, so that appending twice is harmless; without one the room counts. Rooms are told when their entries are
durable, in order. What waits is bounded by a budget, beyond which rooms stop reading from connections that
write (references/protocol.md, D2–D5, B1).
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from enum import Enum

from crdt.update import Update
from server.bus import Bus, PartlyAppended, Position
from server.items import Item, Origin, merged, size_of
from server.stage import Stage, Unsent
from server.storage import Entry, PartlyStored, Store

__all__ = ["STORE_REST_S", "Acknowledge", "Journal"]

logger = logging.getLogger("cowrite.journal")

STORE_REST_S = 0.1
"""Between two commits for which nobody waits: each costs 0.4 to 0.8 ms of CPU, whatever it carries."""


class Acknowledge(Enum):
    """What an entry has to pass before it is acknowledged (D1)."""

    STORED = "stored"
    """The store has it on disk."""
    STREAMED = "streamed"
    """The bus has it: as durable as Redis is."""


class Journal:
    """The way from rooms to the disk.

    When it is full (``is_full``) nothing is refused, for what is in a document has to be kept; the
    rooms pause whoever writes, and ``on_drained`` tells them when to go on.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus | None,
        *,
        acknowledge: Acknowledge,
        budget_bytes: int,
        on_drained: Callable[[], None],
    ) -> None:
        self._store = store
        self._bus = bus
        self._acknowledge = acknowledge
        self._budget_bytes = budget_bytes
        self._on_drained = on_drained
        self._storing = Stage[Item]("store", self._append_to_store, lane_of=_document_of, rest_s=STORE_REST_S)
        self._publishing = Stage[Item](
            "publish", self._append_to_bus, lane_of=_document_of, shrink=self._merged
        )
        self._one_publishes = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_full = False
        """Whether more than the budget waited, and half of it is not through yet (D3)."""
        self._space: asyncio.Event | None = None
        """Only while somebody waits until it is not full."""
        self._appended_count = 0
        self._stored_count = 0
        self._awaited_count = 0
        """Up to which entry somebody waits for the store."""
        self._coming_bytes = 0
        self.waiting_bytes = 0
        """Bytes of the entries that have not come to their end."""

    @property
    def trouble(self) -> str | None:
        """Why nothing becomes durable at the moment."""
        return self._publishing.trouble or self._storing.trouble

    def expect(self, size_bytes: int) -> None:
        """Count what was accepted, until it is handed over: much may come between two flushes."""
        self._coming_bytes += size_bytes
        self._look_if_full()

    def _look_if_full(self) -> None:
        if self.waiting_bytes + self._coming_bytes > self._budget_bytes:
            self.is_full = True

    async def has_space(self) -> None:
        """Wait while it is full."""
        while self.is_full:
            self._space = self._space or asyncio.Event()
            await self._space.wait()

    def append(self, origin: Origin, update: Update, *, is_awaited: bool) -> None:
        """Hand over the next entry of a room; ``is_awaited`` where somebody waits for it, see ``hurry``."""
        self.waiting_bytes += len(update)
        self._look_if_full()
        self._appended_count += 1
        self._empty.clear()
        if self._bus is None:
            self._storing.put(Item(origin, Entry(origin.name, _next_position(origin), update)))
        else:
            self._publishing.put(Item(origin, Entry(origin.name, 0, update)))
        if is_awaited:
            self.hurry()

    def hurry(self) -> None:
        """Store what was handed over without resting: somebody waits for it (D2)."""
        self._awaited_count = self._appended_count
        self._storing.hurry()

    async def run(self) -> None:
        """Write for ever; cancel it after ``drain``."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._storing.run())
            stages.create_task(self._publishing.run())

    async def drain(self) -> None:
        """Wait until everything handed over so far is durable."""
        self.hurry()
        await self._empty.wait()

    async def _append_to_bus(self, items: Sequence[Item]) -> None:
        assert self._bus is not None
        trouble = None
        positions: Sequence[Position | None]
        try:
            positions = await self._publish(self._bus, items)
        except PartlyAppended as error:
            positions, trouble = error.positions, str(error)
        for item, position in zip(items, positions, strict=True):
            if position is not None:
                self._appended(item, position)
        if trouble is not None:
            unsent = [item for item, position in zip(items, positions, strict=True) if position is None]
            raise Unsent(unsent, trouble)

    def _appended(self, item: Item, position: Position) -> None:
        if self._acknowledge is Acknowledge.STREAMED:
            item.origin.stored(item.stands_for)
        self._storing.put(item.at(position))

    async def _append_to_store(self, items: Sequence[Item]) -> None:
        stored: list[Item] = []
        unstored: list[Item] = []
        trouble = ""
        while items:
            taken, failed = set[Entry](), set[Entry]()
            try:
                taken = set(await self._store.append([item.entry for item in items]))
            except PartlyStored as error:
                taken, failed, trouble = set(error.taken), set(error.unstored), str(error)
            stored += [item for item in items if item.entry not in taken | failed]
            unstored += [item for item in items if item.entry in failed]
            items = await self._moved([item for item in items if item.entry in taken])
        self._stored(stored)
        if unstored:
            raise Unsent(unstored, trouble)

    def _stored(self, items: Sequence[Item]) -> None:
        self.waiting_bytes -= size_of(items)
        self._stored_count += sum(item.stands_for for item in items)
        if self._stored_count >= self._awaited_count:
            self._storing.relax()
        if self._acknowledge is Acknowledge.STORED:
            counts: dict[Origin, int] = {}
            for item in items:
                counts[item.origin] = counts.get(item.origin, 0) + item.stands_for
            for origin, count in counts.items():
                origin.stored(count)
        if not self.waiting_bytes:
            self._empty.set()
        if self.is_full and self.waiting_bytes <= self._budget_bytes // 2:
            self._have_space()

    def _have_space(self) -> None:
        self.is_full = False
        if self._space is not None:
            self._space.set()
            self._space = None
        self._on_drained()

    async def _moved(self, items: Sequence[Item]) -> Sequence[Item]:
        """Give items new positions, for others have theirs: else the store would swallow them (D13)."""
        for name in {item.origin.name for item in items}:
            logger.error("a position was given out twice, appending anew", extra={"document": name})
            last = (await self._store.load(name)).last_position
            if self._bus is not None:
                self._bus.learn(name, Position(last))
            for origin in {item.origin for item in items if item.origin.name == name}:
                origin.position = max(origin.position, last)
        if self._bus is not None and items:
            positions = await self._publish(self._bus, items)
            return [item.at(position) for item, position in zip(items, positions, strict=True)]
        return [item.at(_next_position(item.origin)) for item in items]

    async def _publish(self, bus: Bus, items: Sequence[Item]) -> Sequence[Position]:
        async with self._one_publishes:
            return await bus.append([(item.entry.document, item.entry.update) for item in items])

    def _merged(self, items: Sequence[Item]) -> Iterator[Item]:
        """While the bus is away: what people type meanwhile merges well (B11)."""
        left_bytes = 0
        for item in merged(items):
            left_bytes += item.size_bytes
            yield item
        self.waiting_bytes += left_bytes - size_of(items)


def _document_of(item: Item) -> str:
    return item.entry.document


def _next_position(origin: Origin) -> int:
    origin.position += 1
    return origin.position
