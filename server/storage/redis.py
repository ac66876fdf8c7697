"""A store in the Redis that carries the bus: for several nodes without a database.

The stream of a document, to which the bus appends, is its log, and stands beside its snapshot. What is
stored is as durable as Redis is set up to be: with an append-only file, and with ``noeviction``. A Redis
that was emptied has empty documents of generation 0, and nothing here can tell that they were more; only
nodes that still have them open can publish them again.
"""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Self

from server.bus import BusUnavailable, Position
from server.bus.redis_entries import Unreadable, id_of, parse_id, seal
from server.bus.redis_keys import RedisKeys, document_of
from server.bus.redis_servers import Lane, RedisServers
from server.bus.redis_url import RedisUrl
from server.storage import Backlog, Entry, PartlyStored, Snapshot, Stored, StoreUnavailable, redis_rows
from server.storage import redis_scripts as scripts
from server.storage.append_queue import AppendQueue
from server.storage.calls import Calls
from server.storage.redis_caller import RedisCaller
from server.storage.redis_records import StoredKeys, pack

__all__ = ["RedisStore"]

TIMEOUT_S = 10.0
DOCUMENTS_PER_STEP = 100

_log = logging.getLogger(__name__)


class RedisStore:
    """A ``Store`` beside the streams of the bus.

    An ``append`` takes effect as a whole for each document, not for all of them: in a Cluster they are on
    several servers. As a rule it finds that the bus has appended the same entries already; what the stream
    lacks, for it was lost or folded, is kept beside it.
    """

    def __init__(self, url: RedisUrl, *, timeout_s: float) -> None:
        self._keys = RedisKeys(url.database)
        self._servers = RedisServers(url, timeout_s=timeout_s)
        self._caller = RedisCaller(self._servers)
        self._calls = Calls()
        self._appends = AppendQueue(self._commit)
        self._unreadable = Unreadable()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Self]:
        """Connect, and end the connections at the end.

        ``url`` as ``RedisBus.open`` takes it. A request may take ``timeout_s``. Raises ``RedisTooOld`` and
        ``StoreUnavailable``.
        """
        try:
            store = cls(RedisUrl.parse(url), timeout_s=timeout_s)
        except ValueError as error:
            raise StoreUnavailable(str(error)) from None
        try:
            await store._start()
            yield store
        finally:
            await store.close()

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Store all entries that the bus has not; see ``Store.append``."""
        with self._calls.one():
            return await self._appends.append(entries)

    async def load(self, document: str) -> Stored:
        """Read one document in one script; see ``Store.load``.

        An entry of another version is left out, and left in its place for the nodes that can read it (B7).
        """
        with self._calls.one():
            keys = self._keys_of(document)
            loaded = redis_rows.read(document, await self._caller.call(Lane.ASK, scripts.LOAD, keys))
            for id in loaded.foreign:
                self._unreadable.note(document, id, "another version wrote it")
            if loaded.damaged:
                await self._quarantine(document, loaded.damaged)
            return loaded.stored

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Put ``snapshot`` in the place of what was folded; see ``Store.replace``.

        The stream stays when nothing is in it: it knows the latest position.
        """
        with self._calls.one():
            replaced = await self._caller.call(
                Lane.ASK,
                scripts.REPLACE,
                self._keys_of(document),
                generation,
                id_of(Position(snapshot.position)),
                pack(document, snapshot, generation + 1),
                *(id_of(Position(position)) for position in folded),
            )
            assert replaced != -1, "a snapshot goes back"
            return replaced == 1

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries; see ``Store.backlog``.

        Looks at every stream, a hundred at a time. A set of the documents to look at could not be kept in
        step with their streams, for in a Cluster it is on another server: what it lost would wait for ever.
        """
        with self._calls.one():
            waiting: list[Backlog] = []
            documents = await self._documents()
            for index in range(0, len(documents), DOCUMENTS_PER_STEP):
                waiting += await self._count(documents[index : index + DOCUMENTS_PER_STEP])
            return sorted(waiting, key=lambda document: document.size_bytes, reverse=True)

    async def reclaim(self) -> None:
        """Do nothing: Redis has the space of deleted entries back at once."""
        with self._calls.one():
            pass

    async def close(self) -> None:
        """Finish the calls under way, then end the connections; idempotent."""
        await self._calls.end()
        await self._appends.finish()
        self._servers.close()

    async def _start(self) -> None:
        try:
            await self._servers.start()
        except BusUnavailable as error:
            raise StoreUnavailable(f"Redis: {error}") from error

    def _keys_of(self, document: str) -> StoredKeys:
        return StoredKeys.of(self._keys, document)

    async def _documents(self) -> Sequence[str]:
        # Late entries also stand where a stream was lost.
        kinds = [await self._caller.find(self._keys.pattern(what)) for what in ("stream", "late")]
        return list(dict.fromkeys(document_of(key) for keys in kinds for key in keys))

    async def _commit(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        shares: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            shares[entry.document].append(entry)
        calls = [(self._keys_of(document), _arguments(share)) for document, share in shares.items()]
        replies = await self._caller.call_each(Lane.APPEND, scripts.APPEND, calls)
        taken: list[Entry] = []
        unstored: list[Entry] = []
        failures: list[StoreUnavailable] = []
        for share, reply in zip(shares.values(), replies, strict=True):
            if isinstance(reply, StoreUnavailable):
                unstored += share
                failures.append(reply)
                continue
            assert isinstance(reply, list)
            taken += [share[index] for index in reply if isinstance(index, int)]
        if failures:
            raise PartlyStored(unstored, taken, str(failures[0])) from failures[0]
        return taken

    async def _count(self, documents: Sequence[str]) -> Sequence[Backlog]:
        calls = [(self._keys_of(document), ()) for document in documents]
        counts = await self._caller.call_each(Lane.ASK, scripts.COUNT, calls)
        waiting: list[Backlog] = []
        failures: list[tuple[str, StoreUnavailable]] = []
        for document, count in zip(documents, counts, strict=True):
            if isinstance(count, StoreUnavailable):
                failures.append((document, count))
                continue
            assert isinstance(count, list)
            rows, size_bytes = count
            assert isinstance(rows, int) and isinstance(size_bytes, int)
            if rows:
                waiting.append(Backlog(document, rows, size_bytes))
        if failures:
            _log.error("cannot count %d documents, such as %r: %s", len(failures), *failures[0])
        return waiting

    async def _quarantine(self, document: str, damaged: Sequence[bytes]) -> None:
        keys = self._keys_of(document)
        try:
            moved = await self._caller.call(Lane.ASK, scripts.QUARANTINE, keys, *damaged)
        except StoreUnavailable as error:
            _log.error(
                "%d damaged entries left in place: document %r: %s", len(damaged) // 2, document, error
            )
            return
        assert isinstance(moved, list)
        for id in moved:
            assert isinstance(id, bytes)
            position = parse_id(id)
            _log.error("damaged entry moved to quarantine: document %r, position %r", document, position)


def _arguments(entries: Sequence[Entry]) -> list[bytes | str | int]:
    pairs = ((id_of(Position(entry.position)), seal(entry.update)) for entry in entries)
    return [argument for pair in pairs for argument in pair]
