"""What servers, and the load generator itself, use while something happens."""

import time
from collections.abc import Sequence

from tests.bench.systems.contract import Costs

__all__ = ["BUSY_SHARE", "Meter"]

BUSY_SHARE = 0.85
"""Of its core: above it the generator may be what was measured."""


class Meter:
    """Counts from the moment in which it is made."""

    def __init__(self, servers: Sequence[Costs]) -> None:
        self._servers = servers
        self._before = [dict(server.cpu_s()) for server in servers]
        self._own_before = time.process_time()
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long ago it was made."""
        return time.perf_counter() - self._started

    @property
    def generator_share(self) -> float:
        """Which part of its core the generator has used."""
        return (time.process_time() - self._own_before) / self.seconds

    def by_process_s(self) -> list[dict[int, float]]:
        """Return the CPU seconds of every process, by its id, for each of the servers."""
        return [
            {pid: now - before.get(pid, 0.0) for pid, now in server.cpu_s().items()}
            for server, before in zip(self._servers, self._before, strict=True)
        ]

    @property
    def cpu_s(self) -> float:
        """What all processes have used together, in CPU seconds."""
        return sum(sum(used.values()) for used in self.by_process_s())
