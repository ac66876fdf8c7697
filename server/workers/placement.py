"""Which of several processes serves a document: the one that has it, else the emptiest.

People of one document on two processes make both take every edit, by way of Redis. Only work is saved here:
wherever a client is served, it sees the same. So the table needs no lock; a race places a document twice.
"""

import time
from collections.abc import Callable
from ctypes import Array, c_bool, c_double, c_uint32
from zlib import crc32

from server.spawning import SPAWN

__all__ = ["STALE_S", "Placement"]

BUCKETS = 4_096
"""Documents are placed by the hash of their names, many to a place. A place keeps its process, whoever comes
and goes, until that is much fuller than another one, or gone."""
STALE_S = 2.0
"""A process that has not reported for so long gets no connections: it hangs, or it is gone."""
SLACK_SHARE = 1.25
SLACK_CONNECTIONS = 32
"""How much fuller than the emptiest a process may be until documents leave it: beyond that a crowd of
thousands in one document has both cores, at the price of both taking each edit."""


class Placement:
    """The table, in memory that all processes share; each is given this object when it is spawned.

    Numbers of processes count from 0.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        # The monotonic clock is the machine's, hence the same in every process.
        self._clock = clock
        self._owners: Array[c_uint32] = SPAWN.RawArray(c_uint32, BUCKETS)
        """The number of the process that has a bucket, and one; 0 where none has it."""
        self._loads: Array[c_uint32] = SPAWN.RawArray(c_uint32, workers)
        self._reported_at: Array[c_double] = SPAWN.RawArray(c_double, workers)
        self._are_open: Array[c_bool] = SPAWN.RawArray(c_bool, workers)
        """Whether each process takes connections."""

    def report(self, worker: int, connections: int) -> None:
        """Say that a process takes connections, and how many it has."""
        self._loads[worker] = connections
        self._reported_at[worker] = self._clock()
        self._are_open[worker] = True

    def retire(self, worker: int) -> None:
        """Say that a process takes none from now on; idempotent."""
        self._are_open[worker] = False

    @property
    def takes_any(self) -> bool:
        """Whether any process takes connections."""
        return any(self._are_open)

    def silence_s(self, worker: int) -> float:
        """Return for how long a process has not reported; for ever, where it never has."""
        return self._clock() - self._reported_at[worker]

    def place(self, document: bytes, here: int) -> int:
        """Return which process is to serve a document, and have it stay there.

        ``here`` is the process that asks: it takes what nobody else can.
        """
        bucket = crc32(document) % BUCKETS
        living = [
            worker
            for worker, is_open in enumerate(self._are_open)
            if is_open and self.silence_s(worker) < STALE_S
        ]
        emptiest = min(living, key=lambda worker: (self._loads[worker], worker != here), default=here)
        owner = self._owners[bucket] - 1
        limit = SLACK_SHARE * self._loads[emptiest] + SLACK_CONNECTIONS
        if owner not in living or self._loads[owner] > limit:
            owner = emptiest
            self._owners[bucket] = owner + 1
        return owner

    def add(self, worker: int) -> None:
        """Count a connection that a process is about to serve, until it reports."""
        self._loads[worker] += 1
