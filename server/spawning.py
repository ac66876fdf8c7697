"""How other processes are started: spawned, so that none has what this one opened, sockets first of all."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker

__all__ = ["SPAWN", "deaf_to_ctrl_c"]

SPAWN = get_context("spawn")


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Have processes that are started here never hear SIGINT, which a terminal sends to all of them.

    It is for the one that stops the others in their order. While they are started it waits.
    """
    # It unblocks the signal when it starts, which the first of them would have it do.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
