"""This node among the others: what they append and who is with them comes in, what happens here goes out.

One object for the node, told of every room that opens and closes. Rules (references/protocol.md, B3–B9).
"""

import asyncio
import logging
import random
from collections.abc import Iterator

from crdt.awareness import Awareness
from crdt.errors import ProtocolError
from crdt.heard import Flaw
from server.bus import Bus, BusUnavailable, Position
from server.follower import Follower
from server.loading import Loaded
from server.publisher import Publisher
from server.room import Room
from server.storage import Store
from server.tasks import Tasks

__all__ = ["LEASE_S", "Cluster"]

logger = logging.getLogger("cowrite.cluster")

LEASE_S = 5.0
"""How long a node is believed to live without a sign."""

SIGN_S = 1.0
"""How often a node gives a sign and looks for those of the others: with the grace of who was there, the
people of a dead node are gone within 10 s (B8)."""

DOUBT_WITHIN_S = 0.5
"""All documents are read again when a node comes or goes: not all at one moment, and well within the grace of
who was there (A6)."""


class Cluster:
    """The node's side of everything between nodes."""

    def __init__(self, bus: Bus, store: Store, tasks: Tasks) -> None:
        self._bus = bus
        self._store = store
        self._tasks = tasks
        self._followers: dict[Room, Follower] = {}
        self._filling = asyncio.Lock()
        self._publisher = Publisher(self._publish)
        self._living: frozenset[str] = frozenset()
        """Who is believed to live."""
        self._seen: frozenset[str] = frozenset()
        """Who had a lease at the latest look, since this node has one."""
        self._judges_at = 0.0
        self.trouble: str | None = None
        """Why this node does not hear the others at the moment."""

    def __iter__(self) -> Iterator[Room]:
        """Go through the rooms that are connected."""
        return iter(list(self._followers))

    async def connect(self, room: Room, loaded: Loaded) -> None:
        """Bring a room, as it was loaded, up to date and keep it so.

        Raises ``BusUnavailable``, what the store raises, and ``DocumentBroken`` (``Follower.complete``); the
        room is not connected then.
        """
        position, known = self._positions_of(room, loaded)
        follower = Follower(room, self._store, self._bus, position, self._tasks, self._filling, known=known)
        # Listen, then read: whatever is appended meanwhile is in one of the two (B3).
        await self._bus.listen(room.name, follower)
        try:
            await follower.complete()
            await follower.hear_everybody()
        except BaseException:
            follower.close()
            await self._bus.unlisten(room.name, follower)
            raise
        self._followers[room] = follower
        follower.begin()

    async def disconnect(self, room: Room) -> None:
        """Bring nothing more; what the others have to hear of its people is published until they have.

        Never raises.
        """
        follower = self._followers.pop(room, None)
        if follower is not None:
            follower.close()
            try:
                await self._bus.unlisten(room.name, follower)
            except BusUnavailable as error:
                logger.warning("cannot unsubscribe: %s", error, extra={"document": room.name})

    def close(self) -> None:
        """Bring nothing more to any room; idempotent."""
        for follower in self._followers.values():
            follower.close()

    def doubt(self, room: Room, *, from_beginning: bool = False) -> None:
        """Read what the stream has that the room may not have heard, or all that it has."""
        if room in self._followers:
            self._followers[room].doubt(from_beginning=from_beginning)

    def is_settled(self, room: Room) -> bool:
        """Whether a room has all that its stream has, and nothing of it was lost."""
        return room not in self._followers or self._followers[room].is_settled

    def has_to_publish(self, room: Room) -> bool:
        """Whether the stream of a room was lost, and the room has not filled it again."""
        return room in self._followers and self._followers[room].has_to_publish

    async def settle(self, room: Room) -> None:
        """Wait until a room is settled: while Redis is away that is never."""
        if room in self._followers:
            await self._followers[room].settle()

    async def start_over(self, room: Room, loaded: Loaded) -> None:
        """Read the stream again, for the document was loaded anew; raises as ``Follower.complete``."""
        if room in self._followers:
            await self._followers[room].start_over(*self._positions_of(room, loaded))

    def _positions_of(self, room: Room, loaded: Loaded) -> tuple[Position, Position]:
        """Where to read the stream from, and what it had reached: which must not be given out again (D13)."""
        known = Position(loaded.position)
        self._bus.learn(room.name, known)
        return Position(loaded.snapshot_position), known

    async def presence_of(self, document: str) -> list[tuple[int, int, bytes]]:
        """Return client, clock and state of who is here through other nodes; raises ``BusUnavailable``."""
        entries: list[tuple[int, int, bytes]] = []
        for node, kept in (await self._bus.presence(document)).items():
            told = Awareness()
            trouble: Flaw | ProtocolError | None
            try:
                trouble = told.receive_relayed(kept, 1, 0.0).flaws.get(1)
            except ProtocolError as error:
                trouble = error
            if trouble is not None:
                logger.error("bad presence from node %s: %s", node, trouble, extra={"document": document})
            entries += told.entries()
        return entries

    def presence_changed(self, room: Room) -> None:
        """Have the other nodes told what ``room.presence`` has for them."""
        self._publisher.changed(room)

    async def publish(self) -> None:
        """Publish presence for ever."""
        await self._publisher.run()

    async def _publish(self, room: Room) -> bool:
        clients, news, everybody = room.presence.take_for_nodes(asyncio.get_running_loop().time())
        if room not in self._followers:
            # It was unloaded: whom this node keeps for joiners, a room that came after it says.
            everybody = b"".join(
                later.presence.here() for later in self._followers if later.name == room.name
            )
        try:
            await self._bus.publish_presence(room.name, news, everybody)
        except BusUnavailable:
            room.presence.give_back(clients)
            return False
        return True

    async def watch(self) -> None:
        """Renew the lease and look after the other nodes for ever."""
        while True:
            try:
                if await self._bus.renew_lease():
                    self._return()
                self._note(await self._bus.living_nodes())
                self.trouble = None
            except BusUnavailable as error:
                if self.trouble is None:
                    logger.warning("cannot renew the lease: %s", error)
                self.trouble = f"cannot reach the other nodes: {error}"
            await asyncio.sleep(SIGN_S)

    def _return(self) -> None:
        """Go on after the lease had ended: the others believed this node dead, or Redis forgot everything."""
        logger.warning("the lease had ended")
        # Redis may have been away for all: the others get the time to give a sign, too.
        self._judges_at = asyncio.get_running_loop().time() + LEASE_S
        self._seen = frozenset()
        for room, follower in self._followers.items():
            follower.doubt()
            room.recall()

    def _note(self, living: frozenset[str]) -> None:
        now = asyncio.get_running_loop().time()
        if living - self._seen:
            # What a node told before it had its lease, or before Redis was back, may have been missed.
            self._doubt_all()
        self._seen = living
        if now < self._judges_at:
            self._living |= living
            return
        for node in self._living - living:
            logger.warning("node %s is gone", node)
            for room in self._followers:
                room.presence.forget_node(node, now)
        if self._living - living:
            # Who had moved away from it unheard is with another node (A12).
            self._doubt_all()
        self._living = living

    def _doubt_all(self) -> None:
        loop = asyncio.get_running_loop()
        for follower in self._followers.values():
            loop.call_later(random.uniform(0, DOUBT_WITHIN_S), follower.doubt)
