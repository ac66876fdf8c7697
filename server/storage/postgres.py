"""A store in Postgres, which any number of nodes share."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Self

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy

from server.storage import Backlog, Entry, Snapshot, Stored, StoreUnavailable
from server.storage import postgres_rows as rows
from server.storage.append_queue import AppendQueue
from server.storage.calls import Calls
from server.storage.postgres_errors import explained
from server.storage.postgres_schema import prepare

__all__ = ["PostgresStore"]

READERS = 4
TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class PostgresStore:
    """A ``Store`` in the schema ``cowrite`` of a database.

    Appends have a connection of their own, so that none waits behind loads. Connections that were lost
    are made anew when they are needed.
    """

    def __init__(self, writer: Pool, readers: Pool, timeout_s: float) -> None:
        self._writer = writer
        self._readers = readers
        self._timeout_s = timeout_s
        self._calls = Calls()
        self._appends = AppendQueue(self._commit)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Self]:
        """Connect, create the tables where there are none, and close it all at the end.

        ``url`` is a ``postgresql://`` URL as libpq reads it. A connection, and a statement, may each take
        ``timeout_s``, longer only for the size of what it stores. Raises ``SchemaTooNew`` and
        ``StoreUnavailable``.
        """
        store = cls(await _pool(url, 1, timeout_s), await _pool(url, READERS, timeout_s), timeout_s)
        try:
            await store._prepare()
            yield store
        finally:
            await store.close()

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Make all entries durable, together with whatever else waits; see ``Store.append``."""
        with self._calls.one():
            return await self._appends.append(entries)

    async def load(self, document: str) -> Stored:
        """Read one document in one transaction; see ``Store.load``."""
        with self._calls.one():
            async with self._connection(self._readers) as connection:
                stored, damaged = await rows.read(connection, document)
            if damaged:
                await self._quarantine(document, damaged)
            return stored

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Put ``snapshot`` in the place of what was folded; see ``Store.replace``."""
        with self._calls.one():
            async with self._connection(self._readers) as connection:
                return await rows.replace(connection, document, snapshot, folded, generation, self._timeout_s)

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries; see ``Store.backlog``."""
        with self._calls.one():
            async with self._connection(self._readers) as connection:
                return await rows.backlog(connection)

    async def reclaim(self) -> None:
        """Do nothing: autovacuum gives the space of deleted rows to the next ones.

        To give it back to the system Postgres would have to lock the table for as long as it copies it.
        """
        with self._calls.one():
            pass

    async def close(self) -> None:
        """Finish the calls under way, then end the connections; idempotent."""
        await self._calls.end()
        await self._appends.finish()
        for pool in (self._writer, self._readers):
            await self._end(pool)

    async def _prepare(self) -> None:
        try:
            async with self._connection(self._writer) as connection:
                await prepare(connection)
        except ValueError:
            # What Python says of a port that is no number may quote the password too.
            raise StoreUnavailable("the URL of the Postgres store cannot be understood") from None

    @asynccontextmanager
    async def _connection(self, pool: Pool) -> AsyncIterator[PoolConnectionProxy]:
        with explained():
            async with pool.acquire(timeout=self._timeout_s) as connection:
                yield connection

    async def _commit(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        async with self._connection(self._writer) as connection:
            return await rows.append(connection, entries, self._timeout_s)

    async def _quarantine(self, document: str, damaged: Sequence[rows.DamagedRow]) -> None:
        try:
            async with self._connection(self._readers) as connection:
                moved = await rows.quarantine(connection, document, damaged)
        except StoreUnavailable as error:
            _log.error("%d damaged entries left in place: document %r: %s", len(damaged), document, error)
            return
        for position in moved:
            _log.error("damaged entry moved to quarantine: document %r, position %r", document, position)

    async def _end(self, pool: Pool) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _pool(url: str, size: int, timeout_s: float) -> Pool:
    """Make a pool that connects when it is first used."""
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=timeout_s,
        command_timeout=timeout_s,
        reset=_leave_as_it_is,
        server_settings={"application_name": "cowrite"},
    )


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Save the round trip with which a pool takes back settings: no statement of ours makes any."""
