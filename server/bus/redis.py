"""A bus in Redis 7.0 or later, or Valkey, alone or as a Cluster: streams for truth, pub/sub for speed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from server.bus import BusUnavailable, Listener, Position, Reading
from server.bus.redis_bell import RedisBell
from server.bus.redis_checks import warn_of_settings
from server.bus.redis_claims import RedisClaims
from server.bus.redis_entries import Unreadable
from server.bus.redis_keys import RedisKeys
from server.bus.redis_positions import KnownPositions
from server.bus.redis_presence import RedisPresence
from server.bus.redis_reader import RedisReader
from server.bus.redis_scan import count_entries
from server.bus.redis_servers import RedisServers
from server.bus.redis_url import RedisUrl
from server.bus.redis_writer import RedisWriter

__all__ = ["RedisBus"]

TIMEOUT_S = 5.0

logger = logging.getLogger("cowrite.bus")


class RedisBus:
    """A ``Bus`` for one node; use ``RedisBus.open``.

    A connection to each server for each ``Lane``: nothing waits for a read, the lease least of all.
    Nothing is repeated here but what a Cluster sends elsewhere: who gets ``BusUnavailable`` knows what to
    repeat.
    """

    def __init__(self, url: RedisUrl, *, node: str, lease_s: float, timeout_s: float) -> None:
        self._keys = keys = RedisKeys(url.database)
        self._positions = positions = KnownPositions()
        self._unreadable = Unreadable()
        self._servers = RedisServers(url, timeout_s=timeout_s)
        self._writer = RedisWriter(self._servers, keys, positions)
        self._reader = RedisReader(self._servers, keys, positions, self._unreadable)
        self._bell = RedisBell(self._servers, keys, positions, self._unreadable, node=node)
        self._presence = RedisPresence(self._servers, keys, self._unreadable, node=node, lease_s=lease_s)
        self._claims = RedisClaims(self._servers, keys, node=node)
        self._is_closed = False
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        node: str,
        lease_s: float = 9.0,
        timeout_s: float = TIMEOUT_S,
        takes_lease: bool = True,
    ) -> AsyncIterator[Self]:
        """Connect, take the lease, and end it all at the end.

        ``node`` names this process, no other one and none before it. Who serves nobody takes no lease: each
        that comes and goes has the others look after all their documents. A server may be silent for
        ``timeout_s`` while a request waits, and a call makes a few. Raises ValueError for a bad URL,
        ``RedisTooOld``, and ``BusUnavailable``.
        """
        bus = cls(RedisUrl.parse(url), node=node, lease_s=lease_s, timeout_s=timeout_s)
        try:
            await bus._start(takes_lease=takes_lease)
            yield bus
        finally:
            await bus.close()

    @property
    def unreadable_count(self) -> int:
        """How many were skipped; see ``Bus.unreadable_count``."""
        return self._unreadable.count

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Append in order, in one round trip; see ``Bus.append``."""
        return await self._writer.append(entries)

    async def read(self, document: str, after: Position) -> Reading:
        """Read everything after a position; see ``Bus.read``."""
        return await self._reader.read(document, after)

    def learn(self, document: str, position: Position) -> None:
        """Give out only larger positions; see ``Bus.learn``."""
        self._positions.learn(document, position)

    async def backlog(self) -> Mapping[str, int]:
        """Count the entries of each stream; see ``Bus.backlog``."""
        return await count_entries(self._servers, self._keys)

    async def listen(self, document: str, listener: Listener) -> None:
        """Tell ``listener`` from now on; see ``Bus.listen``."""
        await self._bell.listen(document, listener)

    async def unlisten(self, document: str, listener: Listener) -> None:
        """Stop telling ``listener``; see ``Bus.unlisten``."""
        await self._bell.unlisten(document, listener)

    async def trim(self, document: str, up_to: Position) -> None:
        """Forget entries up to a position; see ``Bus.trim``."""
        await self._reader.trim(document, up_to)

    async def publish_presence(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Tell the other nodes and keep ``everybody``; see ``Bus.publish_presence``."""
        await self._presence.publish(document, update, everybody)

    async def presence(self, document: str) -> Mapping[str, bytes]:
        """Return what other living nodes keep; see ``Bus.presence``."""
        return await self._presence.of(document)

    async def renew_lease(self) -> bool:
        """Live on; see ``Bus.renew_lease``."""
        return await self._presence.renew_lease()

    async def living_nodes(self) -> frozenset[str]:
        """Return the nodes whose lease holds; see ``Bus.living_nodes``."""
        return await self._presence.living()

    async def claim(self, task: str, hold_s: float) -> bool:
        """Hold a task, anew or still; see ``Bus.claim``."""
        return await self._claims.claim(task, hold_s)

    async def release(self, task: str) -> None:
        """Give up a task; see ``Bus.release``."""
        await self._claims.release(task)

    async def close(self) -> None:
        """End the lease and all connections; idempotent. A Redis that is away learns of it by the lease."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
            await self._presence.end_lease()
        except BusUnavailable as error:
            logger.warning("cannot end the lease: %s", error)
        finally:
            self._servers.close()

    async def _start(self, *, takes_lease: bool) -> None:
        await self._servers.start()
        await warn_of_settings(self._servers)
        if takes_lease:
            await self._presence.renew_lease()
        # Ended and awaited in ``close``: a TaskGroup here would wrap what the caller's block raises.
        self._keeper = asyncio.create_task(self._keep_listening())

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._bell.run()
            except Exception:
                logger.critical("the doorbell failed, going on", exc_info=True)
                await asyncio.sleep(1)
