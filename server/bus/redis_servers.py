"""Which server answers for which slot, and one open connection to it for each lane. Knows no documents."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from crdt.errors import CowriteError
from server.bus import BusUnavailable
from server.bus.redis_connection import Command, Push, RedisConnection, RedisRefusal, Reply
from server.bus.redis_connections import Lane, RedisConnections
from server.bus.redis_slots import SlotMap
from server.bus.redis_url import Address, RedisUrl

__all__ = ["Lane", "RedisServers", "RedisTooOld", "Request"]

OLDEST_MAJOR = 7
"""XADD with ``ms-*`` and sharded pub/sub came with Redis 7.0."""

REDIRECTS_LIMIT = 4

LEARN_INTERVAL_S = 0.5
"""Between two looks for the masters of a Cluster, while something fails."""

Request: TypeAlias = tuple[int, Command]
"""A slot and a command that only touches it. A server that is no Cluster has all slots."""


class RedisTooOld(CowriteError):
    """The server lacks commands that the bus is made of."""


class RedisServers:
    """One server, or the masters of a Cluster. Connections are opened when they are needed."""

    def __init__(self, url: RedisUrl, *, timeout_s: float) -> None:
        self.is_cluster = False
        self.on_push: Callable[[Push], None] = lambda push: None
        """Called with every push on the bell lane."""
        self.on_bell_lost: Callable[[], None] = lambda: None
        """Called when a connection of the bell lane has ended."""
        self._url = url
        self._timeout_s = timeout_s
        self._slots = SlotMap(url.address)
        self._connections = RedisConnections(self._connect)
        self._answered_at: dict[Address, float] = {}
        """When each server answered last, by the clock of the loop."""
        self._learning: asyncio.Task[None] | None = None
        self._learns_at = 0.0
        """When the Cluster may be asked for its masters again."""

    @property
    def addresses(self) -> list[Address]:
        """Every server that has slots."""
        return self._slots.masters

    async def start(self) -> None:
        """Get to know the servers; raises ``BusUnavailable`` and ``RedisTooOld``."""
        connection = await self._connections.get(self._url.address, Lane.ASK)
        version = connection.server.get(b"version")
        assert isinstance(version, bytes)
        if int(version.split(b".")[0]) < OLDEST_MAJOR:
            raise RedisTooOld(f"Redis {version.decode()} is too old: {OLDEST_MAJOR}.0 or later is needed")
        self.is_cluster = connection.server.get(b"mode") == b"cluster"
        if self.is_cluster:
            await self._learn_slots()

    async def ask(self, lane: Lane, slot: int, *commands: Command) -> list[Reply]:
        """Send commands for one slot, in order, and return their replies; raises the first failure."""
        replies = await self.ask_all(lane, [(slot, command) for command in commands])
        for reply in replies:
            if isinstance(reply, BusUnavailable):
                raise reply
        return replies

    async def ask_all(self, lane: Lane, requests: Sequence[Request]) -> list[Reply]:
        """Send each request to the server of its slot, all at once, and return a reply for each.

        A failure stands in the place of its reply, as ``BusUnavailable``; of these only an error reply
        (``RedisRefusal``) says that the command was not carried out. Requests of one slot go in order; a
        Cluster that moves the slot meanwhile may carry out the later one first.
        """
        replies: list[Reply] = [None] * len(requests)
        waiting: Sequence[int] = range(len(requests))
        for _ in range(REDIRECTS_LIMIT):
            await self._send(lane, requests, waiting, replies)
            waiting = [index for index in waiting if self._is_moved(replies[index])]
            if not waiting:
                break
        return replies

    async def ask_server(self, address: Address, lane: Lane, commands: Sequence[Command]) -> list[Reply]:
        """Send commands to one server; failures stand in the place of the replies."""
        try:
            connection = await self._connections.get(address, lane)
            replies = await connection.request(commands)
        except BusUnavailable as error:
            self._doubt_slots()
            return [error] * len(commands)
        self._answered_at[address] = asyncio.get_running_loop().time()
        if any(isinstance(reply, RedisRefusal) and reply.code == "READONLY" for reply in replies):
            # The server is no master any more; its name may lead to the new one.
            connection.close()
            self._doubt_slots()
        return replies

    async def ping(self, lane: Lane) -> None:
        """Find out which connections of a lane are dead, and close them."""
        for address in self._connections.opened(lane):
            await self.ask_server(address, lane, [("PING",)])

    def close(self) -> None:
        """End all connections; later calls raise ``BusUnavailable``. Idempotent."""
        if self._learning is not None:
            self._learning.cancel()
        self._connections.close()

    async def _send(
        self, lane: Lane, requests: Sequence[Request], indexes: Iterable[int], replies: list[Reply]
    ) -> None:
        shares: defaultdict[Address, list[int]] = defaultdict(list)
        for index in indexes:
            shares[self._slots.master_of(requests[index][0])].append(index)
        answers = await asyncio.gather(
            *(
                self.ask_server(address, lane, [requests[index][1] for index in share])
                for address, share in shares.items()
            )
        )
        for share, answer in zip(shares.values(), answers, strict=True):
            for index, reply in zip(share, answer, strict=True):
                replies[index] = await self._resolved(lane, requests[index][1], reply)

    async def _resolved(self, lane: Lane, command: Command, reply: Reply) -> Reply:
        if not (isinstance(reply, RedisRefusal) and reply.code == "ASK"):
            return reply
        # The slot is on its way, and this key has arrived already.
        _, target = self._redirection(reply)
        return (await self.ask_server(target, lane, [("ASKING",), command]))[1]

    def _is_moved(self, reply: Reply) -> bool:
        if not (isinstance(reply, RedisRefusal) and reply.code == "MOVED"):
            return False
        slot, target = self._redirection(reply)
        self._slots.move(slot, target)
        return True

    def _redirection(self, refusal: RedisRefusal) -> tuple[int, Address]:
        _, slot, target = str(refusal).split(" ")
        host, _, port = target.rpartition(":")
        return int(slot), Address(host or self._url.address.host, int(port))

    def _doubt_slots(self) -> None:
        """Look for the masters in the background: a request for another one has no reason to wait for it."""
        is_learning = self._learning is not None and not self._learning.done()
        now = asyncio.get_running_loop().time()
        if self.is_cluster and not is_learning and now >= self._learns_at:
            self._learns_at = now + LEARN_INTERVAL_S
            # Ended in ``close``.
            self._learning = asyncio.create_task(self._learn_slots())

    async def _learn_slots(self) -> None:
        # Who answered last first: the dead may be silent for long.
        known = sorted(self.addresses, key=lambda each: self._answered_at.get(each, 0.0), reverse=True)
        for address in dict.fromkeys([*known, self._url.address]):
            [reply] = await self.ask_server(address, Lane.ASK, [("CLUSTER", "SLOTS")])
            if isinstance(reply, list):
                self._slots.take(reply, address)
                return

    async def _connect(self, address: Address, lane: Lane) -> RedisConnection:
        is_bell = lane is Lane.BELL
        return await RedisConnection.open(
            address,
            self._url,
            timeout_s=self._timeout_s,
            on_push=self.on_push if is_bell else lambda push: None,
            on_lost=self.on_bell_lost if is_bell else lambda: None,
        )
