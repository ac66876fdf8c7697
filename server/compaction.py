"""Folds long logs into snapshots, one document at a time, in a process of its own.

pycrdt holds the interpreter lock, so a fold in a thread would stall the loop. The pool's process is
spawned, not forked: it inherits no socket, and ends itself when the server is gone
(references/protocol.md, D6–D8).
"""

import asyncio
import logging
import multiprocessing
import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from crdt.compaction import Folded, fold
from crdt.errors import CowriteError
from server.loading import Tail
from server.storage import Snapshot, Store, Stored, StoreUnavailable

__all__ = ["Compactor"]

logger = logging.getLogger("cowrite.compaction")

DUE_ROWS = 1_000
DUE_BYTES = 2**20
RETRY_S = 5.0


class Compactor:
    """The queue of documents to fold, each at most once in it, and the one who folds them.

    The queue is bounded by the number of documents. What is lost from it with the process is found
    again: the next load counts the rows anew.
    """

    def __init__(self, store: Store, executor: Executor | None = None) -> None:
        self._store = store
        self._executor = executor
        self._due: dict[str, None] = {}
        self._arrival = asyncio.Event()
        self._refused: set[str] = set()

    def is_due(self, tail: Tail) -> bool:
        """Whether a log has grown enough to be folded while its room lives."""
        return tail.rows >= DUE_ROWS or tail.size_bytes >= DUE_BYTES

    def request(self, document: str) -> None:
        """Queue a document; idempotent. One whose fold was refused waits for the next start."""
        if document not in self._refused:
            self._due[document] = None
            self._arrival.set()

    async def run(self) -> None:
        """Fold for ever; cancel it at any time, nothing is lost."""
        while True:
            await self._arrival.wait()
            while self._due:
                document = next(iter(self._due))
                del self._due[document]
                try:
                    await self.compact(document)
                except StoreUnavailable as error:
                    logger.warning("cannot compact now: %s", error, extra={"document": document})
                    self._due[document] = None
                    await asyncio.sleep(RETRY_S)
            self._arrival.clear()
            await self._reclaim()

    async def compact(self, document: str) -> bool:
        """Fold the log of one document; return False where that was refused, and nothing changed.

        Raises ``StoreUnavailable``. Safe beside appends: later entries stay in the log.
        """
        try:
            stored = await self._store.load(document)
            if not stored.entries:
                return True
            folded = await self._fold(stored)
        except StoreUnavailable:
            raise
        except Exception as error:
            # Whatever a fold fails of, panics of yrs included: the log is the truth, and it is still there.
            self._give_up(document, error)
            return False
        snapshot = Snapshot(folded.update, stored.entries[-1].position, folded.depth)
        return await self._store.replace(document, snapshot, generation=stored.generation)

    async def _fold(self, stored: Stored) -> Folded:
        return await asyncio.get_running_loop().run_in_executor(
            self._pool(),
            fold,
            stored.snapshot.update if stored.snapshot else None,
            stored.snapshot.depth if stored.snapshot else 0,
            [entry.update for entry in stored.entries],
        )

    def _give_up(self, document: str, error: Exception) -> None:
        is_known = isinstance(error, (CowriteError, BrokenProcessPool))
        fields = {"document": document}
        logger.error(
            "compaction refused, the log stays as it is: %s", error, extra=fields, exc_info=not is_known
        )
        self._refused.add(document)
        if isinstance(error, BrokenProcessPool):
            self._executor = None

    async def _reclaim(self) -> None:
        try:
            await self._store.reclaim()
        except StoreUnavailable as error:
            logger.warning("cannot give space back now: %s", error)

    def _pool(self) -> Executor:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
        return self._executor

    def close(self) -> None:
        """End the pool without waiting for a fold under way; idempotent."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None


def _end_with_parent() -> None:
    """Leave when the server dies, however it dies: a left-over process would keep memory, or a port."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
