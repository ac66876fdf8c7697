"""Child processes that do not outlive their parent, however that ends."""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import wait as wait_for

__all__ = ["when_parent_ends"]


def when_parent_ends(act: Callable[[], None]) -> None:
    """Call ``act``, from another thread, once the process that spawned this one is gone.

    A left-over process would keep memory, or a port. Does nothing in a process that nobody spawned.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait_for([sentinel])
        act()

    threading.Thread(target=watch, daemon=True).start()
