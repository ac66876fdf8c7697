"""Leases of nodes, and what each node keeps of its presence on a document."""

import asyncio
from collections.abc import Mapping
from itertools import count

from server.bus import BusUnavailable
from server.bus.redis_bell import presence_message
from server.bus.redis_connection import Command
from server.bus.redis_entries import Unreadable, Unsealed, seal, unseal
from server.bus.redis_keys import DocumentKeys, RedisKeys
from server.bus.redis_scripts import FORGET, KEEP, LIVING, RENEW, STAMP_BYTES
from server.bus.redis_servers import Lane, RedisServers, Request
from server.bus.redis_shared import Shared

__all__ = ["RedisPresence"]

KEPT_MS = 3_600_000
"""A document's presence that nobody has touched for this long is gone; clients renew theirs every 15 s."""


class RedisPresence:
    """What one node says of itself and hears of the others."""

    def __init__(
        self, servers: RedisServers, keys: RedisKeys, unreadable: Unreadable, *, node: str, lease_s: float
    ) -> None:
        assert 0 < len(node.encode()) < 256, "the name of a node has 1 to 255 bytes"
        self._servers = servers
        self._keys = keys
        self._unreadable = unreadable
        self._node = node
        self._lease_ms = round(lease_s * 1000)
        self._kept: dict[str, bytes] = {}
        self._stamps = count()
        self._living = Shared(self._ask_living)
        self._has_lease = False
        self._lease_ends_at = 0.0
        """When the lease ends that was confirmed last, by the clock of the loop."""
        self._has_to_say_everything = False
        self._was_dead = False
        """Whether the others may have buried this node, and have not yet been told everything."""

    async def publish(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Tell the other nodes, and keep ``everybody`` for joiners; see ``Bus.publish_presence``."""
        if everybody:
            self._kept[document] = everybody
        elif everybody is not None:
            self._kept.pop(document, None)
        commands = self._commands(document, update, everybody)
        await self._servers.ask(Lane.ASK, self._keys.of(document).slot, *commands)

    async def of(self, document: str) -> Mapping[str, bytes]:
        """Return what the other living nodes keep, and remove what the dead have left."""
        keys = self._keys.of(document)
        [reply] = await self._servers.ask(Lane.READ, keys.slot, ("HGETALL", keys.presence))
        assert isinstance(reply, dict)
        kept = {
            node: value
            for node, value in reply.items()
            if isinstance(node, bytes) and isinstance(value, bytes) and node != self._node.encode()
        }
        living = {node.encode() for node in await self.living()}
        await self._forget(keys, {node: value for node, value in kept.items() if node not in living})
        presence = {}
        for node in kept.keys() & living:
            try:
                presence[node.decode()] = unseal(kept[node][STAMP_BYTES:])
            except Unsealed as error:
                self._unreadable.note(document, b"presence of " + node, error)
        return presence

    async def _forget(self, keys: DocumentKeys, left: Mapping[bytes, bytes]) -> None:
        """Remove what dead nodes have left, but for those that have come back and written it again."""
        if left:
            stamps = [part for node, value in left.items() for part in (node, value[:STAMP_BYTES])]
            await self._servers.ask(Lane.ASK, keys.slot, FORGET.call_whole(keys.presence, *stamps))

    async def renew_lease(self) -> bool:
        """Live on; where the lease had ended or was forgotten, say everything again and return True.

        A reply that is lost may have said that it was, and what is lost of everything may be all: so whatever
        fails here, the next call says everything (B8).
        """
        call = RENEW.call_whole(self._keys.leases, self._node, self._lease_ms)
        asked_at = asyncio.get_running_loop().time()
        self._has_lease = True
        has_failed, self._has_to_say_everything = self._has_to_say_everything, True
        [is_new] = await self._servers.ask(Lane.ASK, self._keys.leases_slot, call)
        self._was_dead |= bool(is_new) or asked_at >= self._lease_ends_at
        self._lease_ends_at = asked_at + self._lease_ms / 1000
        if self._was_dead or has_failed:
            await self._say_everything()
        self._has_to_say_everything = False
        was_dead, self._was_dead = self._was_dead, False
        return was_dead

    async def _say_everything(self) -> None:
        requests: list[Request] = []
        for document, everybody in self._kept.items():
            slot = self._keys.of(document).slot
            requests += [(slot, command) for command in self._commands(document, everybody, everybody)]
        for reply in await self._servers.ask_all(Lane.ASK, requests):
            if isinstance(reply, BusUnavailable):
                raise reply

    async def end_lease(self) -> None:
        """Be dead from now on, where a lease was taken."""
        if not self._has_lease:
            return
        await self._servers.ask(Lane.ASK, self._keys.leases_slot, ("ZREM", self._keys.leases, self._node))

    async def living(self) -> frozenset[str]:
        """Return the nodes whose lease holds, this one included; all documents ask at once after a doubt."""
        return await self._living.answer()

    async def _ask_living(self) -> frozenset[str]:
        call = LIVING.call_whole(self._keys.leases)
        [nodes] = await self._servers.ask(Lane.ASK, self._keys.leases_slot, call)
        assert isinstance(nodes, list)
        return frozenset({node.decode() for node in nodes if isinstance(node, bytes)} | {self._node})

    def _commands(self, document: str, update: bytes, everybody: bytes | None) -> list[Command]:
        keys = self._keys.of(document)
        tell: Command = ("SPUBLISH", keys.bell, presence_message(self._node, update))
        if everybody is None:
            return [tell]
        if not everybody:
            return [("HDEL", keys.presence, self._node), tell]
        stamped = next(self._stamps).to_bytes(STAMP_BYTES, "big") + seal(everybody)
        return [KEEP.call_whole(keys.presence, self._node, stamped, KEPT_MS), tell]
