"""The process that folds: pycrdt holds the interpreter lock, so a fold in a thread would stall the loop.

It is spawned on first use, not forked: it inherits no socket, and ends itself, in the middle of a fold too,
when the pool is closed or the server is gone (references/protocol.md, D8).
"""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection, wait

from crdt.compaction import Folded, FoldRefused, fold
from server.storage import Snapshot

__all__ = ["FoldingPool"]


LARGE_BYTES = 2**20
"""A process that has folded so much is ended, and another one takes its place when there is more to fold: it
would keep the memory, 80 MB after a document of 4 MB. It takes 0.1 s to start."""


class FoldingPool:
    """One process for folds; ``executor`` replaces it where a test wants them close by."""

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor
        self._lifeline: Connection | None = None
        """The process lives as long as this end of a pipe is open, which nobody writes to."""

    async def fold(self, snapshot: Snapshot | None, updates: Sequence[bytes]) -> Folded:
        """Fold as ``crdt.compaction.fold`` does; raises as it, and ``FoldRefused`` when the process died."""
        update, depth = (None, 0) if snapshot is None else (snapshot.update, snapshot.depth)
        loop = asyncio.get_running_loop()
        try:
            folded = await loop.run_in_executor(self._running(), fold, update, depth, updates)
        except BrokenProcessPool as error:
            self._executor = None
            raise FoldRefused("the folding process died") from error
        if len(folded.update) >= LARGE_BYTES:
            self.close()
        return folded

    def _running(self) -> Executor:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            other_end, self._lifeline = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                1, mp_context=context, initializer=_end_with, initargs=(other_end,)
            )
        return self._executor

    def close(self) -> None:
        """End the process at once, a fold under way too; idempotent."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None


def _end_with(lifeline: Connection) -> None:
    def watch() -> None:
        wait([lifeline])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
