"""Leases of nodes, and what each node keeps of its presence on a document."""

from collections.abc import Mapping

from server.bus import BusUnavailable
from server.bus.redis_bell import presence_message
from server.bus.redis_connection import Command
from server.bus.redis_entries import Unreadable, Unsealed, seal, unseal
from server.bus.redis_keys import RedisKeys
from server.bus.redis_scripts import LIVING, RENEW
from server.bus.redis_servers import Lane, RedisServers, Request

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

    async def publish(self, document: str, update: bytes, everybody: bytes) -> None:
        """Tell the other nodes, and keep ``everybody`` for joiners; see ``Bus.publish_presence``."""
        if everybody:
            self._kept[document] = everybody
        else:
            self._kept.pop(document, None)
        commands = self._commands(document, update, everybody)
        await self._servers.ask(Lane.ASK, self._keys.of(document).slot, *commands)

    async def of(self, document: str) -> Mapping[str, bytes]:
        """Return what the other living nodes keep, and remove what the dead have left."""
        keys = self._keys.of(document)
        [kept] = await self._servers.ask(Lane.ASK, keys.slot, ("HGETALL", keys.presence))
        assert isinstance(kept, dict)
        living = {node.encode() for node in await self.living()}
        # A node that comes back at this very moment loses its field until one of its clients speaks.
        if dead := [node for node in kept if isinstance(node, bytes) and node not in living]:
            await self._servers.ask(Lane.ASK, keys.slot, ("HDEL", keys.presence, *dead))
        others = living - {self._node.encode()}
        presence = {}
        for node, sealed in kept.items():
            if isinstance(node, bytes) and isinstance(sealed, bytes) and node in others:
                try:
                    presence[node.decode()] = unseal(sealed)
                except Unsealed as error:
                    self._unreadable.note(document, b"presence of " + node, error)
        return presence

    async def renew_lease(self) -> bool:
        """Live on; where the lease had ended or was forgotten, say everything again and return True."""
        call = RENEW.call_whole(self._keys.leases, self._node, self._lease_ms)
        [is_new] = await self._servers.ask(Lane.ASK, self._keys.leases_slot, call)
        if not is_new:
            return False
        requests: list[Request] = []
        for document, everybody in self._kept.items():
            slot = self._keys.of(document).slot
            requests += [(slot, command) for command in self._commands(document, everybody, everybody)]
        for reply in await self._servers.ask_all(Lane.ASK, requests):
            if isinstance(reply, BusUnavailable):
                raise reply
        return True

    async def end_lease(self) -> None:
        """Be dead from now on."""
        await self._servers.ask(Lane.ASK, self._keys.leases_slot, ("ZREM", self._keys.leases, self._node))

    async def living(self) -> frozenset[str]:
        """Return the nodes whose lease holds, this one included."""
        call = LIVING.call_whole(self._keys.leases)
        [nodes] = await self._servers.ask(Lane.ASK, self._keys.leases_slot, call)
        assert isinstance(nodes, list)
        return frozenset({node.decode() for node in nodes if isinstance(node, bytes)} | {self._node})

    def _commands(self, document: str, update: bytes, everybody: bytes) -> list[Command]:
        keys = self._keys.of(document)
        if everybody:
            keep: list[Command] = [
                ("HSET", keys.presence, self._node, seal(everybody)),
                ("PEXPIRE", keys.presence, KEPT_MS),
            ]
        else:
            keep = [("HDEL", keys.presence, self._node)]
        return [*keep, ("SPUBLISH", keys.bell, presence_message(self._node, update))]
