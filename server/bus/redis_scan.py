"""Looks through all keys: for what no node remembers."""

from collections.abc import Mapping, Sequence

from server.bus import BusUnavailable
from server.bus.redis_connection import Reply
from server.bus.redis_keys import RedisKeys, document_of
from server.bus.redis_servers import Lane, RedisServers
from server.bus.redis_url import Address

__all__ = ["count_entries", "find"]

KEYS_PER_STEP = 1000


async def find(servers: RedisServers, pattern: str) -> Sequence[bytes]:
    """Return the keys that match, of all servers; those that come or go meanwhile may be missing."""
    keys: dict[bytes, None] = {}
    for address in servers.addresses:
        keys |= dict.fromkeys(await _find_on(servers, address, pattern))
    return list(keys)


async def count_entries(servers: RedisServers, keys: RedisKeys) -> Mapping[str, int]:
    """Count the entries of each stream that has any."""
    documents = [document_of(key) for key in await find(servers, keys.pattern("stream"))]
    counts: dict[str, int] = {}
    for index in range(0, len(documents), KEYS_PER_STEP):
        step = [(document, keys.of(document)) for document in documents[index : index + KEYS_PER_STEP]]
        replies = await servers.ask_all(Lane.ASK, [(of.slot, ("XLEN", of.stream)) for _, of in step])
        for (document, _), reply in zip(step, replies, strict=True):
            # One that cannot be asked, or is no stream, keeps nobody from the others.
            if isinstance(reply, int) and reply:
                counts[document] = reply
    return counts


async def _find_on(servers: RedisServers, address: Address, pattern: str) -> list[bytes]:
    keys: list[bytes] = []
    cursor: Reply = b"0"
    while True:
        assert isinstance(cursor, bytes)
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_PER_STEP)
        [reply] = await servers.ask_server(address, Lane.ASK, [command])
        if isinstance(reply, BusUnavailable):
            raise reply
        assert isinstance(reply, list)
        cursor, page = reply
        assert isinstance(page, list)
        keys += [key for key in page if isinstance(key, bytes)]
        if cursor == b"0":
            return keys
