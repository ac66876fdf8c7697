"""Calls scripts on documents in Redis, wherever their slots are."""

from collections.abc import Sequence
from typing import TypeAlias

from server.bus import BusUnavailable
from server.bus.redis_connection import RedisRefusal, Reply
from server.bus.redis_scan import find
from server.bus.redis_servers import Lane, RedisServers
from server.storage import StoreUnavailable
from server.storage.redis_records import StoredKeys
from server.storage.redis_scripts import Script

__all__ = ["Arguments", "RedisCaller"]

Arguments: TypeAlias = Sequence[bytes | str | int]


class RedisCaller:
    """Says ``StoreUnavailable`` wherever Redis does not do what it is asked."""

    def __init__(self, servers: RedisServers) -> None:
        self._servers = servers

    async def call(
        self, lane: Lane, script: Script, keys: StoredKeys, *arguments: bytes | str | int
    ) -> Reply:
        """Call a script on one document; after an error it may have been carried out, as a whole."""
        [reply] = await self.call_each(lane, script, [(keys, arguments)])
        if isinstance(reply, StoreUnavailable):
            raise reply
        return reply

    async def call_each(
        self, lane: Lane, script: Script, calls: Sequence[tuple[StoredKeys, Arguments]]
    ) -> "list[Reply | StoreUnavailable]":
        """Call a script on several documents, in one pipeline for each server.

        A failure stands in the place of its reply: one document does not stop the others (B9).
        """
        replies = await self._servers.ask_all(
            lane, [(keys.slot, script.call(keys, *arguments)) for keys, arguments in calls]
        )
        unknown = [index for index, reply in enumerate(replies) if _is_unknown_script(reply)]
        again = [(keys.slot, script.call_whole(keys, *rest)) for keys, rest in (calls[i] for i in unknown)]
        for index, reply in zip(unknown, await self._servers.ask_all(lane, again), strict=True):
            replies[index] = reply
        return [_unavailable(reply) if isinstance(reply, BusUnavailable) else reply for reply in replies]

    async def find(self, pattern: str) -> Sequence[bytes]:
        """Return the keys that match, of all servers; those that come or go meanwhile may be missing."""
        try:
            return await find(self._servers, pattern)
        except BusUnavailable as error:
            raise _unavailable(error) from error


def _is_unknown_script(reply: Reply) -> bool:
    return isinstance(reply, RedisRefusal) and reply.code == "NOSCRIPT"


def _unavailable(error: BusUnavailable) -> StoreUnavailable:
    return StoreUnavailable(f"Redis: {error}")
