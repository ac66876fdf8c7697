"""Folds long logs into snapshots, one document at a time: prove, persist, then trim.

With several nodes a document is claimed before it is folded, and the claim renewed until that is done. A
sweep finds what was lost with a node (references/protocol.md, D6–D8, B9).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress

from crdt.errors import CowriteError
from server.bus import Bus, BusUnavailable, Position, birth_of, follows, sequence_of
from server.folding_pool import FoldingPool
from server.loading import Tail
from server.storage import Entry, Snapshot, Store, Stored, StoreUnavailable

__all__ = ["Compactor"]

logger = logging.getLogger("cowrite.compaction")

DUE_ROWS = 1_000
DUE_BYTES = 2**20
RETRY_S = 5.0
CLAIM_S = 15.0
"""How long a claim holds without renewal; renewed every third of it."""


class Compactor:
    """The queue of documents to fold, each at most once in it, and the one who folds them.

    The queue is bounded by the number of documents. What is lost from it with the process, the sweep
    of any node finds again.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus | None = None,
        executor: Executor | None = None,
        *,
        sweep_s: float = 60.0,
    ) -> None:
        self._store = store
        self._bus = bus
        self._sweep_s = sweep_s
        self._pool = FoldingPool(executor)
        self._due: dict[str, None] = {}
        self._arrival = asyncio.Event()
        self._refused: set[str] = set()
        self._swept: dict[str, int] = {}
        """The rows that waited at the latest sweep, by document."""

    def is_due(self, tail: Tail) -> bool:
        """Whether a log has grown enough to be folded while its room lives."""
        return tail.rows >= DUE_ROWS or tail.size_bytes >= DUE_BYTES

    def request(self, document: str) -> None:
        """Queue a document; idempotent. One whose fold was refused waits for the next sweep."""
        if document not in self._refused:
            self._due[document] = None
            self._arrival.set()

    async def run(self) -> None:
        """Fold for ever; cancel it at any time, nothing is lost."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._sweep_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(sweep_at):
                    await self._arrival.wait()
            if loop.time() >= sweep_at:
                await self._sweep()
                sweep_at = loop.time() + self._sweep_s
            self._arrival.clear()
            if self._due:
                await self._fold_due()

    async def _fold_due(self) -> None:
        try:
            while self._due:
                document = next(iter(self._due))
                await self.compact(document)
                del self._due[document]
            await self._store.reclaim()
        except (StoreUnavailable, BusUnavailable) as error:
            logger.warning("cannot compact now: %s", error)
            await asyncio.sleep(RETRY_S)
            self._arrival.set()

    async def _sweep(self) -> None:
        """Queue what is long, and what has been left alone since the latest sweep."""
        try:
            backlog = await self._store.backlog()
        except StoreUnavailable as error:
            logger.warning("cannot sweep now: %s", error)
            return
        # What was refused may do by now: what it lacked has come, or the folding process lives again.
        self._refused.clear()
        for waiting in backlog:
            if waiting.rows >= DUE_ROWS or self._swept.get(waiting.document) == waiting.rows:
                self.request(waiting.document)
        self._swept = {waiting.document: waiting.rows for waiting in backlog}

    async def compact(self, document: str) -> bool:
        """Fold the log of one document; return False where that was refused, and nothing changed.

        Raises ``StoreUnavailable`` or ``BusUnavailable``. Safe beside appends and other nodes.
        """
        try:
            async with self._claim(document) as is_ours:
                return await self._fold(document) if is_ours else True
        except (StoreUnavailable, BusUnavailable):
            raise
        except Exception as error:
            # Whatever a fold fails of, panics of yrs included: the log is the truth, and it is still there.
            self._give_up(document, error)
            return False

    def _give_up(self, document: str, error: Exception) -> None:
        is_known = isinstance(error, CowriteError)
        fields = {"document": document}
        logger.error("compaction refused, the log stays: %s", error, extra=fields, exc_info=not is_known)
        self._refused.add(document)

    async def _fold(self, document: str) -> bool:
        stored = await self._store.load(document)
        updates, position = await self._foldable(document, stored)
        if updates:
            folded = await self._pool.fold(stored.snapshot, updates)
            snapshot = Snapshot(folded.update, position, folded.depth)
            if not await self._store.replace(document, snapshot, generation=stored.generation):
                return False
        # Also where there was nothing to fold: whoever did it may have been killed before this.
        if self._bus is not None and position:
            await self._bus.trim(document, Position(position))
        return True

    async def _foldable(self, document: str, stored: Stored) -> tuple[Sequence[bytes], int]:
        """The log after the snapshot, as far as it is known to be whole, and where that ends."""
        if self._bus is None:
            entries = stored.entries
            return [entry.update for entry in entries], entries[-1].position if entries else 0
        start = Position(stored.snapshot.position if stored.snapshot else 0)
        reading = await self._bus.read(document, start)
        if reading.is_gapless and not reading.unreadable:
            return [entry.update for entry in reading.entries], reading.last
        return _whole_prefix(stored.entries, start)

    @asynccontextmanager
    async def _claim(self, document: str) -> AsyncIterator[bool]:
        if self._bus is None:
            yield True
            return
        task = f"fold:{document}"
        if not await self._bus.claim(task, CLAIM_S):
            yield False
            return
        renewal = asyncio.create_task(self._renew(self._bus, task))
        try:
            yield True
        finally:
            renewal.cancel()
            await self._bus.release(task)

    async def _renew(self, bus: Bus, task: str) -> None:
        while True:
            await asyncio.sleep(CLAIM_S / 3)
            try:
                await bus.claim(task, CLAIM_S)
            except BusUnavailable as error:
                # Without the claim two nodes may fold at once: compare-and-set lets one of them win.
                logger.warning("cannot renew a claim: %s", error)

    def close(self) -> None:
        """End the pool without waiting for a fold under way; idempotent."""
        self._pool.close()


def _whole_prefix(entries: Sequence[Entry], start: Position) -> tuple[Sequence[bytes], int]:
    """What of a log that the stream has lost has no holes: another node's row may still be on its way."""
    updates: list[bytes] = []
    position = start
    for entry in entries:
        following = Position(entry.position)
        is_reborn = birth_of(following) != birth_of(position) and sequence_of(following) == 0
        if not follows(following, position) and not is_reborn:
            break
        updates.append(entry.update)
        position = following
    return updates, position
