"""A queue whose items are sent in order, in batches, again and again until they have gone through."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from crdt.errors import CowriteError

__all__ = ["Stage", "Unsent"]

logger = logging.getLogger("cowrite.journal")

BATCH_LIMIT = 5_000
"""Items sent together at most: about 50 ms of SQLite."""

RETRY_MIN_S, RETRY_MAX_S = 0.05, 2.0

Item = TypeVar("Item")


class Unsent(CowriteError, Generic[Item]):
    """Some of a batch went through, ``items`` did not."""

    def __init__(self, items: Sequence[Item], reason: str) -> None:
        super().__init__(reason)
        self.items = items


class Stage(Generic[Item]):
    """One ordered sender.

    The queue has no bound of its own: whoever fills it keeps a budget (server/journal.py). ``shrink``
    may make one item of several while the way is blocked. Batches start ``rest_s`` apart, the first
    after a quiet spell at once.
    """

    def __init__(
        self,
        verb: str,
        send: Callable[[Sequence[Item]], Awaitable[None]],
        shrink: Callable[[Sequence[Item]], Sequence[Item]] | None = None,
        *,
        rest_s: float = 0.0,
    ) -> None:
        self._verb = verb
        self._send = send
        self._shrink = shrink
        self._rest_s = rest_s
        self._rests_until = 0.0
        self._is_hurried = asyncio.Event()
        self._queue: deque[Item] = deque()
        self._arrival = asyncio.Event()
        self.trouble: str | None = None
        """Why nothing goes through at the moment."""

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
            await self._arrival.wait()
            await self._rest(self._rests_until - loop.time())
            self._rests_until = loop.time() + self._rest_s
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_LIMIT))]
            await self._send_until_through(batch)
            if not self._queue:
                self._arrival.clear()

    async def _rest(self, duration_s: float) -> None:
        if duration_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(duration_s):
                    await self._is_hurried.wait()

    async def _send_until_through(self, batch: Sequence[Item]) -> None:
        delay_s = RETRY_MIN_S
        while True:
            try:
                await self._send(batch)
            except Exception as error:
                if isinstance(error, Unsent):
                    batch = error.items
                # Even a bug behind ``send`` must not end the stage: the same items are tried again.
                if self.trouble is None:
                    is_known = isinstance(error, CowriteError)
                    logger.error(
                        "cannot %s, trying until it works: %s", self._verb, error, exc_info=not is_known
                    )
                self.trouble = f"cannot {self._verb}: {error}"
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_S)
                if self._shrink is not None:
                    batch = self._shrink([*batch, *self._queue])
                    self._queue.clear()
            else:
                if self.trouble is not None:
                    logger.warning("it works again to %s", self._verb)
                self.trouble = None
                return
