"""Sends what many people send, evenly spread over time, from one timer."""

import asyncio
from collections.abc import Sequence

from tests.bench.load.source import Source

__all__ = ["Pace"]


class Pace:
    """Each of ``sources`` in turn, so that every one sends ``each_per_second`` frames a second."""

    def __init__(self, sources: Sequence[Source], each_per_second: float) -> None:
        self._sources = sources
        self._gap_s = 1 / (len(sources) * each_per_second)
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; an end that comes late is made up for, so that the rate holds."""
        self._started = self._loop.time()
        self._send_due()

    def stop(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _send_due(self) -> None:
        due = int((self._loop.time() - self._started) / self._gap_s) + 1
        while self._sent < due:
            self._sources[self._sent % len(self._sources)].send()
            self._sent += 1
        self._timer = self._loop.call_at(self._started + self._sent * self._gap_s, self._send_due)
