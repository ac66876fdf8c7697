"""The parent of several processes on one port: starts them, starts another for one that died, ends all.

uvicorn's own supervisor gives its processes no number, and they no way to tell how they ended.
"""

import logging
import signal
import time
from multiprocessing import Pipe, get_context
from multiprocessing.context import SpawnProcess
from socket import socket

from server.settings import Settings
from server.workers.passing import Passing
from server.workers.placement import Placement
from server.workers.worker import work

__all__ = ["Supervisor"]

logger = logging.getLogger("cowrite.workers")

LOOK_S = 1.0
"""Between two looks, and between two attempts to start a process."""
HUNG_S = 30.0
"""A process whose event loop has stood still for so long is killed; its clients come back to another one."""

STARTUP_FAILED = 3
"""How uvicorn ends a process that could not start."""
STORED_ALL = (0, -signal.SIGINT, -signal.SIGTERM)
"""How a process ends that has stored everything; by the signal itself before it has begun to serve."""


class Supervisor:
    """Runs ``settings.workers`` processes that serve what ``listener`` accepts; for the main thread."""

    def __init__(self, settings: Settings, listener: socket) -> None:
        self._settings = settings
        self._listener = listener
        # Spawned, not forked: no process has what another one opened.
        self._context = get_context("spawn")
        self._placement = Placement(self._context, settings.workers)
        self._passing = Passing(settings.workers)
        self._workers: list[SpawnProcess] = []
        self._looked_at = 0.0

    def run(self) -> int:
        """Run them until a signal; return 0 when all have ended and stored everything, 1 otherwise."""
        stopped, stop = Pipe(duplex=False)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: stop.send(None))
        try:
            self._workers += map(self._start, range(self._settings.workers))
            while not stopped.poll(LOOK_S):
                if not self._look():
                    return 1
        finally:
            self._end()
        return 0 if all(worker.exitcode in STORED_ALL for worker in self._workers) else 1

    def _start(self, number: int) -> SpawnProcess:
        arguments = self._settings, self._listener, number, self._placement, self._passing
        worker = self._context.Process(target=work, args=arguments)
        worker.start()
        return worker

    def _look(self) -> bool:
        """Put another process in the place of one that died or hangs; False where none can start."""
        now = time.monotonic()
        has_slept = now - self._looked_at > LOOK_S + HUNG_S / 2  # and so have they
        self._looked_at = now
        for number, worker in enumerate(self._workers):
            if self._placement.silence_s(number) > HUNG_S and not has_slept:
                logger.error("process %d hangs", worker.pid)
                worker.kill()
                worker.join()
            if worker.exitcode is None:
                continue
            self._placement.retire(number)
            if worker.exitcode == STARTUP_FAILED and not self._placement.takes_any:
                return False
            logger.error("process %d ended with %d; another takes its place", worker.pid, worker.exitcode)
            self._workers[number] = self._start(number)
        return True

    def _end(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()
        self._passing.close()
