"""A bus between nodes of one process: for tests, and to read what a bus is without Redis."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.bus import (
    RUNG_LIMIT_BYTES,
    BusEntry,
    BusUnavailable,
    Listener,
    Position,
    Reading,
    birth_of,
    fits,
    is_gapless,
    position_at,
    sequence_of,
)

__all__ = ["MemoryBus", "MemoryStreams"]


@dataclass(slots=True)
class _Stream:
    last: Position
    entries: list[BusEntry] = field(default_factory=list)
    poisoned: set[Position] = field(default_factory=set)
    """Where entries stand that nobody can read."""


class MemoryStreams:
    """What the nodes of one process share in the place of Redis."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        """Seconds since the epoch: for the births of streams and the ends of leases."""
        self.streams: dict[str, _Stream] = {}
        self.births: dict[str, int] = {}
        """The latest birth known of each document; outlives the stream, so that positions grow for ever."""
        self.presence: dict[str, dict[str, bytes]] = {}
        self.leases: dict[str, float] = {}
        self.claims: dict[str, tuple[str, float]] = {}
        """Each task, the node that holds it, and until when."""
        self.nodes: dict[str, MemoryBus] = {}

    def forget(self, document: str) -> None:
        """Lose the stream of a document, as a restarted Redis without a log does."""
        self.streams.pop(document, None)

    def go_back(self, document: str, last: Position) -> None:
        """Lose the end of a stream, as Redis does whose log ends before a power cut."""
        stream = self.streams[document]
        stream.entries = [entry for entry in stream.entries if entry.position <= last]
        stream.last = last

    def poison(self, document: str) -> None:
        """Append what nobody can read to a stream that is there."""
        stream = self.streams[document]
        stream.last = Position(stream.last + 1)
        stream.entries.append(BusEntry(stream.last, b""))
        stream.poisoned.add(stream.last)

    def forget_everything(self) -> None:
        """Lose all streams, presence, leases and claims."""
        self.streams.clear()
        self.presence.clear()
        self.leases.clear()
        self.claims.clear()

    def living(self) -> frozenset[str]:
        """Return the nodes whose lease holds."""
        now = self.clock()
        return frozenset(node for node, end in self.leases.items() if end > now)


class MemoryBus:
    """A ``Bus`` for one node on shared ``MemoryStreams``; listeners are told in a later turn of the loop."""

    def __init__(self, streams: MemoryStreams, *, node: str, lease_s: float = 9.0) -> None:
        self._streams = streams
        self._node = node
        self._lease_s = lease_s
        self._listeners: dict[str, Listener] = {}
        self._kept: dict[str, bytes] = {}
        self._known: dict[str, Position] = {}
        """The latest position that this node knows of each document."""
        self._skipped: set[tuple[str, Position]] = set()
        self._is_closed = False
        streams.nodes[node] = self
        streams.leases[node] = streams.clock() + lease_s

    @property
    def unreadable_count(self) -> int:
        """How many were skipped; see ``Bus.unreadable_count``."""
        return len(self._skipped)

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Append in order; see ``Bus.append``."""
        self._check_open()
        return [self._append(document, update) for document, update in entries]

    async def read(self, document: str, after: Position) -> Reading:
        """Read everything after a position; see ``Bus.read``."""
        self._check_open()
        self.learn(document, after)
        stream = self._streams.streams.get(document)
        if stream is None:
            return Reading([], after == 0, Position(0))
        entries = [entry for entry in stream.entries if entry.position > after]
        gapless = is_gapless(after, [entry.position for entry in entries], stream.last)
        unreadable = stream.poisoned & {entry.position for entry in entries}
        self._skipped |= {(document, position) for position in unreadable}
        readable = [entry for entry in entries if entry.position not in unreadable]
        return Reading(readable, gapless, stream.last, frozenset(unreadable))

    def learn(self, document: str, position: Position) -> None:
        """Give out only larger positions; see ``Bus.learn``."""
        if not fits(position):
            return
        self._known[document] = max(position, self._known.get(document, Position(0)))
        births = self._streams.births
        births[document] = max(births.get(document, 0), birth_of(position))

    async def backlog(self) -> Mapping[str, int]:
        """Count the entries of each stream; see ``Bus.backlog``."""
        self._check_open()
        return {name: len(stream.entries) for name, stream in self._streams.streams.items() if stream.entries}

    async def listen(self, document: str, listener: Listener) -> None:
        """Tell ``listener`` from now on; see ``Bus.listen``."""
        self._check_open()
        self._listeners[document] = listener

    async def unlisten(self, document: str, listener: Listener) -> None:
        """Stop telling ``listener``; see ``Bus.unlisten``."""
        if self._listeners.get(document) is listener:
            del self._listeners[document]

    async def trim(self, document: str, up_to: Position) -> None:
        """Forget entries up to a position; see ``Bus.trim``."""
        self._check_open()
        if (stream := self._streams.streams.get(document)) is not None:
            stream.entries = [entry for entry in stream.entries if entry.position > up_to]

    async def publish_presence(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Tell the other nodes and keep ``everybody``; see ``Bus.publish_presence``."""
        self._check_open()
        if everybody is not None:
            self._keep(document, everybody)
        for node, bus in self._streams.nodes.items():
            if node != self._node:
                bus._tell(document, lambda listener: listener.presence_arrived(self._node, update))

    def _keep(self, document: str, everybody: bytes) -> None:
        kept = self._streams.presence.setdefault(document, {})
        if everybody:
            self._kept[document] = kept[self._node] = everybody
        else:
            self._kept.pop(document, None)
            kept.pop(self._node, None)

    async def presence(self, document: str) -> Mapping[str, bytes]:
        """Return what other living nodes keep; see ``Bus.presence``."""
        self._check_open()
        others = self._streams.living() - {self._node}
        kept = self._streams.presence.get(document, {})
        for node in kept.keys() - others - {self._node}:
            del kept[node]
        return {node: everybody for node, everybody in kept.items() if node in others}

    async def renew_lease(self) -> bool:
        """Live on, and put back what was forgotten meanwhile; see ``Bus.renew_lease``."""
        self._check_open()
        was_dead = self._node not in self._streams.living()
        self._streams.leases[self._node] = self._streams.clock() + self._lease_s
        if was_dead:
            for document, everybody in list(self._kept.items()):
                await self.publish_presence(document, everybody, everybody)
        return was_dead

    async def living_nodes(self) -> frozenset[str]:
        """Return the nodes whose lease holds; see ``Bus.living_nodes``."""
        self._check_open()
        return self._streams.living() | {self._node}

    async def claim(self, task: str, hold_s: float) -> bool:
        """Hold a task, anew or still; see ``Bus.claim``."""
        self._check_open()
        now = self._streams.clock()
        holder, end = self._streams.claims.get(task, (self._node, now))
        if holder != self._node and end > now:
            return False
        self._streams.claims[task] = self._node, now + hold_s
        return True

    async def release(self, task: str) -> None:
        """Give up a task; see ``Bus.release``."""
        self._check_open()
        if task in self._streams.claims and self._streams.claims[task][0] == self._node:
            del self._streams.claims[task]

    async def close(self) -> None:
        """End the lease; idempotent."""
        if not self._is_closed:
            self.die()
            self._streams.leases.pop(self._node, None)

    def die(self) -> None:
        """Stop as a killed process does: everything that was left stays until the lease has ended."""
        self._is_closed = True
        self._listeners.clear()
        self._streams.nodes.pop(self._node, None)

    def _append(self, document: str, update: bytes) -> Position:
        streams = self._streams.streams
        stream = streams.get(document)
        last = stream.last if stream else Position(0)
        position = position_at(birth_of(last), sequence_of(last) + 1)
        if stream is None or position <= self._known.get(document, Position(0)):
            birth = max(int(self._streams.clock() * 1000), self._streams.births.get(document, 0) + 1)
            position = position_at(birth, 0)
        stream = streams.setdefault(document, _Stream(position))
        entry = BusEntry(position, update)
        stream.entries.append(entry)
        stream.last = position
        self.learn(document, position)
        is_rung = len(update) <= RUNG_LIMIT_BYTES
        for bus in self._streams.nodes.values():
            bus._tell(document, lambda each: each.entry_arrived(entry) if is_rung else each.doubt())
        return position

    def _tell(self, document: str, tell: Callable[[Listener], None]) -> None:
        if document in self._listeners:
            asyncio.get_running_loop().call_soon(self._tell_now, document, tell)

    def _tell_now(self, document: str, tell: Callable[[Listener], None]) -> None:
        if (listener := self._listeners.get(document)) is not None:
            tell(listener)

    def _check_open(self) -> None:
        if self._is_closed:
            raise BusUnavailable("the bus is closed")
