"""A store in one SQLite file: what an acknowledgement waits for on a server without a database."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from server.storage import Backlog, DocumentUnreadable, Entry, Snapshot, StoreClosed, Stored, StoreUnavailable
from server.storage import sqlite_rows as rows
from server.storage.sqlite_schema import Database, StoreDamaged, Synchronous
from server.storage.sqlite_thread import ConnectionThread

__all__ = ["FILE_NAME", "SqliteStore"]

FILE_NAME = "cowrite.db"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Append:
    entries: Sequence[Entry]
    taken: Future[list[Entry]]


class SqliteStore:
    """A ``Store`` in ``cowrite.db`` of a data folder that this process holds alone.

    One thread writes and commits whatever is queued in one transaction; another reads, and in WAL
    mode does not wait for it.
    """

    def __init__(self, database: Database) -> None:
        self._writer = ConnectionThread(database, "store-writer")
        self._reader = ConnectionThread(database, "store-reader")
        self._queued: deque[_Append] = deque()
        self._ids: dict[str, int] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, synchronous: Synchronous = "FULL", limit_bytes: int | None = None
    ) -> AsyncIterator[Self]:
        """Open the file in ``folder``, creating it where there is none, and close it at the end.

        With ``synchronous="NORMAL"`` a power failure, but no kill of the process, can lose the last
        commits. A file at ``limit_bytes`` behaves like a full disk. Raises ``SchemaTooNew``, and
        ``StoreUnavailable`` for a file that cannot be used.
        """
        database = Database(folder / FILE_NAME, synchronous, limit_bytes)
        await asyncio.to_thread(database.prepare)
        store = cls(database)
        try:
            yield store
        finally:
            await store.close()

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Make all entries durable, together with whatever else is queued; see ``Store.append``."""
        self._writer.check_open()
        call = _Append(entries, Future())
        # A future that runs cannot be cancelled: the entries are stored even if the caller has gone.
        call.taken.set_running_or_notify_cancel()
        self._queued.append(call)
        self._writer.submit(self._commit_queued)
        return await asyncio.wrap_future(call.taken)

    async def load(self, document: str) -> Stored:
        """Read one document in one transaction; see ``Store.load``."""
        try:
            stored, damaged = await self._reader.run(partial(rows.read, document=document))
        except StoreDamaged as error:
            # The writer may know the file only from memory, and would go on acknowledging.
            self._writer.reopen()
            raise DocumentUnreadable(f"{document!r} cannot be read: {error}") from error
        if damaged:
            await self._quarantine(document, damaged)
        return stored

    async def replace(
        self, document: str, snapshot: Snapshot, *, folded: Collection[int], generation: int
    ) -> bool:
        """Put ``snapshot`` in the place of what was folded; see ``Store.replace``."""
        return await self._writer.run(
            partial(rows.replace, document=document, snapshot=snapshot, folded=folded, generation=generation)
        )

    async def backlog(self) -> Sequence[Backlog]:
        """List the documents that have entries; see ``Store.backlog``.

        Reads a hundred documents at a time, so that loads go on between them.
        """
        waiting: list[Backlog] = []
        after: int | None = 0
        while after is not None:
            page, after = await self._reader.run(partial(rows.backlog_page, after=after))
            waiting += page
        return sorted(waiting, key=lambda document: document.size_bytes, reverse=True)

    async def reclaim(self) -> None:
        """Shrink the file by its free pages and empty the write-ahead log.

        Goes in steps of a megabyte, so that appends go on between them.
        """
        while await self._writer.run(rows.give_pages_back):
            pass
        await self._writer.run(rows.truncate_log)

    async def close(self) -> None:
        """Finish the calls under way, then close the file; idempotent.

        ``backlog`` and ``reclaim`` go in steps, and may end with ``StoreClosed`` between two of them.
        """
        await self._writer.close()
        await self._reader.close()

    def _commit_queued(self) -> None:
        calls = []
        while self._queued:
            calls.append(self._queued.popleft())
        try:
            taken = set(self._writer.use(partial(self._commit, calls=calls))) if calls else set()
        except Exception as error:
            self._ids.clear()
            for call in calls:
                call.taken.set_exception(error)
        else:
            for call in calls:
                call.taken.set_result([entry for entry in call.entries if entry in taken] if taken else [])

    def _commit(self, connection: sqlite3.Connection, calls: Sequence[_Append]) -> Sequence[Entry]:
        return rows.append(connection, self._ids, [entry for call in calls for entry in call.entries])

    async def _quarantine(self, document: str, row_ids: Sequence[int]) -> None:
        try:
            moved = await self._writer.run(partial(rows.quarantine, document=document, row_ids=row_ids))
        except (StoreUnavailable, StoreClosed) as error:
            _log.error("%d damaged entries left in place: document %r: %s", len(row_ids), document, error)
            return
        for position in moved:
            _log.error("damaged entry moved to quarantine: document %r, position %r", document, position)
