"""Reads streams and trims them."""

import asyncio
from collections.abc import Sequence

from server.bus import BusEntry, BusUnavailable, Position, Reading, is_gapless
from server.bus.redis_connection import Command, Reply
from server.bus.redis_entries import LATEST_ID, Unreadable, Unsealed, id_of, position_of, unseal
from server.bus.redis_keys import DocumentKeys, RedisKeys
from server.bus.redis_positions import KnownPositions
from server.bus.redis_scripts import ENTRY_FIELD
from server.bus.redis_servers import Lane, RedisServers

__all__ = ["RedisReader"]

FIRST_PAGE, LARGEST_PAGE = 100, 1000
"""How many entries the first command reads, and the most that a later one does."""

PAGE_BYTES = 2**20
"""About how much a later page holds, judged by the one before: others read over the same connection."""

READS_AT_ONCE = 64
"""More of them on one connection would only wait for each other; who waits is bounded by the documents."""


class RedisReader:
    """The streams as a reader sees them."""

    def __init__(
        self, servers: RedisServers, keys: RedisKeys, positions: KnownPositions, unreadable: Unreadable
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._positions = positions
        self._unreadable = unreadable
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def read(self, document: str, after: Position) -> Reading:
        """Read everything after a position; see ``Bus.read``.

        Waits its turn where many read at once, as all do after a doubt; only then its time is counted.
        """
        async with self._turns:
            return await self._read(document, after)

    async def trim(self, document: str, up_to: Position) -> None:
        """Forget entries up to a position; see ``Bus.trim``."""
        keys = self._keys.of(document)
        first_kept = id_of(Position(up_to + 1))
        await self._servers.ask(Lane.ASK, keys.slot, ("XTRIM", keys.stream, "MINID", "=", first_kept))

    async def _read(self, document: str, after: Position) -> Reading:
        keys = self._keys.of(document)
        last, page = await self._first_page(document, after)
        items, asked = list(page), FIRST_PAGE
        while len(page) == asked:
            asked = _next_page(page)
            page = await self._page(keys, self._parsed(document, items[-1])[0], asked)
            items += page
        positions: list[Position] = []
        entries: list[BusEntry] = []
        unreadable: set[Position] = set()
        for item in items:
            position, update = self._parsed(document, item)
            positions.append(position)
            if update is None:
                unreadable.add(position)
            else:
                entries.append(BusEntry(position, update))
        last = max([last, *positions[-1:]])
        self._positions.learn(document, max(after, last))
        return Reading(entries, is_gapless(after, positions, last), last, frozenset(unreadable))

    async def _first_page(self, document: str, after: Position) -> tuple[Position, Sequence[Reply]]:
        keys = self._keys.of(document)
        # The end before the entries: what is trimmed between the two shows as a gap, and never as an end.
        commands: list[Command] = [("EXISTS", keys.stream), ("XINFO", "STREAM", keys.stream)]
        requests = [(keys.slot, command) for command in [*commands, _range(keys, after, FIRST_PAGE)]]
        exists, info, page = await self._servers.ask_all(Lane.READ, requests)
        if exists == 0:
            return Position(0), []
        for reply in (exists, info, page):
            if isinstance(reply, BusUnavailable):
                raise reply
        assert isinstance(info, dict) and isinstance(page, list)
        last = info[b"last-generated-id"]
        assert isinstance(last, bytes)
        try:
            return position_of(last), page
        except Unsealed as error:
            self._unreadable.note(document, last, error)
            return await self._latest(keys), page

    async def _latest(self, keys: DocumentKeys) -> Position:
        """Return the position of the last entry of ours, where another stands behind it."""
        command = ("XREVRANGE", keys.stream, LATEST_ID, "-", "COUNT", 1)
        [page] = await self._servers.ask(Lane.READ, keys.slot, command)
        assert isinstance(page, list)
        if not page:
            return Position(0)
        assert isinstance(page[0], list)
        id = page[0][0]
        assert isinstance(id, bytes)
        return position_of(id)

    async def _page(self, keys: DocumentKeys, after: Position, count: int) -> Sequence[Reply]:
        [page] = await self._servers.ask(Lane.READ, keys.slot, _range(keys, after, count))
        assert isinstance(page, list)
        return page

    def _parsed(self, document: str, item: Reply) -> tuple[Position, bytes | None]:
        assert isinstance(item, list)
        id, fields = item
        assert isinstance(id, bytes)
        try:
            return position_of(id), _update_of(fields)
        except Unsealed as error:
            self._unreadable.note(document, id, error)
            return position_of(id), None


def _range(keys: DocumentKeys, after: Position, count: int) -> Command:
    return ("XRANGE", keys.stream, f"({id_of(after)}", LATEST_ID, "COUNT", count)


def _next_page(page: Sequence[Reply]) -> int:
    """How many entries of the size of these make up ``PAGE_BYTES``."""
    size_bytes = sum(len(value) for item in page for value in _values_of(item))
    return max(1, min(LARGEST_PAGE, len(page) * PAGE_BYTES // max(1, size_bytes)))


def _values_of(item: Reply) -> Sequence[bytes]:
    assert isinstance(item, list)
    values = item[1]
    return [value for value in values if isinstance(value, bytes)] if isinstance(values, list) else []


def _update_of(fields: Reply) -> bytes:
    if isinstance(fields, list) and len(fields) == 2 and fields[0] == ENTRY_FIELD.encode():
        sealed = fields[1]
        assert isinstance(sealed, bytes)
        return unseal(sealed)
    raise Unsealed("no entry of ours")
