"""Appends entries: one script call for each document, all in one pipeline for each server."""

from collections import defaultdict
from collections.abc import Sequence

from server.bus import BusUnavailable, PartlyAppended, Position, birth_of, sequence_of
from server.bus.redis_connection import RedisRefusal, Reply
from server.bus.redis_entries import position_of, seal
from server.bus.redis_keys import RedisKeys
from server.bus.redis_positions import KnownPositions
from server.bus.redis_scripts import APPEND
from server.bus.redis_servers import Lane, RedisServers, Request

__all__ = ["RedisWriter"]


class RedisWriter:
    """The one writer of a node. A document's entries go in one call, which Redis carries out at one go."""

    def __init__(self, servers: RedisServers, keys: RedisKeys, positions: KnownPositions) -> None:
        self._servers = servers
        self._keys = keys
        self._positions = positions

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Append (document, update) in order; see ``Bus.append``."""
        shares: defaultdict[str, list[int]] = defaultdict(list)
        for index, (document, _) in enumerate(entries):
            shares[document].append(index)
        replies = await self._call({name: [entries[i][1] for i in share] for name, share in shares.items()})
        return self._taken(shares, replies, len(entries))

    async def _call(self, updates: dict[str, list[bytes]]) -> list[Reply]:
        documents = list(updates)
        sealed = [[seal(update) for update in updates[document]] for document in documents]
        replies = await self._servers.ask_all(Lane.APPEND, self._requests(documents, sealed))
        unknown = [index for index, reply in enumerate(replies) if _is_unknown_script(reply)]
        if unknown:
            requests = self._requests(
                [documents[index] for index in unknown], [sealed[index] for index in unknown], whole=True
            )
            for index, reply in zip(unknown, await self._servers.ask_all(Lane.APPEND, requests), strict=True):
                replies[index] = reply
        return replies

    def _requests(
        self, documents: Sequence[str], sealed: Sequence[Sequence[bytes]], *, whole: bool = False
    ) -> list[Request]:
        call = APPEND.call_whole if whole else APPEND.call
        requests: list[Request] = []
        for document, entries in zip(documents, sealed, strict=True):
            keys = self._keys.of(document)
            known = self._positions.of(document)
            sequence = sequence_of(known) if known else -1
            requests.append((keys.slot, call(keys.stream, keys.bell, birth_of(known), sequence, *entries)))
        return requests

    def _taken(
        self, shares: dict[str, list[int]], replies: Sequence[Reply], count: int
    ) -> Sequence[Position]:
        positions: list[Position | None] = [None] * count
        failures: list[BusUnavailable] = []
        for (document, share), reply in zip(shares.items(), replies, strict=True):
            if isinstance(reply, BusUnavailable):
                failures.append(reply)
                continue
            assert isinstance(reply, list)
            for index, id in zip(share, reply, strict=True):
                assert isinstance(id, bytes)
                positions[index] = position = position_of(id)
                self._positions.learn(document, position)
        given = [position for position in positions if position is not None]
        if failures and not given:
            raise failures[0]
        if failures:
            raise PartlyAppended(positions) from failures[0]
        return given


def _is_unknown_script(reply: Reply) -> bool:
    return isinstance(reply, RedisRefusal) and reply.code == "NOSCRIPT"
