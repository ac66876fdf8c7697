"""The parent of several processes on one port: starts them, starts another for one that died, ends all.

uvicorn's own supervisor gives its processes no number, and they no way to tell how they ended.
"""

import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from socket import socket, socketpair

from server.listening import GRACEFUL_S
from server.node import DRAIN_LIMIT_S
from server.settings import Settings
from server.spawning import SPAWN, deaf_to_ctrl_c
from server.workers.passing import Passing
from server.workers.placement import Placement
from server.workers.worker import work

__all__ = ["Supervisor"]

logger = logging.getLogger("cowrite.workers")

LOOK_S = 1.0
"""Between two looks, and between two attempts to start a process."""
STOP_LIMIT_S = GRACEFUL_S + DRAIN_LIMIT_S + 5.0
"""What stops for longer is killed."""
HUNG_S = STOP_LIMIT_S + 10.0
"""A process that has not reported for so long is killed: one that stops by itself does not report."""

STORED_ALL = (0, -signal.SIGTERM)
"""How a process ends that has stored everything; by the signal itself before it has begun to serve."""


@dataclass(slots=True)
class _Post:
    """The place of one process, which others take after it."""

    number: int
    process: SpawnProcess | None = None
    started_at: float = 0.0

    @property
    def living(self) -> SpawnProcess | None:
        """The process, unless it has ended."""
        return self.process if self.process is not None and self.process.exitcode is None else None


class Supervisor:
    """Runs ``settings.workers`` processes that serve what ``listener`` accepts; for the main thread."""

    def __init__(self, settings: Settings, listener: socket) -> None:
        self._settings = settings
        self._listener = listener
        self._placement = Placement(settings.workers)
        self._passing = Passing(settings.workers)
        self._posts = [_Post(number) for number in range(settings.workers)]
        self._has_served = False
        self._looked_at = 0.0
        self._signals, self._wakeup = socketpair()
        """The signals that have come, a byte each, written by the interpreter in their order."""

    def run(self) -> int:
        """Run them until a signal; return 0 when all have ended and stored everything, 1 otherwise."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: None)
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno())
        is_well = True
        try:
            while is_well and self._next_signal() is None:
                is_well = self._look()
                self._wait([living for post in self._posts if (living := post.living) is not None], LOOK_S)
        finally:
            has_stored_all = self._end()
        return 0 if is_well and has_stored_all else 1

    def _look(self) -> bool:
        """Fill the posts of those that died or hang; False where nobody could ever start."""
        now = time.monotonic()
        has_slept = now - self._looked_at > LOOK_S + HUNG_S / 2  # and so have they
        self._looked_at = now
        self._has_served = self._has_served or self._placement.takes_any
        for post in self._posts:
            if (living := post.living) is not None:
                silence_s = min(now - post.started_at, self._placement.silence_s(post.number))
                if silence_s > HUNG_S and not has_slept:
                    logger.error("process %d hangs", living.pid)
                    living.kill()
                    living.join()
            if post.living is not None or now - post.started_at < LOOK_S:
                continue
            if post.process is not None:
                logger.error("process %d ended with %d", post.process.pid, post.process.exitcode)
                if not self._has_served:
                    return False
            self._man(post)
        return True

    def _man(self, post: _Post) -> None:
        self._placement.retire(post.number)
        post.started_at = time.monotonic()
        arguments = self._settings, self._listener, post.number, self._placement, self._passing
        process = SPAWN.Process(target=work, args=arguments)
        try:
            # After the SIGTERM it would be the second signal, at which uvicorn ends and stores nothing.
            with deaf_to_ctrl_c():
                process.start()
            post.process = process
        except OSError as error:
            logger.error("cannot start a process: %s", error)

    def _end(self) -> bool:
        """End all, and tell whether they have stored everything."""
        logger.info("stopping %d processes", len(self._posts))
        self._listener.close()
        processes = [post.process for post in self._posts if post.process]
        for process in processes:
            process.terminate()
        for process in self._wait_until_ended(processes):
            logger.critical("process %d does not stop", process.pid)
            process.kill()
            process.join()
        self._passing.close()
        return all(process.exitcode in STORED_ALL for process in processes)

    def _wait_until_ended(self, processes: Sequence[SpawnProcess]) -> Sequence[SpawnProcess]:
        """Return those that still live when time is up, or somebody is impatient.

        That is a SIGINT after the first signal, as with uvicorn: who sends both sends SIGTERM last.
        """
        deadline = time.monotonic() + STOP_LIMIT_S
        while living := [process for process in processes if process.exitcode is None]:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._next_signal() == signal.SIGINT:
                break
            self._wait(living, left_s)
        return living

    def _wait(self, processes: Sequence[SpawnProcess], limit_s: float) -> None:
        """Wait for a signal, or until one of the processes ends."""
        wait([self._signals, *(process.sentinel for process in processes)], limit_s)

    def _next_signal(self) -> int | None:
        return self._signals.recv(1)[0] if wait([self._signals], 0) else None
