"""The doorbell: tells listeners at once of what is appended and of presence, and of every doubt.

Every document has a sharded channel. A message is either

    E <id> SPACE <sealed update>                    an entry, published by the script that appended it
    L <id>                                          an entry too large for that: its listener doubts
    P <length of the node's name, 1 byte> <node> <sealed update>     presence of the connections of a node

A channel is *deaf* from the loss of a connection until its subscription is confirmed again; then its listener
is told to doubt. A message that makes no sense is skipped: an entry is seen as a gap, and read.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

from server.bus import BusEntry, BusUnavailable, Listener
from server.bus.redis_connection import Push
from server.bus.redis_entries import Unreadable, Unsealed, position_of, seal, unseal
from server.bus.redis_keys import DocumentKeys, RedisKeys
from server.bus.redis_positions import KnownPositions
from server.bus.redis_servers import Lane, RedisServers

__all__ = ["RedisBell", "presence_message"]

PING_S = 5.0
"""How often a silent subscription is tested: a connection that died without a word is found by that."""

BACKOFF_MIN_S, BACKOFF_MAX_S = 0.05, 2.0

logger = logging.getLogger("cowrite.bus")


@dataclass(frozen=True, slots=True)
class _Followed:
    document: str
    keys: DocumentKeys
    listener: Listener


def presence_message(node: str, update: bytes) -> bytes:
    """Return what tells the other nodes of presence; ``node`` has at most 255 bytes."""
    name = node.encode()
    return b"P" + bytes([len(name)]) + name + seal(update)


class RedisBell:
    """The subscriptions of one node. ``run`` keeps them alive."""

    def __init__(
        self,
        servers: RedisServers,
        keys: RedisKeys,
        positions: KnownPositions,
        unreadable: Unreadable,
        *,
        node: str,
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._positions = positions
        self._unreadable = unreadable
        self._node = node
        self._followed: dict[bytes, _Followed] = {}
        self._deaf: set[bytes] = set()
        self._is_deaf = asyncio.Event()
        self._losses = 0
        servers.on_push = self._pushed
        servers.on_bell_lost = self._lost

    async def listen(self, document: str, listener: Listener) -> None:
        """Subscribe, and wait until that is in force; see ``Bus.listen``."""
        keys = self._keys.of(document)
        self._followed[keys.bell] = _Followed(document, keys, listener)
        try:
            await self._servers.ask(Lane.BELL, keys.slot, ("SSUBSCRIBE", keys.bell))
        except BaseException:
            self._forget(keys, listener)
            raise

    async def unlisten(self, document: str, listener: Listener) -> None:
        """Stop telling; see ``Bus.unlisten``. A server that cannot be told has lost us anyway."""
        keys = self._keys.of(document)
        if not self._forget(keys, listener):
            return
        await self._servers.ask_all(Lane.BELL, [(keys.slot, ("SUNSUBSCRIBE", keys.bell))])
        if keys.bell in self._followed:
            # Somebody listened again meanwhile, and may have been the first to arrive at the server.
            self._deafen(keys.bell)

    async def run(self) -> None:
        """Subscribe again whatever was lost, for ever; ping what is silent."""
        delay_s = BACKOFF_MIN_S
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._is_deaf.wait()
            except TimeoutError:
                await self._servers.ping(Lane.BELL)
                continue
            await self._subscribe_again()
            if not self._deaf:
                self._is_deaf.clear()
                delay_s = BACKOFF_MIN_S
                continue
            await asyncio.sleep(random.uniform(delay_s / 2, delay_s))
            delay_s = min(2 * delay_s, BACKOFF_MAX_S)

    async def _subscribe_again(self) -> None:
        losses = self._losses
        followed = [self._followed[channel] for channel in self._deaf]
        replies = await self._servers.ask_all(
            Lane.BELL, [(each.keys.slot, ("SSUBSCRIBE", each.keys.bell)) for each in followed]
        )
        if losses != self._losses:
            return
        for each, reply in zip(followed, replies, strict=True):
            if not isinstance(reply, BusUnavailable):
                self._hear_again(each)

    def _hear_again(self, followed: _Followed) -> None:
        channel = followed.keys.bell
        self._deaf.discard(channel)
        if self._followed.get(channel) is followed:
            self._tell_doubt(followed)

    def _tell_doubt(self, followed: _Followed) -> None:
        try:
            followed.listener.doubt()
        except Exception:
            self._report(followed)

    def _forget(self, keys: DocumentKeys, listener: Listener) -> bool:
        followed = self._followed.get(keys.bell)
        if followed is None or followed.listener is not listener:
            return False
        del self._followed[keys.bell]
        self._deaf.discard(keys.bell)
        return True

    def _lost(self) -> None:
        # Which channels were on that connection is not kept: to doubt too often costs a read.
        self._losses += 1
        self._deafen(*self._followed)

    def _deafen(self, *channels: bytes) -> None:
        self._deaf.update(channels)
        if self._deaf:
            self._is_deaf.set()

    def _pushed(self, push: Push) -> None:
        kind, channel = push[0], push[1]
        assert isinstance(channel, bytes)
        followed = self._followed.get(channel)
        if followed is None:
            return
        if kind == b"sunsubscribe":
            # The slot has moved to another server of the Cluster.
            self._deafen(channel)
        elif kind == b"smessage":
            message = push[2]
            assert isinstance(message, bytes)
            self._rang(followed, message)

    def _rang(self, followed: _Followed, message: bytes) -> None:
        try:
            match message[:1]:
                case b"E":
                    self._entry_came(followed, message[1:])
                case b"L":
                    self._positions.learn(followed.document, position_of(message[1:]))
                    followed.listener.doubt()
                case b"P":
                    self._presence_came(followed, message)
                case _:
                    raise Unsealed("unknown kind of message")
        except Unsealed as error:
            id = message[1:].partition(b" ")[0] if message[:1] == b"E" else message
            self._unreadable.note(followed.document, id, error)
        except Exception:
            # One document's trouble is not the others': this is the top of every listener.
            self._report(followed)

    def _entry_came(self, followed: _Followed, message: bytes) -> None:
        id, _, sealed = message.partition(b" ")
        entry = BusEntry(position_of(id), unseal(sealed))
        self._positions.learn(followed.document, entry.position)
        followed.listener.entry_arrived(entry)

    def _presence_came(self, followed: _Followed, message: bytes) -> None:
        start = 2 + int.from_bytes(message[1:2], "big")
        node = message[2:start].decode(errors="replace")
        if node != self._node:
            followed.listener.presence_arrived(node, unseal(message[start:]))

    def _report(self, followed: _Followed) -> None:
        logger.error("a listener failed", exc_info=True, extra={"document": followed.document})
