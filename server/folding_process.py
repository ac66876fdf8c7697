"""The process that folds: pycrdt holds the interpreter lock, so a fold in a thread would stall the loop.

It is started on first use. It is killed where the server stops, in the middle of a fold too; where the server
was killed it ends by itself, at the latest after the fold under way (references/protocol.md, D8).
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from multiprocessing.connection import Connection as PipeEnd

from crdt.compaction import Folded, FoldRefused, fold
from crdt.errors import CowriteError
from server.spawning import SPAWN, deaf_to_ctrl_c
from server.storage import Snapshot

__all__ = ["LARGE_BYTES", "FoldingProcess"]

LARGE_BYTES = 2**20
"""A process that has folded so much is ended, and another one takes its place when there is more to fold: it
would keep the memory, 80 MB after a document of 4 MB. It takes 0.1 s to start."""


class FoldingProcess:
    """Folds one log at a time; ``executor`` takes its place where a test wants folds close by."""

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor
        self._running: _Running | None = None

    async def fold(self, snapshot: Snapshot | None, updates: Sequence[bytes]) -> Folded:
        """Fold as ``crdt.compaction.fold`` does; raises as it, and ``FoldRefused`` when the process died.

        To be called again when the last call has ended; after one that was cancelled another process folds.
        """
        update, depth = (None, 0) if snapshot is None else (snapshot.update, snapshot.depth)
        if self._executor is not None:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, fold, update, depth, updates)
        running = self._running = self._running or _Running()
        try:
            outcome = await asyncio.to_thread(running.fold, update, depth, updates)
        except BaseException:
            self.close()
            raise
        if not isinstance(outcome, Folded):
            raise outcome
        if len(outcome.update) >= LARGE_BYTES:
            self._running = None
            await asyncio.to_thread(running.end)
        return outcome

    def close(self) -> None:
        """Kill the process, in the middle of a fold too; idempotent."""
        if self._running is not None:
            self._running.kill()
            self._running = None


class _Running:
    """The process, and the pipe that it works for until that ends."""

    def __init__(self) -> None:
        self._pipe, other_end = SPAWN.Pipe()
        # A daemon would be killed with us in any case; the pipe ends it when we cannot do that.
        self._process = SPAWN.Process(target=_work, args=(other_end,), daemon=True)
        with deaf_to_ctrl_c():
            self._process.start()
        other_end.close()

    def fold(self, update: bytes | None, depth: int, updates: Sequence[bytes]) -> Folded | CowriteError:
        """Return what became of a fold; blocks, and raises ``FoldRefused`` when the process dies."""
        try:
            self._pipe.send((update, depth, updates))
            outcome = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise FoldRefused("the folding process died") from error
        assert isinstance(outcome, Folded | CowriteError)
        return outcome

    def end(self) -> None:
        """Have it end, and wait for that."""
        self._pipe.close()
        self._process.join()

    def kill(self) -> None:
        """End it at once; a fold under way raises."""
        self._process.kill()


def _work(pipe: PipeEnd) -> None:
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_outcome(*pipe.recv()))


def _outcome(update: bytes | None, depth: int, updates: Sequence[bytes]) -> Folded | CowriteError:
    try:
        return fold(update, depth, updates)
    except CowriteError as error:
        return error
    except BaseException as error:
        # A panic of yrs is no Exception, and cannot be sent.
        return FoldRefused(f"{type(error).__name__}: {error}")
