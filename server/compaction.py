"""Folds long logs into snapshots, one document at a time: prove, persist, then trim.

When a room asks for that: server/fold_requests.py. With several nodes a document is claimed before it is
folded, and the claim renewed until that is done. One of them sweeps, and finds what was lost with a node
(references/protocol.md, D6–D8, D12, B9).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from math import inf
from time import monotonic

from crdt.errors import CowriteError
from server.bus import Bus, BusUnavailable, Position, Reading
from server.fold_claims import Claim, claimed
from server.fold_refusals import FoldRefusals
from server.folding_process import FoldingProcess
from server.loading import Tail
from server.storage import Snapshot, Store, Stored, StoreUnavailable

__all__ = ["Compactor"]

logger = logging.getLogger("cowrite.compaction")

LONG_ROWS = 1_000
LONG_BYTES = 2**20
RETRY_S, RETRY_MAX_S = 5.0, 60.0
SWEEP_SPARE_S = 1.0
"""How long a sweep may take beyond the time between two of them."""


class Compactor:
    """The queue of documents to fold, each at most once in it, and the one who folds them.

    The queue is bounded by the number of documents. What is lost from it with the process, a sweep finds
    again. One that ``is_idle`` is never ``run`` and queues nothing: others fold.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus | None = None,
        executor: Executor | None = None,
        *,
        sweep_s: float = 60.0,
        is_idle: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._bus = bus
        self._sweep_s = sweep_s
        self.takes_requests = not is_idle
        """Whether ``request`` does anything; no more after ``finish``."""
        self._folding = FoldingProcess(executor)
        self._due: dict[str, None] = {}
        self._postponed: dict[str, None] = {}
        """What could not be reached, until it is due again."""
        self._retry_at = inf
        self._retry_s = RETRY_S
        self._arrival = asyncio.Event()
        self._clock = clock
        self._refusals = FoldRefusals()
        self._swept: dict[str, int] = {}
        """The rows that waited at the latest sweep, by document."""

    def is_long(self, tail: Tail, factor: int = 1) -> bool:
        """Whether a log is worth a fold though its room lives; ``factor`` asks for a longer one."""
        return tail.rows >= factor * LONG_ROWS or tail.size_bytes >= factor * LONG_BYTES

    def request(self, document: str) -> None:
        """Queue a document; idempotent. One whose fold was refused is left alone for a while (D6)."""
        if self.takes_requests and not self._refusals.is_paused(document, self._clock()):
            self._due[document] = None
            self._arrival.set()

    def finish(self) -> None:
        """Begin no fold any more: the server is about to stop. Idempotent."""
        self.takes_requests = False
        self._due.clear()
        self._postponed.clear()

    async def run(self) -> None:
        """Fold for ever; cancel it at any time, nothing is lost."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._sweep_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(sweep_at, self._retry_at)):
                    await self._arrival.wait()
            if loop.time() >= sweep_at:
                await self._sweep()
                sweep_at = loop.time() + self._sweep_s
            if loop.time() >= self._retry_at:
                self._retry_at = inf
                self._due |= self._postponed
            self._arrival.clear()
            if self._due:
                await self._fold_due()

    async def _fold_due(self) -> None:
        """Try each document once; what the world keeps from being folded waits, and lets the others pass."""
        trouble: Exception | None = None
        while self._due:
            document = next(iter(self._due))
            del self._due[document]
            self._postponed.pop(document, None)
            try:
                await self.compact(document)
            except (StoreUnavailable, BusUnavailable) as error:
                trouble = error
                self._postponed[document] = None
        with suppress(StoreUnavailable):
            await self._store.reclaim()
        if trouble is None:
            self._retry_s = RETRY_S
        else:
            logger.warning("cannot compact %d documents now: %s", len(self._postponed), trouble)
            self._retry_at = asyncio.get_running_loop().time() + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    async def _sweep(self) -> None:
        """Queue what is long, and what has been left alone since the latest sweep."""
        try:
            waiting = await self._count_waiting() if await self._is_sweeper() else {}
        except (StoreUnavailable, BusUnavailable) as error:
            logger.warning("cannot sweep now: %s", error)
            return
        for document, rows in waiting.items():
            if rows >= LONG_ROWS or self._swept.get(document) == rows:
                self.request(document)
        self._swept = waiting

    async def _is_sweeper(self) -> bool:
        """Whether this node is the one that looks through all documents.

        It holds that until it has missed a sweep: only who swept before knows what was left alone.
        """
        return self._bus is None or await self._bus.claim("sweep:all", 2 * self._sweep_s + SWEEP_SPARE_S)

    async def _count_waiting(self) -> dict[str, int]:
        """Count the entries of each document, in the store and in the stream.

        A node that was killed after it had acknowledged as ``streamed`` leaves entries that only the
        stream has (B9).
        """
        waiting = {backlog.document: backlog.rows for backlog in await self._store.backlog()}
        if self._bus is not None:
            for document, count in (await self._bus.backlog()).items():
                waiting[document] = max(count, waiting.get(document, 0))
        return waiting

    async def compact(self, document: str) -> bool:
        """Fold the log of one document; return False where that was refused, and nothing changed.

        Raises ``StoreUnavailable`` or ``BusUnavailable``. Safe beside appends and other nodes.
        """
        try:
            async with claimed(self._bus, document) as claim:
                is_done = await self._fold(document, claim) if claim.is_ours else True
        except (StoreUnavailable, BusUnavailable):
            raise
        except Exception as error:
            # Whatever a fold fails of, panics of yrs included: the log is the truth, and it is still there.
            self._give_up(document, error)
            return False
        if is_done and claim.is_ours and self._refusals.forget(document):
            logger.info("compaction is no longer refused", extra={"document": document})
        return is_done

    def _give_up(self, document: str, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if self._refusals.add(document, reason, self._clock()):
            is_known = isinstance(error, CowriteError)
            fields = {"document": document}
            logger.error("compaction refused, the log stays: %s", reason, extra=fields, exc_info=not is_known)

    async def _fold(self, document: str, claim: Claim) -> bool:
        """Fold all that the store and the stream hold, and delete exactly that (D12).

        Nothing depends on how positions relate: a stream may have been lost and born again, and another
        node's row may come late. What lacks an entry that nobody has is refused by the proof (D6).
        """
        stored = await self._store.load(document)
        reading = await self._read_stream(document)
        end = _end_of(stored, reading)
        updates = _updates_of(stored, reading)
        if updates:
            folded = await self._folding.fold(stored.snapshot, updates)
            snapshot = Snapshot(folded.update, end, folded.depth)
            if not await self._keep(document, stored, snapshot):
                return False
            claim.is_kept = self.is_long(Tail(len(updates), sum(map(len, updates))))
        if self._bus is not None and (reading.entries or reading.unreadable):
            await self._bus.trim(document, Position(min(end, reading.last)))
        return True

    async def _read_stream(self, document: str) -> Reading:
        if self._bus is None:
            return Reading([], is_gapless=True, last=Position(0))
        # From its beginning: what is folded was trimmed, and a stream that went back has news below that.
        return await self._bus.read(document, Position(0))

    async def _keep(self, document: str, stored: Stored, snapshot: Snapshot) -> bool:
        """Put a snapshot in the place of the entries; False where another node was faster."""
        if snapshot == stored.snapshot and not stored.entries:
            return True  # Who stored it was stopped before it trimmed the stream, or cannot trim it.
        folded = [entry.position for entry in stored.entries]
        return await self._store.replace(document, snapshot, folded=folded, generation=stored.generation)

    def close(self) -> None:
        """End the folding process, in the middle of a fold too; idempotent."""
        self._folding.close()


def _updates_of(stored: Stored, reading: Reading) -> Sequence[bytes]:
    """All updates that are there, those that both have once."""
    held = {entry.position: entry.update for entry in stored.entries}
    streamed = [entry.update for entry in reading.entries if held.get(entry.position) != entry.update]
    return [*held.values(), *streamed]


def _end_of(stored: Stored, reading: Reading) -> int:
    """Up to where a snapshot of all this lacks nothing.

    An entry that cannot be read ends it, unless the store has its row: the row may be on its way (B7).
    """
    start = stored.snapshot.position if stored.snapshot else 0
    held = {entry.position for entry in stored.entries}
    missing = [position for position in reading.unreadable if position > start and position not in held]
    return max(start, min([max(stored.last_position, reading.last), *(at - 1 for at in missing)]))
