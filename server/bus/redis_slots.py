"""Which server has which slot of a Cluster; a server that is no Cluster has them all. Asks nobody."""

from collections.abc import Iterable

from server.bus.redis_connection import Reply
from server.bus.redis_keys import SLOTS
from server.bus.redis_url import Address

__all__ = ["SlotMap"]


class SlotMap:
    """The master of each slot, as far as it is known; ``first`` has all until something else is learned."""

    def __init__(self, first: Address) -> None:
        self._masters = [first] * SLOTS

    @property
    def masters(self) -> list[Address]:
        """Every server that has slots."""
        return list(dict.fromkeys(self._masters))

    def master_of(self, slot: int) -> Address:
        """Return the server that has a slot."""
        return self._masters[slot]

    def move(self, slot: int, master: Address) -> None:
        """Learn that a slot is elsewhere."""
        self._masters[slot] = master

    def take(self, shards: Iterable[Reply], asked: Address) -> None:
        """Learn what ``CLUSTER SLOTS`` says; a server that does not know its own host is ``asked``'s."""
        for shard in shards:
            assert isinstance(shard, list)
            start, end, master = shard[:3]
            assert isinstance(start, int) and isinstance(end, int) and isinstance(master, list)
            host, port = master[:2]
            assert isinstance(port, int)
            address = Address(host.decode() if isinstance(host, bytes) and host else asked.host, port)
            self._masters[start : end + 1] = [address] * (end + 1 - start)
