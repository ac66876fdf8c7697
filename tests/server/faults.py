"""A store and a bus that can be made slow, stuck or failing; what they do is real."""

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence

from server.bus import Position, Reading
from server.bus.memory import MemoryBus, MemoryStreams
from server.storage import Backlog, Entry, Snapshot, Store, Stored, StoreUnavailable
from server.storage.memory import MemoryStore
from tests.server.support import until

__all__ = ["FaultyBus", "FaultyStore"]

DOOR_LIMIT_S = 900.0


class FaultyStore:
    """A real store behind a door: calls wait, or fail, as the test says; what passes is real."""

    def __init__(self, inner: Store | None = None) -> None:
        self.inner: Store = MemoryStore() if inner is None else inner
        self.may_append = threading.Event()
        self.may_load = threading.Event()
        self.may_append.set()
        self.may_load.set()
        self.error: Exception | None = None
        """Raised by ``append`` while it is set."""
        self.load_error: Exception | None = None
        self.loads: list[str] = []
        self.appends = 0

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Wait at the door, then store."""
        self.appends += 1
        await _passed(self.may_append)
        if self.error is not None:
            raise self.error
        return await self.inner.append(entries)

    async def load(self, document: str) -> Stored:
        """Wait at the door, then load."""
        self.loads.append(document)
        await _passed(self.may_load)
        if self.load_error is not None:
            raise self.load_error
        return await self.inner.load(document)

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Pass on."""
        return await self.inner.replace(document, snapshot, folded=folded, generation=generation)

    async def backlog(self) -> Sequence[Backlog]:
        """Pass on."""
        return await self.inner.backlog()

    async def reclaim(self) -> None:
        """Pass on."""
        await self.inner.reclaim()

    async def close(self) -> None:
        """Pass on."""
        await self.inner.close()

    async def plant_snapshot(self, document: str, content: bytes) -> None:
        """Put a snapshot of any bytes in the place of what is stored."""
        held = await self.inner.load(document)
        snapshot = Snapshot(content, held.last_position, 0)
        folded = [entry.position for entry in held.entries]
        assert await self.inner.replace(document, snapshot, folded=folded, generation=held.generation)

    def fail(self) -> None:
        """Have appends fail as on a full disk."""
        self.error = StoreUnavailable("database or disk is full")

    def fail_loads(self) -> None:
        """Have loads fail."""
        self.load_error = StoreUnavailable("disk I/O error")

    def recover(self) -> None:
        """Have everything work again."""
        self.error = None
        self.load_error = None


class FaultyBus(MemoryBus):
    """A real bus behind a door: reading waits, or anything fails, as the test says."""

    def __init__(self, streams: MemoryStreams, *, node: str) -> None:
        super().__init__(streams, node=node)
        self.may_return = asyncio.Event()
        self.may_return.set()
        self.error: Exception | None = None
        self.reads = 0
        self.reads_at: list[float] = []

    async def read(self, document: str, after: Position) -> Reading:
        """Read at once, and return what was read when the door is open."""
        self.reads += 1
        self.reads_at.append(asyncio.get_running_loop().time())
        self._fail()
        reading = await super().read(document, after)
        await self.may_return.wait()
        return reading

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Fail or append."""
        self._fail()
        return await super().append(entries)

    async def publish_presence(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Fail or publish."""
        self._fail()
        await super().publish_presence(document, update, everybody)

    async def presence(self, document: str) -> Mapping[str, bytes]:
        """Fail or answer."""
        self._fail()
        return await super().presence(document)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


async def _passed(door: threading.Event) -> None:
    await until(door.is_set, "the test opens the door", DOOR_LIMIT_S)
