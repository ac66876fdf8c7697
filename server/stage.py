"""A queue whose items are sent in order, in batches, again and again until they have gone through."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from crdt.errors import CowriteError
from server.slices import in_slices

__all__ = ["Stage", "Unsent"]

logger = logging.getLogger("cowrite.journal")

BATCH_LIMIT = 5_000
"""Items sent together at most: about 50 ms of SQLite."""

RETRY_MIN_S, RETRY_MAX_S = 0.05, 2.0
PAUSE_S = 0.05
"""After a batch of which nothing went through: then each lane that comes would fail by itself."""

Item = TypeVar("Item")


class Unsent(CowriteError, Generic[Item]):
    """Some of a batch went through, ``items`` did not."""

    def __init__(self, items: Sequence[Item], reason: str) -> None:
        super().__init__(reason)
        self.items = items


@dataclass(slots=True, eq=False)
class _Held(Generic[Item]):
    """What one lane has to send, once an item of it has failed."""

    items: deque[Item] = field(default_factory=deque)
    delay_s: float = 0.0
    due_at: float = 0.0

    def is_ripe(self, now: float) -> bool:
        """Whether it may be tried with others: those that failed at one time soon wait for one moment."""
        return self.due_at - self.delay_s / 2 <= now


class Stage(Generic[Item]):
    """One sender, and any number of lanes, each of which keeps its order.

    A lane of which an item failed waits, and is tried the more rarely the oftener it fails; the others
    pass it. The queue has no bound of its own: whoever fills it keeps a budget (server/journal.py).
    ``shrink`` may make fewer items of those that one lane has waiting. Batches start ``rest_s`` apart, the
    first after a quiet spell at once.
    """

    def __init__(
        self,
        verb: str,
        send: Callable[[Sequence[Item]], Awaitable[None]],
        *,
        lane_of: Callable[[Item], Hashable] = lambda item: None,
        shrink: Callable[[Sequence[Item]], Iterable[Item]] | None = None,
        rest_s: float = 0.0,
    ) -> None:
        self._verb = verb
        self._send = send
        self._lane_of = lane_of
        self._shrink = shrink
        self._rest_s = rest_s
        self._rests_until = 0.0
        self._is_hurried = asyncio.Event()
        self._queue: deque[Item] = deque()
        self._arrival = asyncio.Event()
        self._held: dict[Hashable, _Held[Item]] = {}
        self._due_at: float | None = None
        """When the first lane is due that waits."""
        self.trouble: str | None = None
        """Why something does not go through at the moment."""

    def put(self, item: Item) -> None:
        """Queue one item."""
        self._queue.append(item)
        self._arrival.set()

    def hurry(self) -> None:
        """Rest no more until ``relax``: somebody waits."""
        self._is_hurried.set()

    def relax(self) -> None:
        """Rest between batches again."""
        self._is_hurried.clear()

    async def run(self) -> None:
        """Send for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_for_work()
            await self._rest(self._rests_until - loop.time())
            self._rests_until = loop.time() + self._rest_s
            ripe = self._ripe()
            await in_slices(self._shrink_steps(ripe))
            await self._send_once(ripe, self._take(ripe))

    async def _wait_for_work(self) -> None:
        if not self._queue:
            self._arrival.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due_at):
                await self._arrival.wait()

    async def _rest(self, duration_s: float) -> None:
        if duration_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(duration_s):
                    await self._is_hurried.wait()

    def _ripe(self) -> Sequence[_Held[Item]]:
        now = asyncio.get_running_loop().time()
        if self._due_at is None or now < self._due_at:
            return []
        return [held for held in self._held.values() if held.is_ripe(now)]

    def _shrink_steps(self, ripe: Sequence[_Held[Item]]) -> Iterator[None]:
        if self._shrink is None:
            return
        for held in ripe:
            fewer: deque[Item] = deque()
            for item in self._shrink(held.items):
                fewer.append(item)
                yield
            held.items = fewer

    def _take(self, ripe: Sequence[_Held[Item]]) -> Sequence[Item]:
        """Return the next batch; what is queued of a lane that waits goes behind what waits."""
        batch: list[Item] = []
        for held in ripe:
            while held.items and len(batch) < BATCH_LIMIT:
                batch.append(held.items.popleft())
        while self._queue and len(batch) < BATCH_LIMIT:
            item = self._queue.popleft()
            if self._held and (waiting := self._held.get(self._lane_of(item))) is not None:
                waiting.items.append(item)
            else:
                batch.append(item)
        return batch

    async def _send_once(self, ripe: Sequence[_Held[Item]], batch: Sequence[Item]) -> None:
        if not batch:
            return
        failed: Sequence[Item] = ()
        try:
            await self._send(batch)
        except Exception as error:
            # Even a bug behind ``send`` must not end the stage: the same items are tried again.
            failed = error.items if isinstance(error, Unsent) else batch
            self._note(error)
        if failed or self._held:
            self._hold(ripe, failed)
        if len(failed) == len(batch):
            await asyncio.sleep(PAUSE_S)

    def _note(self, error: Exception) -> None:
        if self.trouble is None:
            is_known = isinstance(error, CowriteError)
            logger.error("cannot %s, trying until it works: %s", self._verb, error, exc_info=not is_known)
        self.trouble = f"cannot {self._verb}: {error}"

    def _hold(self, tried: Sequence[_Held[Item]], failed: Sequence[Item]) -> None:
        """Have what failed wait for its next attempt, and let go the lanes that have nothing left."""
        now = asyncio.get_running_loop().time()
        for held in tried:
            held.due_at = now
        failed_by_lane: dict[Hashable, list[Item]] = {}
        for item in failed:
            failed_by_lane.setdefault(self._lane_of(item), []).append(item)
        for lane, items in failed_by_lane.items():
            held = self._held.setdefault(lane, _Held())
            held.items.extendleft(reversed(items))
            held.delay_s = min(max(2 * held.delay_s, RETRY_MIN_S), RETRY_MAX_S)
            held.due_at = now + held.delay_s
        self._held = {lane: held for lane, held in self._held.items() if held.items}
        self._due_at = min((held.due_at for held in self._held.values()), default=None)
        if self.trouble is not None and not self._held:
            logger.warning("it works again to %s", self._verb)
            self.trouble = None
