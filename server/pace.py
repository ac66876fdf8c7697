"""When a room flushes: at once after a quiet spell, and the rarer the more it costs.

Rule R2 (references/protocol.md): while the room is busy the next flush waits for the larger of
``FLUSH_INTERVAL_S`` and twice what the last one cost. Knows nothing of what is flushed.
"""

import asyncio
import time
from collections.abc import Callable

__all__ = ["FLUSH_INTERVAL_S", "Pace"]

FLUSH_INTERVAL_S = 0.010


class Pace:
    """Calls ``flush`` from the event loop, once for any number of requests; it must not raise."""

    __slots__ = ("_flush", "_handle", "_loop", "_rests_until")

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None
        self._rests_until = 0.0

    @property
    def is_due(self) -> bool:
        """Whether a flush is to come, or is under way."""
        return self._handle is not None

    def request(self) -> None:
        """Have a flush; idempotent until it is done."""
        if self._handle is None:
            wait_s = self._rests_until - self._loop.time()
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
        cost_s = time.monotonic() - started
        self._rests_until = self._loop.time() + cost_s + max(FLUSH_INTERVAL_S, 2 * cost_s)
