"""When a room flushes: at once after a quiet spell, and the rarer the more it costs.

Rule R2 (references/protocol.md): while the room is busy the next flush waits for the larger of an interval
and twice what the last one cost. Knows nothing of what is flushed.
"""

import asyncio
import time
from collections.abc import Callable

__all__ = ["FLUSH_INTERVAL_S", "PRESENCE_INTERVAL_S", "RELAY_INTERVAL_S", "Pace"]

FLUSH_INTERVAL_S = 0.015
"""Between flushes of edits. With 100 people who type, 10 ms cost a quarter more for each delivery."""

RELAY_INTERVAL_S = 0.002
"""Between flushes of what another node has collected: it has waited there, and must not wait twice."""

PRESENCE_INTERVAL_S = 0.050
"""Between flushes of presence alone: a cursor that moves 20 times a second looks as if it glided."""


class Pace:
    """Calls ``flush`` from the event loop, once for any number of requests; it must not raise."""

    __slots__ = ("_cost_s", "_due_at", "_flush", "_flushed_at", "_handle", "_loop")

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None
        self._due_at = 0.0
        self._flushed_at = float("-inf")
        self._cost_s = 0.0
        """Of the last flush."""

    @property
    def is_due(self) -> bool:
        """Whether a flush is to come, or is under way."""
        return self._handle is not None

    def request(self, interval_s: float = FLUSH_INTERVAL_S) -> None:
        """Have a flush ``interval_s`` after the last one, or earlier where that was requested."""
        due_at = self._flushed_at + max(interval_s, 2 * self._cost_s)
        if self._handle is not None:
            if due_at >= self._due_at:
                return
            self._handle.cancel()
        self._due_at = due_at
        wait_s = due_at - self._loop.time()
        if wait_s <= 0:
            self._handle = self._loop.call_soon(self._run)
        else:
            self._handle = self._loop.call_later(wait_s, self._run)

    def flush_now(self) -> None:
        """Do at once what was requested, if anything was."""
        if self._handle is not None:
            self._handle.cancel()
            self._run()

    def _run(self) -> None:
        # The loop's clock may stand still during a callback: uvloop's does.
        started = time.monotonic()
        self._flush()
        self._handle = None
        self._cost_s = time.monotonic() - started
        self._flushed_at = self._loop.time() + self._cost_s
