"""One thread that owns one SQLite connection, so that no call of the event loop waits for the disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from server.storage import StoreClosed
from server.storage.sqlite_schema import Database, explained

__all__ = ["ConnectionThread"]

T = TypeVar("T")


class ConnectionThread:
    """A queue of work on one connection, opened when first needed and again after any error.

    The queue is bounded by its callers: each of them waits for its own work.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in its turn and return its result; cancelled before its turn, it is not done."""
        self.check_open()
        return await asyncio.wrap_future(self._executor.submit(self.use, work))

    def submit(self, work: Callable[[], None]) -> None:
        """Have ``work`` called in its turn, in the thread; nothing cancels it."""
        self.check_open()
        self._executor.submit(work)

    def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` on the connection; only from within the thread.

        After an error of any kind the connection is closed, which undoes what it had begun.
        """
        with explained():
            connection = self._connection or self._database.connect()
            self._connection = None
            try:
                result = work(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            return result

    def reopen(self) -> None:
        """Have the next work see the file as it is, not as the connection remembers it."""
        if not self._is_closed:
            self._executor.submit(self._release)

    def check_open(self) -> None:
        """Raise ``StoreClosed`` after ``close``."""
        if self._is_closed:
            raise StoreClosed("the store is closed")

    async def close(self) -> None:
        """Finish the work that is queued, close the connection and end the thread; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._executor.submit(self._release)
        await asyncio.to_thread(self._executor.shutdown)

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
